"""What a model remembers of texts, kept for others that begin the same, such as further turns.

Importing this module imports torch.
"""

import weakref
from collections.abc import Iterable, Sequence
from itertools import count

from langchain_finetune.local.serving.decoder import KeyValues

SHORTEST = 16
"""Tokens from which on a copy is worth it."""

_uses = count()


class Prefixes:
    """The sequences of one model that are kept."""

    def __init__(self) -> None:
        self._kept: dict[int, KeyValues] = {}

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        return sum(past.nbytes for past in self._kept.values())

    def begin(self, tokens: Sequence[int], others: Iterable[KeyValues]) -> KeyValues:
        """Return a past for a sequence: of its longest beginning that is kept, or in `others`."""
        most = len(tokens) - 1
        found = [(min(shared(tokens, past.tokens), most), past) for past in others]
        found += [(min(shared(tokens, past.tokens), most), past) for past in self._kept.values()]
        length, past = max(found, key=lambda each: each[0], default=(0, None))
        if past is None or length < SHORTEST:
            return KeyValues()
        for used, kept in list(self._kept.items()):
            if kept is past:
                self._kept[next(_uses)] = self._kept.pop(used)
        return past.copied(length)

    def keep(self, past: KeyValues) -> None:
        """Keep a sequence, in place of those that it begins with."""
        for used, kept in list(self._kept.items()):
            if shared(kept.tokens, past.tokens) == len(kept.tokens):
                del self._kept[used]
        if len(past.tokens) >= SHORTEST:
            self._kept[next(_uses)] = past

    @property
    def oldest(self) -> int | None:
        """When the one was used that was not used for longest."""
        return next(iter(self._kept), None)

    def drop_oldest(self) -> None:
        """Forget that one."""
        del self._kept[next(iter(self._kept))]


class KeptPrefixes:
    """The prefixes of all models in memory."""

    def __init__(self) -> None:
        self._models: weakref.WeakSet[Prefixes] = weakref.WeakSet()

    def keep(self, prefixes: Prefixes, past: KeyValues) -> None:
        """Keep a sequence of a model."""
        self._models.add(prefixes)
        prefixes.keep(past)

    def shrink(self, nbytes: int) -> None:
        """Forget those that were not used for longest, until all take at most `nbytes`."""
        while sum(each.nbytes for each in self._models) > max(nbytes, 0):
            kept = [each for each in self._models if each.oldest is not None]
            min(kept, key=lambda each: each.oldest or 0).drop_oldest()


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common from the start.

    Example:
        >>> shared([1, 2, 3], [1, 2, 4, 5])
        2
    """
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return place
    return min(len(one), len(other))
