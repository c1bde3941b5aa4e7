"""Writing of training files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from langchain_finetune.private_files import replacing


@dataclass(frozen=True)
class WrittenFile:
    """A training file on disk.

    Attributes:
        path: Its path.
        examples: Number of lines.
        size: Size in bytes.
        sha256: SHA-256 in hex.
    """

    path: Path
    examples: int
    size: int
    sha256: str


class JsonlWriter:
    """Writes lines to a file that appears only when it is complete.

    Use as a context manager: after an exception nothing is left behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        self._hash = hashlib.sha256()
        self.examples = 0
        self.size = 0

    def __enter__(self) -> Self:
        self._replacing = replacing(self.path)
        self._file = self._replacing.__enter__()
        return self

    def write(self, line: bytes) -> None:
        """Append one line, including its newline."""
        self._file.write(line)
        self._hash.update(line)
        self.examples += 1
        self.size += len(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._replacing.__exit__(kind, error, trace)

    def written(self) -> WrittenFile:
        """Return the written file."""
        return WrittenFile(self.path, self.examples, self.size, self._hash.hexdigest())
