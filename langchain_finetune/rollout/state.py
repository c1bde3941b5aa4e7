"""The state of a rollout, its steps, and the sticky choice of a model. Pure."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

RolloutMode = Literal["promoted", "canary", "shadow"]
RolloutSide = Literal["old", "new"]

Share = Annotated[Decimal, Field(ge=0, le=1, max_digits=40)]
"""A part of the threads, such as 0.1, or any float: exact. A limit, since digits take time."""

MAX_EARLIER = 100
"""How many earlier models a rollout can go back through."""

THREAD_KEYS = ("thread_id", "session_id", "conversation_id")
"""Metadata that names a thread, as LangSmith reads it."""

ROLLOUT_KEY = "rollout"
"""Metadata of a run: the name of the rollout that it belongs to."""

SIDE_KEY = "rollout_side"
"""Metadata of a run: which of the rollout's two models it asked, `old` or `new`."""

_BITS = 64


def position(key: str | None, salt: str) -> Fraction:
    """Return where a key stands between 0 and 1 (excluded).

    It is the same for the same key and salt, in every process, and another for another salt, so
    that a second rollout begins with other users. Without a key it is random.

    Example:
        >>> position("thread 1", "calculator") == position("thread 1", "calculator")
        True
    """
    if key is None:
        number = secrets.randbits(_BITS)
    else:
        # The length keeps apart what a plain concatenation would mix up.
        digest = hashlib.sha256(f"{len(salt)}:{salt}{key}".encode(errors="surrogatepass")).digest()
        number = int.from_bytes(digest[: _BITS // 8])
    return Fraction(number, 2**_BITS)


def is_new(key: str | None, salt: str, share: Decimal) -> bool:
    """Return whether the new model answers a key.

    A larger share keeps all keys of a smaller one, since a key's position does not depend on it.

    Example:
        >>> is_new("thread 1", "calculator", Decimal(0)), is_new(None, "calculator", Decimal(1))
        (False, True)
    """
    return position(key, salt) < Fraction(share)


def thread_key(metadata: Mapping[str, Any]) -> str | None:
    """Return the thread that metadata names, if it names one.

    Example:
        >>> thread_key({"thread_id": "t1"}), thread_key({})
        ('t1', None)
    """
    return first_value(THREAD_KEYS, metadata)


def first_value(names: Iterable[str], *places: Mapping[str, Any]) -> str | None:
    """Return the first of some values that is given, as text; that of the first place counts.

    Example:
        >>> first_value(["thread_id", "user_id"], {"user_id": 0}, {"user_id": 1})
        '0'
    """
    found = (place.get(name) for name in names for place in places)
    return next((str(each) for each in found if each is not None and each != ""), None)


class Rollout(BaseModel):
    """Which models answer for a name, and for which share of the threads.

    Each step returns the next state.

    Attributes:
        name: What apps call.
        target: The model that answers, but for what the candidate answers.
        candidate: The model that is tried.
        mode: `promoted`: `target` answers all. `canary`: `candidate` answers `share` of the
            threads. `shadow`: `target` answers all, and `candidate` is asked too.
        share: The candidate's part of the threads.
        earlier: What it pointed at before, oldest first.

    Example:
        >>> rollout = Rollout(name="calculator", target="nano").canary("ft:nano:1", Decimal("0.1"))
        >>> rollout.promote("ft:nano:1").target, rollout.promote("ft:nano:1").rollback().target
        ('ft:nano:1', 'nano')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    target: str
    candidate: str | None = None
    mode: RolloutMode = "promoted"
    share: Share = Decimal(0)
    earlier: tuple[str, ...] = ()

    def promote(self, model: str) -> Self:
        """Let a model answer all."""
        earlier = self.earlier
        if model != self.target:
            earlier = (*earlier, self.target)[-MAX_EARLIER:]
        return self._with(target=model, earlier=earlier)

    def canary(self, model: str, share: Decimal) -> Self:
        """Let a model answer a share of the threads; a larger share keeps those that it has."""
        return self._with(candidate=model, mode="canary", share=share)

    def shadow(self, model: str) -> Self:
        """Let a model be asked too, without answering."""
        return self._with(candidate=model, mode="shadow")

    def rollback(self) -> Self | None:
        """Drop the candidate or, without one, go back to the model before; None if there is none.

        Rolling back twice goes back by two promotions.
        """
        if self.candidate is not None:
            return self._with()
        if not self.earlier:
            return None
        return self._with(target=self.earlier[-1], earlier=self.earlier[:-1])

    def answering(self, key: str | None) -> str:
        """Return the model that answers a thread or user; without a key, of a random draw."""
        if self.mode != "canary" or self.candidate is None:
            return self.target
        # Not the share: who has the candidate keeps it while the share grows.
        salt = f"{self.name}\n{self.candidate}"
        return self.candidate if is_new(key, salt, self.share) else self.target

    @property
    def models(self) -> frozenset[str]:
        """All models that can be asked now."""
        return frozenset(name for name in (self.target, self.candidate) if name is not None)

    def _with(self, **changes: Any) -> Self:
        begun = {"candidate": None, "mode": "promoted", "share": Decimal(0)}
        return self.model_copy(update=begun | changes)
