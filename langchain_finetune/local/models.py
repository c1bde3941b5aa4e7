"""The models that the engine knows by name: its own base, aliases, and what it has fine-tuned."""

import re
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_models import NANO
from langchain_finetune.local.documents import Record, Table
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.sqlite import Database

ADAPTER = "adapter"
"""Folder beside a merged model's files that holds LoRA's matrices alone."""


class FineTuned(Record):
    """A fine-tuned model; `id` is its name.

    Attributes:
        job: The job that made it.
        base: Name of the base under the first of its jobs, such as `nano`.
        step: Step of the job that a checkpoint was made at; None for the job's model.
        adapts: The base that LoRA's matrices of this model go on top of; None where that is a
            fine-tuned model.
    """

    job: str
    base: str
    step: int | None = None
    adapts: str | None = None

    @property
    def folder(self) -> str:
        """Name of the folder of its weights."""
        return self.job if self.step is None else f"{self.job}-step-{self.step}"


@dataclass(frozen=True)
class Adapter:
    """LoRA's matrices of a fine-tuned model.

    Attributes:
        folder: Where they lie, in PEFT's format.
        base: The model that they go on top of.
    """

    folder: Path
    base: str


class Models:
    """Names of models, and the folders behind them.

    Args:
        database: Where the fine-tuned ones are recorded.
        folder: Where their weights lie; it is made where there is none.
        aliases: Other names of models, such as `{"gpt-3.5-turbo": "nano"}`.
        resolve_base: Finds a base model by name: its folder or hub id. It raises `ApiError` where
            there is none, and may take seconds.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        aliases: Mapping[str, str],
        resolve_base: Callable[[str], Path | str],
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._table = Table(database, "models", FineTuned)
        self._aliases = dict(aliases)
        self._resolve_base = resolve_base
        self._started_at = now()

    def sweep(self, jobs: Container[str]) -> None:
        """Remove what an engine that was killed has left of models that it did not take over.

        Args:
            jobs: Ids of the jobs that are known; what may be another's stays.
        """
        known = {tuned.folder for tuned in self._table.all()}
        for folder in self._folder.iterdir():
            if folder.name not in known and folder.name.partition("-step-")[0] in jobs:
                shutil.rmtree(folder, ignore_errors=True)

    def target(self, name: str) -> str:
        """Return the model's own name: what an alias stands for, else the name itself."""
        return self._aliases.get(name, name)

    def base_of(self, name: str) -> str:
        """Return the base that names are made of: a fine-tuned model keeps its first base's."""
        tuned = self._table.get(name)
        if tuned:
            return tuned.base
        # A folder's path would give a name that is long and tells about this machine.
        return Path(name).name if name.startswith(("/", "~", ".")) else name

    def resolve(self, name: str) -> Path | str:
        """Return the folder (or hub id) of any model that can be fine-tuned; may take seconds.

        Raises:
            ApiError: 404 with the code `model_not_found` where there is none.
        """
        target = self.target(name)
        try:
            tuned = self._table.get(target)
            return self._folder / tuned.folder if tuned else self._resolve_base(target)
        except (OSError, ValueError):
            # No name of a model: too long, or with characters that neither a path nor UTF-8 holds.
            raise _unknown(name) from None

    def servable(self, name: str) -> Path | None:
        """Return the folder of a model that can chat now, or None."""
        try:
            found = self.resolve(name)
        except ApiError:
            return None
        return found if isinstance(found, Path) else None

    def adapter(self, name: str) -> Adapter | None:
        """Return a fine-tuned model's LoRA matrices, if it has any that go on top of a base."""
        tuned = self._table.get(name)
        if tuned is None or tuned.adapts is None:
            return None
        folder = self._folder / tuned.folder / ADAPTER
        return Adapter(folder, tuned.adapts) if folder.is_dir() else None

    def keep(self, folder: Path, *, job: str, model: str, suffix: str | None) -> str:
        """Take over a finished model's folder and return its new name.

        Args:
            folder: Where training has left it, on the same disk.
            job: The job that made it.
            model: What was fine-tuned.
            suffix: The user's part of the name.

        Returns:
            A name such as `ft:nano:local:my-bot:Ab3dEf9h`.
        """
        base = self.base_of(model)
        name = model_name(base, suffix=suffix, job=job)
        of = self.target(model)
        adapts = None if self._table.get(of) else of
        tuned = FineTuned(id=name, created_at=now(), job=job, base=base, adapts=adapts)
        return self._take_over(folder, tuned)

    def keep_checkpoint(self, folder: Path, *, model: str, step: int) -> str:
        """Take over a checkpoint's folder and return its name.

        Args:
            folder: Where training has left it, on the same disk.
            model: The fine-tuned model that came of the same job.
            step: The step that it was made at.

        Returns:
            A name such as `ft:nano:local:my-bot:Ab3dEf9h:ckpt-step-20`.
        """
        tuned = self._table.get(model)
        assert tuned
        name = f"{model}:ckpt-step-{step}"
        return self._take_over(folder, tuned.model_copy(update={"id": name, "step": step}))

    def _take_over(self, folder: Path, tuned: FineTuned) -> str:
        shutil.rmtree(self._folder / tuned.folder, ignore_errors=True)
        folder.replace(self._folder / tuned.folder)
        self._table.put(tuned)
        return tuned.id

    def delete(self, name: str) -> None:
        """Forget a fine-tuned model and its weights.

        Raises:
            ApiError: 404 where there is none; 403 for a base or an alias.
        """
        tuned = self._table.get(name)
        if tuned is None:
            self.card(name)
            raise ApiError(403, "Only fine-tuned models can be deleted.", param="model")
        self._table.remove(name)
        shutil.rmtree(self._folder / tuned.folder, ignore_errors=True)

    def fine_tuned(self) -> list[FineTuned]:
        """Return the fine-tuned models and checkpoints, oldest first."""
        return self._table.all()

    def cards(self) -> list[dict[str, Any]]:
        """Return all models in OpenAI's shape; `root` names what an alias stands for."""
        return [
            _card(NANO, self._started_at),
            *(
                _card(name, self._started_at) | {"root": target}
                for name, target in self._aliases.items()
            ),
            *(_card(tuned.id, tuned.created_at) for tuned in self.fine_tuned()),
        ]

    def card(self, name: str) -> dict[str, Any]:
        """Return one model in OpenAI's shape.

        Raises:
            ApiError: 404 with the code `model_not_found` where there is none.
        """
        for card in self.cards():
            if card["id"] == name:
                return card
        raise _unknown(name)


def model_name(base: str, *, suffix: str | None, job: str) -> str:
    """Return the name of a fine-tuned model, in OpenAI's style.

    Example:
        >>> model_name("nano", suffix="my bot", job="ftjob-0123456789abcdef")
        'ft:nano:local:my-bot:89abcdef'
    """
    part = re.sub(r"[^\w.-]+", "-", suffix or "")
    return f"ft:{base}:local:{part}:{job[-8:]}"


def _unknown(name: str) -> ApiError:
    return ApiError(
        404, f"The model {name!r} does not exist.", code="model_not_found", param="model"
    )


def _card(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "local"}
