"""Has the system write files and folders to the disk, so that they outlive a loss of power.

A file's content and its name in the folder are two things: both are written before a record or an
answer says that the file is there.
"""

import os
from pathlib import Path


def flush(*paths: Path) -> None:
    """Return once the contents of files, and the names in folders, are on the disk.

    Raises:
        OSError: One can't be written, or is missing.
    """
    for path in paths:
        if os.name == "nt" and path.is_dir():
            # Windows opens no folder, and keeps the names itself.
            continue
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Return once all that a folder holds, at any depth, is on the disk.

    Raises:
        OSError: As `flush`.
    """
    flush(*(path for path in folder.rglob("*") if not path.is_symlink()), folder)
