"""Files that only their owner may read, and errors of the disk in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from langchain_finetune.durable import flush
from langchain_finetune.errors import FineTuningError


def open_private(path: Path, *, new: bool = False) -> int:
    """Open a file for its owner only, to read and write; return the descriptor.

    What is there keeps its content and loses the permissions of others. With `new`, it is
    replaced instead. A symbolic link is never followed.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    if new:
        path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else getattr(os, "O_NOFOLLOW", 0))
    descriptor = os.open(path, flags, 0o600)
    if not new and os.name == "posix":
        os.fchmod(descriptor, 0o600)
    return descriptor


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file for its owner only, which is at a path once the block has ended.

    After an exception, what was there stays, and nothing is left behind.

    Raises:
        OSError: It can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each has its own temporary file, since another thread or process may write the same path now.
    descriptor, fresh = mkstemp(".part", f"{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        flush(Path(fresh))
        Path(fresh).replace(path)
    finally:
        # No text may be left behind, also if the disk is full or the path is a folder.
        Path(fresh).unlink(missing_ok=True)


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Raise an error of the disk as a `FineTuningError`; also as a decorator.

    Args:
        what: What stops by it, such as `The rescue`.

    Raises:
        FineTuningError: The disk is full, a folder cannot be written, ...
    """
    try:
        yield
    except ConnectionError:  # Of a user's function, such as one that prints to a closed pipe.
        raise
    except OSError as error:
        raise disk_error(what, error) from error


def disk_error(what: str, error: OSError) -> FineTuningError:
    """Return an error of the disk in words, with its cause."""
    found = FineTuningError(
        f"{what} failed: {error}. What was written before is kept: remove the cause, and run the "
        "same again."
    )
    found.__cause__ = error
    return found
