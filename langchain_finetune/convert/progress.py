"""How far a conversion is: counts and a rate, while its rows pass."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.rows import Row

_PAUSE_S = 0.5


@dataclass(frozen=True)
class ConversionProgress:
    """How far reading and converting is; one conversion has one first report, without chats.

    Attributes:
        chats: Number of chats that were read, including those that make no example.
        examples: Number of examples so far.
        seconds: Time since it began.
        ended: Whether all chats were read.
    """

    chats: int
    examples: int
    seconds: float
    ended: bool = False

    @property
    def rate(self) -> float:
        """Chats per second."""
        return self.chats / max(self.seconds, 1e-3)


TellConversion = Callable[[ConversionProgress], None]
"""Is given the progress: first, about twice a second, and at the end."""


def observed(rows: Iterator[Row], examples: Examples, tell: TellConversion | None) -> Iterator[Row]:
    """Yield the rows of `examples`, and report the progress."""
    if tell is None:
        yield from rows
        return
    begun = last = time.monotonic()
    count = 0

    def progress(*, ended: bool = False) -> ConversionProgress:
        seconds = time.monotonic() - begun
        return ConversionProgress(examples.chats_read, count, seconds, ended)

    tell(ConversionProgress(0, 0, 0.0))
    for count, row in enumerate(rows, 1):  # noqa: B007 - `progress` reads it
        yield row
        if time.monotonic() - last >= _PAUSE_S:
            last = time.monotonic()
            tell(progress())
    tell(progress(ended=True))
