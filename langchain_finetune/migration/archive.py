"""The folder of a rescue: one folder for each model, and a manifest with the hash of each file.

A file is complete when it has its name. It is written under another one, its hash goes into the
manifest, and then it is renamed, so that a process may die at any moment: what lies there under
either name with the manifest's hash needs no second request. Files are readable only by their
owner.
"""

import base64
import binascii
import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, Field

from langchain_finetune.engines.jobs import DownloadedFile
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.folders import (
    MANIFEST,
    locked_folder,
    new_file,
    read_manifest,
    rename,
    write_private,
)
from langchain_finetune.migration.listing import CHECKPOINT, TunedModel
from langchain_finetune.private_files import disk_errors
from langchain_finetune.tolerant_json import dumps

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PART = 4 * 2**18  # A multiple of 4: base64 is decoded in these parts.


CHANGED = "changed or removed after it was rescued"

MissingState = Literal["gone", "refused", "failed"]
"""Why something is not in a rescue."""


class RescuedFile(BaseModel):
    """A file of a rescue.

    Attributes:
        sha256: SHA-256 of its content, in hex.
        size: Size in bytes.
        fetched_at: When it was complete.
        file_id: Id of the file at the engine, if it is one.
        filename: Its name there.
        created_at: When it was uploaded there.
    """

    sha256: str
    size: int
    fetched_at: dt.datetime
    file_id: str | None = None
    filename: str | None = None
    created_at: dt.datetime | None = None


class MissingItem(BaseModel):
    """What could not be fetched.

    Attributes:
        what: What it is, such as `training file`.
        id: Its id at the engine.
        state: `gone`: the engine has no such thing (any more). `refused`: it does not give it out.
            `failed`: it did not answer; the next run tries again.
        reason: The engine's own sentence.
        since: When this was first observed.
    """

    what: str
    id: str | None = None
    state: MissingState
    reason: str
    since: dt.datetime


class RescuedModel(BaseModel):
    """What a rescue has of a model.

    Attributes:
        model: The model, as the account listed it.
        folder: Its folder in that of the rescue.
        files: The files by name.
        missing: What could not be fetched, and why.
        completions: Number of stored chat completions.
        complete: Nothing is left to be fetched, as far as the engine gives it out.
    """

    model: TunedModel
    folder: str
    files: dict[str, RescuedFile] = Field(default_factory=dict)
    missing: list[MissingItem] = Field(default_factory=list)
    completions: int = 0
    complete: bool = False


class RescueManifest(BaseModel):
    """What a rescue has fetched: the content of its `manifest.json`.

    Attributes:
        engine: Name of the engine.
        base_url: Its address.
        started_at: When the rescue began.
        updated_at: When something was last added.
        models: What there is of each model, by its name.
        notes: What the engine does not offer.

    Example:
        ```python
        found = rescue(out="rescued")
        for name, model in found.models.items():
            print(name, len(model.files), [item.what for item in model.missing])
        ```
    """

    engine: str
    base_url: str
    started_at: dt.datetime
    updated_at: dt.datetime
    models: dict[str, RescuedModel] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the manifest of a folder.

        Raises:
            FineTuningError: The folder has none, or it is damaged.
        """
        return read_manifest(cls, folder, "a rescue", "Rescue")

    @property
    def failed(self) -> list[MissingItem]:
        """What the engine did not answer for; the same call again tries again."""
        items = (item for model in self.models.values() for item in model.missing)
        return [item for item in items if item.state == "failed"]


def rescued_model(folder: Path, model: str) -> RescuedModel | None:
    """Return what a rescue has of a model; None without one, or if the folder holds no rescue.

    For a checkpoint's model that is what it has of the last model of the same job.
    """
    if not (folder / MANIFEST).is_file():
        return None
    checkpoint = CHECKPOINT.match(model)
    return RescueManifest.read(folder).models.get(checkpoint["model"] if checkpoint else model)


class Archive:
    """Writes the folder of a rescue. Use `Archive.opened`: one process writes at a time."""

    manifest: RescueManifest

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: set[Path] = set()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Self]:
        """Open the folder of a new rescue, or of one to go on with; then call `begin`.

        Raises:
            FineTuningError: Another process writes there, it is not a folder, or the disk fails.
        """
        folder = folder.expanduser()
        with disk_errors("The rescue"), locked_folder(folder, "writing to"):
            yield cls(folder)

    def begin(self, engine: str, base_url: str) -> None:
        """Read the manifest, or begin a new one.

        Raises:
            FineTuningError: The folder holds the rescue of another account.
        """
        now = dt.datetime.now(dt.UTC)
        self.manifest = RescueManifest(
            engine=engine, base_url=base_url, started_at=now, updated_at=now
        )
        if (self.folder / MANIFEST).exists():
            self.manifest = RescueManifest.read(self.folder)
        if (self.manifest.engine, self.manifest.base_url) != (engine, base_url):
            raise FineTuningError(
                f"{self.folder} holds what was rescued from {self.manifest.base_url}: choose "
                f"another folder for {base_url}."
            )

    def add(self, model: TunedModel) -> RescuedModel:
        """Return the entry of a model, and make its folder."""
        entry = self.manifest.models.get(model.name)
        if entry is None:
            entry = RescuedModel(model=model, folder=folder_name(model.name))
            self.manifest.models[model.name] = entry
        entry.model = model
        folder = self.folder / entry.folder
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise FineTuningError(f"{folder} is not a folder: remove the file.") from error
        folder.chmod(0o700)
        return entry

    def path(self, entry: RescuedModel, name: str) -> Path:
        """Return the path of a model's file."""
        return self.folder / entry.folder / name

    def part(self, entry: RescuedModel, name: str) -> Path:
        """Return the path under which a model's file is written."""
        return self.folder / entry.folder / f".{name}.part"

    def has(self, entry: RescuedModel, name: str) -> bool:
        """Return whether a file is complete: there, with the manifest's hash.

        It is given its name where a process died before that.
        """
        known, path, part = entry.files.get(name), self.path(entry, name), self.part(entry, name)
        if known is None:
            return False
        if path not in self._checked and not is_whole(path, known):
            if not is_whole(part, known):
                return False
            rename(part, path)
        self._checked.add(path)
        return True

    def same_file(self, file_id: str) -> Path | None:
        """Return a complete file of another model that is the same one at the engine."""
        for entry in self.manifest.models.values():
            for name, known in entry.files.items():
                if known.file_id == file_id and self.has(entry, name):
                    return self.path(entry, name)
        return None

    def write(self, entry: RescuedModel, name: str, content: bytes) -> None:
        """Write a file, and put it into the manifest."""
        with new_file(self.part(entry, name)) as file:
            file.write(content)
        self.finish(entry, name, DownloadedFile(hashlib.sha256(content).hexdigest(), len(content)))

    def finish(
        self, entry: RescuedModel, name: str, written: DownloadedFile, **fields: Any
    ) -> None:
        """Give a file that is on the disk its name, after its hash is in the manifest."""
        now = dt.datetime.now(dt.UTC)
        known = RescuedFile(sha256=written.sha256, size=written.size, fetched_at=now, **fields)
        entry.files[name] = known
        self.save()
        path = self.path(entry, name)
        rename(self.part(entry, name), path)
        self._checked.add(path)

    def miss(self, entry: RescuedModel, item: MissingItem) -> None:
        """Note that something is missing, since when it was first observed."""
        before = [each for each in entry.missing if (each.what, each.id) == (item.what, item.id)]
        same = [each for each in before if each.state == item.state]
        entry.missing = [each for each in entry.missing if each not in before]
        entry.missing.append(same[0] if same else item)
        self.save()

    def found(self, entry: RescuedModel, what: str, item_id: str | None) -> None:
        """Forget that something was missing."""
        entry.missing = [each for each in entry.missing if (each.what, each.id) != (what, item_id)]

    def save(self) -> None:
        """Write the manifest, atomically."""
        self.manifest.updated_at = dt.datetime.now(dt.UTC)
        content = dumps(self.manifest.model_dump(mode="json"), orjson.OPT_INDENT_2)
        write_private(self.folder / MANIFEST, content)


def folder_name(model: str) -> str:
    """Return a name of a folder for a model, safe on each system and different for each model.

    Example:
        >>> folder_name("ft:gpt-4o-mini:acme::a1")
        'ft_gpt-4o-mini_acme_a1-676f24f8'
    """
    readable = _UNSAFE.sub("_", model).strip("._-")[:80] or "model"
    return f"{readable}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def decode(path: Path, target: Path) -> DownloadedFile | None:
    """Decode a file that is base64 as a whole, or return None; memory does not grow with it."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, new_file(target) as file:
        try:
            while part := source.read(_PART):
                decoded = base64.b64decode(part.rstrip(b"\r\n"), validate=True)
                file.write(decoded)
                digest.update(decoded)
                size += len(decoded)
        except binascii.Error:
            target.unlink()
            return None
    return DownloadedFile(digest.hexdigest(), size)


def copy(path: Path, target: Path) -> DownloadedFile:
    """Copy a file onto the disk."""
    with path.open("rb") as source, new_file(target) as file:
        shutil.copyfileobj(source, file)
    return hashed(target)


def hashed(path: Path) -> DownloadedFile:
    """Return a file's SHA-256 and size.

    Raises:
        FileNotFoundError: There is none.
    """
    with path.open("rb") as file:
        return DownloadedFile(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


def is_whole(path: Path, known: RescuedFile) -> bool:
    """Return whether a file is there as it was rescued."""
    try:
        return hashed(path) == DownloadedFile(known.sha256, known.size)
    except FileNotFoundError:
        return False
