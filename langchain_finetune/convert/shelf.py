"""Texts that wait for something later, on disk where there are many."""

from tempfile import SpooledTemporaryFile
from typing import IO, cast

_IN_MEMORY = 16 * 2**20
"""Bytes that stay in memory; beyond them all texts go into a temporary file."""

Place = tuple[int, int]
"""Where a text lies: its first byte, and how many."""


class Shelf:
    """Keeps texts out of memory until they are wanted.

    Their file is only its owner's to read, and is gone when the shelf is closed or the process
    ends.

    Example:
        >>> from contextlib import closing
        >>> with closing(Shelf()) as shelf:
        ...     place = shelf.put(b"later")
        ...     shelf.get(place)
        b'later'
    """

    def __init__(self) -> None:
        # It is closed where the shelf is.
        self._file = cast(IO[bytes], SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
        self._end = 0

    def put(self, text: bytes) -> Place:
        """Keep a text."""
        place = (self._end, len(text))
        self._file.seek(self._end)
        self._file.write(text)
        self._end += len(text)
        return place

    def get(self, place: Place) -> bytes:
        """Return a text."""
        start, length = place
        self._file.seek(start)
        return self._file.read(length)

    def close(self) -> None:
        """Forget all texts."""
        self._file.close()
