"""Writing of training files."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Self

from langchain_finetune.durable import flush


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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Training text is private: only its owner may read the file. Each writer has its own
        # temporary file, since another thread or process may write the same path now.
        descriptor, fresh = mkstemp(".part", f"{self.path.name}.", self.path.parent)
        self._fresh = Path(fresh)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def write(self, line: bytes) -> None:
        """Append one line, including its newline."""
        self._file.write(line)
        self._hash.update(line)
        self.examples += 1
        self.size += len(line)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                flush(self._fresh)
                self._fresh.replace(self.path)
        finally:
            # No text may be left behind, also if the disk is full or the path is a folder.
            self._fresh.unlink(missing_ok=True)

    def written(self) -> WrittenFile:
        """Return the written file."""
        return WrittenFile(self.path, self.examples, self.size, self._hash.hexdigest())
