"""Files that only their owner may read, and errors of the disk in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
