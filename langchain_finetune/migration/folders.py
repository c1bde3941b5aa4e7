"""Folders that rescue, record and migrate write: one process at a time, for their owner only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from langchain_finetune.durable import flush
from langchain_finetune.errors import FineTuningError
from langchain_finetune.private_files import disk_error, open_private

MANIFEST = "manifest.json"

Manifest = TypeVar("Manifest", bound=BaseModel)


@contextmanager
def locked_folder(folder: Path, doing: str) -> Iterator[None]:
    """Make a folder, and keep other processes out of it; one that stays empty is removed.

    Args:
        folder: The folder.
        doing: What is done there, for messages: "recording into".

    Raises:
        FineTuningError: Another process has locked it, or it is not a folder.
    """
    # Locked in one thread and unlocked in another by async callers.
    lock = FileLock(folder / ".lock", timeout=0, mode=0o600, thread_local=False)
    is_new = not folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except (FileExistsError, NotADirectoryError) as error:
        raise FineTuningError(f"{folder} is not a folder: choose another one.") from error
    except Timeout as error:
        raise FineTuningError(f"Another process is {doing} {folder}.") from error
    try:
        yield
    finally:
        # Somebody else may have moved the folder away.
        with suppress(OSError):
            if [each.name for each in folder.iterdir()] == [".lock"]:
                # Nothing was done. Whoever waits for this very file starts over.
                (folder / ".lock").unlink()
                if is_new:
                    folder.rmdir()
        lock.release()


def read_manifest(kind: type[Manifest], folder: str | Path, what: str, verb: str) -> Manifest:
    """Return the manifest of a folder.

    Args:
        kind: Its model.
        folder: The folder.
        what: What the folder holds, for messages: "a rescue".
        verb: What makes another one, for messages: "Rescue".

    Raises:
        FineTuningError: The folder has none, or it is damaged.
    """
    path = Path(folder).expanduser() / MANIFEST
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FineTuningError(
            f"{folder} is not the folder of {what}: it has no {MANIFEST}."
        ) from error
    except OSError as error:
        raise disk_error(f"Reading {path}", error) from error
    except ValidationError as error:
        raise FineTuningError(
            f"{path} is damaged or of another version. {verb} into another folder."
        ) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that only its owner may read; it is on the disk after the block."""
    with os.fdopen(open_private(path, new=True), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def rename(part: Path, path: Path) -> None:
    """Give a file its name; it has it on the disk when this returns."""
    part.replace(path)
    flush(path.parent)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, atomically and onto the disk."""
    part = path.with_name(f".{path.name}.part")
    with new_file(part) as file:
        file.write(content)
    rename(part, path)
