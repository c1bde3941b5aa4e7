"""The manifest in the folder of a rescue or a recording, read from disk."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from langchain_finetune.errors import FineTuningError
from langchain_finetune.private_files import disk_error

MANIFEST = "manifest.json"

Manifest = TypeVar("Manifest", bound=BaseModel)


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
