"""Brings a constrained answer to its end before the budget of tokens is used up.

A mask of allowed tokens does not make a weak model stop: it may write into a string for ever.
"""

import string
from collections.abc import Iterable

from llguidance import LLMatcher, LLTokenizer

Bitmask = bytes

_FAR = 16
_FARTHEST = 64
_CANDIDATES = 8

# What leads to the end soonest, where more than one thing may follow.
_CLOSERS = ("}", "]", '"', ",")

# One character of each kind: to begin a value, or to get on in a string that has a pattern.
_KINDS = (*"0123456789", *string.punctuation, " ", "n", "t", "f", "a", "A")


class Closer:
    """Knows how far it is to the end of a document, and which tokens leave enough room.

    Args:
        tokenizer: The model's tokenizer.
        start: The grammar at its start.
        ends: Tokens that end an answer.
    """

    def __init__(self, tokenizer: LLTokenizer, start: LLMatcher, ends: list[int]) -> None:
        self._ends = frozenset(ends)
        self._closers = _singles(tokenizer, _CLOSERS)
        self._quotes = _singles(tokenizer, '"')
        self._kinds = _singles(tokenizer, _KINDS)
        self._brackets = _singles(tokenizer, "}]")
        shortest = self.way(start, _FARTHEST)
        # One token can begin something that takes long to close; a guess at how long.
        self._step = max(_FAR, min(_FARTHEST, len(shortest or "")))

    def way(self, matcher: LLMatcher, limit: int) -> list[int] | None:
        """Return tokens that bring the answer to an end; None where `limit` are not enough.

        Short, not the shortest: it takes the nearest end at each fork.
        """
        ahead = matcher.deep_copy()
        way: list[int] = []
        while not ahead.is_accepting():
            forced = ahead.compute_ff_tokens() or self._shortest(ahead)
            way += forced
            if len(way) > limit or not forced or not ahead.consume_tokens(forced):
                return None
        return way

    def look_again(self, matcher: LLMatcher, left: int) -> int:
        """Return at how many tokens left it is worth to look again; `left` for every token now."""
        way = self.way(matcher, left)
        if way is None:
            # There is hardly a way to the end any more, and to look for one takes time.
            return left // 2
        return left - (left - len(way)) // (self._step + 1)

    def fitting(
        self, matcher: LLMatcher, left: int, likely: list[int], *, first_only: bool
    ) -> list[int]:
        """Return those tokens after which the answer can still be brought to an end.

        Args:
            matcher: Where the answer stands.
            left: How many tokens may still be written.
            likely: Allowed tokens, the likeliest first.
            first_only: One token is enough.

        Returns:
            At least one token where the answer can be ended at all; else an empty list.
        """
        found = []
        for token in likely[:_CANDIDATES]:
            if self._fits(matcher, left, token):
                found.append(token)
                if first_only:
                    return found
        if found:
            return found
        way = self.way(matcher, left)
        if way is None:
            return []
        return way[:1] or sorted(self._ends)

    def _fits(self, matcher: LLMatcher, left: int, token: int) -> bool:
        if token in self._ends:
            return True
        ahead = matcher.deep_copy()
        return ahead.consume_token(token) and self.way(ahead, left - 1) is not None

    def _shortest(self, matcher: LLMatcher) -> list[int]:
        mask = matcher.compute_bitmask()
        # Only inside a string may both brackets stand.
        inside = len(self._brackets) > 1 and all(allows(mask, token) for token in self._brackets)
        closers = self._quotes if inside else self._closers
        for token in closers:
            if allows(mask, token):
                return [token]
        known = [token for token in self._kinds if allows(mask, token)]
        if known:
            return [min(known, key=lambda token: self._leads_nowhere(matcher, mask, token))]
        any_byte = next(((place, byte) for place, byte in enumerate(mask) if byte), None)
        return [any_byte[0] * 8 + (any_byte[1] & -any_byte[1]).bit_length() - 1] if any_byte else []

    def _leads_nowhere(self, matcher: LLMatcher, mask: Bitmask, token: int) -> int:
        """Return 0 where a token leads to an end, 1 where elsewhere, 2 where to the same again."""
        ahead = matcher.deep_copy()
        if not ahead.consume_token(token):
            return 3
        after = ahead.compute_bitmask()
        if ahead.is_accepting() or any(allows(after, closer) for closer in self._closers):
            return 0
        return 2 if after == mask else 1


def allows(mask: Bitmask, token: int) -> bool:
    """Tell whether a token's bit is set."""
    return bool(mask[token // 8] >> token % 8 & 1)


def _singles(tokenizer: LLTokenizer, texts: Iterable[str]) -> list[int]:
    """Return the tokens that are one of these texts each."""
    split = [tokenizer.greedy_tokenize(text) for text in texts]
    return [tokens[0] for tokens in split if len(tokens) == 1]
