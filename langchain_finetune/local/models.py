"""The engine's models: its bases, aliases and fine-tuned models."""

import contextlib
import re
import shutil
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_finetune.durable import flush
from langchain_finetune.local.aliases import Aliases
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_library import NANO
from langchain_finetune.local.base_reference import belongs
from langchain_finetune.local.documents import Record, Table, UnreadableRecordError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.sqlite import Database

ADAPTER = "adapter"
"""Subfolder of a merged model that contains only its LoRA adapter."""


class FineTuned(Record):
    """A fine-tuned model, whose `id` is its name, and the base of its first job.

    `step` is set for checkpoints only. `adapts` is the base of its LoRA adapter; None if it was
    trained on a fine-tuned model. `sizes` are those of its files, in bytes; models of earlier
    versions have none. It is `damaged` where the last start of the engine found files missing.
    """

    job: str
    base: str
    step: int | None = None
    adapts: str | None = None
    sizes: dict[str, int] = Field(default_factory=dict)
    damaged: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder of its weights."""
        return self.job if self.step is None else f"{self.job}-step-{self.step}"


class DamagedModelError(ApiError):
    """A fine-tuned model is named whose files were damaged or gone when the engine started."""

    def __init__(self, name: str) -> None:
        super().__init__(
            404,
            f"Files of the model {name!r} are damaged or gone, as after a loss of power: run the"
            " same chain again to train it again, or put them back and start the engine again.",
            code="model_not_found",
            param="model",
        )


@dataclass(frozen=True)
class Adapter:
    """The LoRA adapter of a fine-tuned model in PEFT's format, and the name of its base."""

    folder: Path
    base: str


@dataclass(frozen=True)
class OnBase:
    """A fine-tuned model that is its adapter on the weights of its base, both folders."""

    adapter: Path
    base_name: str
    base: Path


class Models:
    """The engine's models by name.

    `resolve_base` may take seconds; `find_base` returns the folder of a base that is on this
    machine; `added` names added bases.

    Attributes:
        aliases: Other names, which may also be those of models.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        aliases: Mapping[str, str],
        resolve_base: Callable[[str], Path | str],
        added: Callable[[], Iterable[str]] = tuple,
        find_base: Callable[[str], Path | None] = lambda _: None,
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._table = Table(database, "models", FineTuned)
        self.aliases = Aliases(database, aliases)
        self._resolve_base = resolve_base
        self._added = added
        self._find_base = find_base
        self._started_at = now()

    def sweep(self, jobs: Container[str]) -> None:
        """Remove these jobs' models that a killed engine did not register; find damaged ones.

        Other folders are kept.
        """
        tuned_models = self._table.all()
        for tuned in tuned_models:
            damaged = _is_damaged(self._folder / tuned.folder, tuned.sizes)
            if damaged != tuned.damaged:
                self._table.put(tuned.model_copy(update={"damaged": damaged}))
        if self._table.unreadable:
            # Some folder may be that of such a record.
            return
        known = {tuned.folder for tuned in tuned_models}
        for folder in self._folder.iterdir():
            if folder.name not in known and folder.name.partition("-step-")[0] in jobs:
                shutil.rmtree(folder, ignore_errors=True)

    def target(self, name: str) -> str:
        """Return the model that an alias stands for, or the name itself."""
        return self.aliases.target(name)

    def base_of(self, name: str) -> str:
        """Return the base for a new model's name: for a fine-tuned model, its first base."""
        tuned = self._table.get(name)
        if tuned:
            return tuned.base
        # The whole path of a folder would be too long, and reveal details of this machine.
        return Path(name).name if name.startswith(("/", "~", ".")) else name

    def resolve(self, name: str) -> Path | str:
        """Return the folder or Hub id of a model, not of an alias; may take seconds.

        Raises:
            ApiError: 404 with the code `model_not_found` if it does not exist, or is damaged.
        """
        try:
            tuned = self._table.get(name)
            if tuned and tuned.damaged:
                raise DamagedModelError(name)
            return self._folder / tuned.folder if tuned else self._resolve_base(name)
        except (OSError, ValueError):
            # Not a valid name: too long, or with characters that are invalid in paths or UTF-8.
            raise _unknown(name) from None

    def tokenizer_of(self, name: str) -> Path | str:
        """Return where the tokenizer of a base is, whose weights need not be here.

        Raises:
            ApiError: 400 if a folder of that name does not contain a model.
        """
        return self._find_base(name) or name

    def servable(self, name: str) -> Path | None:
        """Return the folder of a model that can be served now, or None.

        Raises:
            DamagedModelError: It would be there, but for its files.
            UnreadableRecordError: It would be there, but for its record.
        """
        try:
            found = self.resolve(name)
        except (DamagedModelError, UnreadableRecordError):
            raise
        except ApiError:
            return None
        return found if isinstance(found, Path) else None

    def loadable(self, name: str) -> Path | OnBase | None:
        """Return what to serve a model from: its own weights, or those of its base if it can be.

        Raises:
            DamagedModelError: It would be there, but for its files.
        """
        folder = self.servable(name)
        if folder and (adapter := self.adapter(name)):
            with contextlib.suppress(ApiError):
                base = self._find_base(adapter.base)
                if base and belongs(adapter.folder, base):
                    return OnBase(adapter.folder, adapter.base, base)
        return folder

    def adapter(self, name: str) -> Adapter | None:
        """Return the LoRA adapter of a fine-tuned model, if it has one for a base model."""
        tuned = self._table.get(name)
        if tuned is None or tuned.adapts is None or tuned.damaged:
            return None
        folder = self._folder / tuned.folder / ADAPTER
        return Adapter(folder, tuned.adapts) if folder.is_dir() else None

    def keep(self, folder: Path, *, job: str, model: str, suffix: str | None) -> str:
        """Move a job's trained model here, from the same disk; return its name (`model_name`)."""
        base = self.base_of(model)
        name = model_name(base, suffix=suffix, job=job)
        of = self.target(model)
        adapts = None if self._table.get(of) else of
        tuned = FineTuned(id=name, created_at=now(), job=job, base=base, adapts=adapts)
        return self._register(folder, tuned)

    def keep_checkpoint(self, folder: Path, *, model: str, step: int) -> str:
        """Move a checkpoint here; return its name, which ends in `:ckpt-step-20` at step 20."""
        tuned = self._table.get(model)
        assert tuned
        name = f"{model}:ckpt-step-{step}"
        return self._register(folder, tuned.model_copy(update={"id": name, "step": step}))

    def _register(self, folder: Path, tuned: FineTuned) -> str:
        shutil.rmtree(self._folder / tuned.folder, ignore_errors=True)
        folder.replace(self._folder / tuned.folder)
        flush(self._folder)
        sizes = _sizes(self._folder / tuned.folder)
        self._table.put(tuned.model_copy(update={"sizes": sizes}))
        return tuned.id

    def delete(self, name: str) -> None:
        """Delete a fine-tuned model and its weights.

        Raises:
            ApiError: 404 if it does not exist; 403 for a base or an alias; 409 if an alias points
                at it.
        """
        tuned = self._table.get(name)
        if tuned is None:
            self.card(name)
            raise ApiError(403, "Only fine-tuned models can be deleted.", param="model")
        if aliases := self.aliases.of(name):
            raise ApiError(
                409,
                f"The model {name!r} answers, or is tried, for {', '.join(map(repr, aliases))}:"
                " promote another model there, roll back, or remove the alias.",
                code="model_in_use",
                param="model",
            )
        self._table.remove(name)
        shutil.rmtree(self._folder / tuned.folder, ignore_errors=True)

    def fine_tuned(self) -> list[FineTuned]:
        """Return the fine-tuned models and checkpoints that can answer, oldest first."""
        return [tuned for tuned in self._table.all() if not tuned.damaged]

    def cards(self) -> list[dict[str, Any]]:
        """Return all models in OpenAI's format; `root` is what an alias stands for."""
        cards = {name: _card(name, self._started_at) for name in (NANO, *self._added())}
        for name, (rollout, created_at) in self.aliases.all().items():
            cards[name] = _card(name, created_at) | {"root": rollout.target}
        for tuned in self.fine_tuned():
            # An alias may have the name of a model, for which it then stands.
            cards.setdefault(tuned.id, _card(tuned.id, tuned.created_at))
        return list(cards.values())

    def card(self, name: str) -> dict[str, Any]:
        """Return a model in OpenAI's format.

        Raises:
            ApiError: 404 with the code `model_not_found` if it does not exist.
        """
        for card in self.cards():
            if card["id"] == name:
                return card
        tuned = self._table.get(name)
        raise DamagedModelError(name) if tuned and tuned.damaged else _unknown(name)


def model_name(base: str, *, suffix: str | None, job: str) -> str:
    """Return the name of a fine-tuned model, in OpenAI's format.

    Example:
        >>> model_name("nano", suffix="my bot", job="ftjob-0123456789abcdef")
        'ft:nano:local:my-bot:89abcdef'
    """
    part = re.sub(r"[^\w.-]+", "-", suffix or "")
    return f"ft:{base}:local:{part}:{job[-8:]}"


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of a model's files, by their paths in its folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _is_damaged(folder: Path, recorded: Mapping[str, int]) -> bool:
    """Return whether files are missing or empty, or weights have another size than recorded.

    Other files may have been edited.
    """
    found = _sizes(folder)
    weights = {name: size for name, size in found.items() if name.endswith(".safetensors")}
    return (
        "config.json" not in found
        or not all(weights.values())
        or any(size and not found.get(name) for name, size in recorded.items())
        or any(recorded.get(name, size) != size for name, size in weights.items())
    )


def _unknown(name: str) -> ApiError:
    return ApiError(
        404, f"The model {name!r} does not exist.", code="model_not_found", param="model"
    )


def _card(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "local"}
