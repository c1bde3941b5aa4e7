"""A recording that is being made: what the sync and the async `record` share."""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import SecretStr

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.engines.base import Access, Engine, same_address
from langchain_finetune.engines.openai import is_openai, shutdown_of
from langchain_finetune.errors import BudgetError, FineTuningError
from langchain_finetune.migration.asking import Asking
from langchain_finetune.migration.estimate import RecordingEstimate, make_tasks
from langchain_finetune.migration.journal import AnswerJournal
from langchain_finetune.migration.manifests import MANIFEST
from langchain_finetune.migration.prices import InferencePrice, inference_price, plain_number, unpriced
from langchain_finetune.migration.prompts import RecordedPrompt, select_prompts
from langchain_finetune.migration.recording import (
    ANSWERS,
    ModelRecording,
    PromptSettings,
    RecordingManifest,
    counted,
    described,
    hashes,
    read_prompt_file,
    write_private,
    write_prompts,
    write_training_lines,
)
from langchain_finetune.migration.sources import name_of_source, prompts_from, why_none
from langchain_finetune.private_files import disk_errors
from langchain_finetune.sessions import Skip

_NOT_SETTINGS = frozenset(
    {"messages", "metadata", "model", "n", "service_tier", "store", "stream", "stream_options"}
)
"""What a recording itself decides; `service_tier` has other prices."""


@dataclass
class Recorder:
    """One call of `record`: its arguments, and the folder that it writes to.

    `open`, `ask_for` and `close` may block, and may be called from different threads.
    """

    model: str
    sources: Iterable[Any] | None
    out: Path
    answers: int
    limit: int
    held_out: float
    seed: int
    settings: Mapping[str, Any] | None
    engine_name: str
    base_url: str | None
    api_key: SecretStr | str | None = field(repr=False)
    price: InferencePrice | None
    max_cost_usd: float | None
    confirm: Callable[[RecordingEstimate], bool] | None
    concurrency: int = 16
    ask_again: bool = False
    store: bool = True
    settle_s: float = 120.0
    timeout_s: float = 300.0

    def __post_init__(self) -> None:
        bounds = {"answers": 0, "limit": 1, "concurrency": 1}
        for name, least in bounds.items():
            if getattr(self, name) < least:
                raise FineTuningError(f"{name} must be at least {least}.")
        if fixed := _NOT_SETTINGS.intersection(self.settings or ()):
            raise FineTuningError(
                f"settings cannot have {', '.join(sorted(fixed))}: a recording asks its model with "
                "the prompts' messages for one whole answer at a time; `answers` says how many."
            )
        if not 0 <= self.held_out < 1:
            raise FineTuningError("held_out must be at least 0 and less than 1.")
        # Opened in one thread and closed in another by the async twin.
        self._lock = FileLock(self.out / ".lock", timeout=0, mode=0o600, thread_local=False)
        self._writing = threading.Lock()
        self.asking: Asking | None = None
        # What was left out of a selection that is not written down yet.
        self._left_out: list[Skip] | None = None
        if self.sources is not None:
            self.sources = list(self.sources)
        self.selection = PromptSettings(
            sources=[name_of_source(source) for source in self.sources or ()],
            limit=self.limit,
            held_out=self.held_out,
            seed=self.seed,
            settings=None if self.settings is None else dict(self.settings),
        )

    @cached_property
    def engine(self) -> Engine:
        """The engine."""
        return engine_of(self.engine_name)

    @cached_property
    def access(self) -> Access:
        """Address and key; may start the embedded engine."""
        key = self.api_key
        return self.engine.access(self.base_url, SecretStr(key) if isinstance(key, str) else key)

    @disk_errors("The recording")
    def open(self) -> None:
        """Lock the folder, and read its prompts and answers; or select the prompts.

        Raises:
            FineTuningError: Another process records there, it has another recording, or there are
                no prompts.
            LoadError: A source can't be read.
        """
        address = without_secrets(self.access.base_url)
        try:
            self.out.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        except FileExistsError as error:
            raise FineTuningError(f"{self.out} is not a folder: choose another one.") from error
        except Timeout as error:
            raise FineTuningError(f"Another process is recording into {self.out}.") from error
        try:
            self.journal = journal = AnswerJournal(self.out / ANSWERS)
            begun = False
            if (self.out / MANIFEST).exists():
                self.manifest = RecordingManifest.read(self.out)
                self._check(self.manifest, address)
                self.prompts = read_prompt_file(self.out)
                begun = journal.begun or self.sources is None
            if begun:
                self._go_on()
            else:
                self._select(address)
            self.manifest.answers = self.answers
            known = inference_price(self.model, self.engine_name, address)
            self.manifest.price = self.price or known or self.manifest.price
        except BaseException:
            if hasattr(self, "journal"):
                self._leave()
            self._lock.release()
            raise

    def _check(self, manifest: RecordingManifest, address: str) -> None:
        moved = self.engine.takes_base_url and not same_address(manifest.base_url, address)
        if manifest.model != self.model or manifest.engine != self.engine_name or moved:
            raise FineTuningError(
                f"{self.out} holds the recording of {manifest.model} at {manifest.base_url}: "
                f"choose another folder for {self.model} at {address}."
            )

    def _select(self, address: str) -> None:
        if self.sources is None:
            raise FineTuningError(
                f"{self.out} has no recording yet: give the sources of prompts "
                "(--file or --project)."
            )
        self.prompts, left_out = self._selected([], self.selection)
        if not self.prompts:
            raise FineTuningError(
                f"There are no prompts to ask {self.model} again ({why_none(left_out)})."
            )
        self._left_out = left_out
        stops = shutdown_of(self.model) if is_openai(address) else None
        now = dt.datetime.now(dt.UTC)
        self.manifest = RecordingManifest(
            id=uuid.uuid4().hex[:16],
            model=self.model,
            engine=self.engine_name,
            base_url=address,
            version=version("langchain-finetune"),
            started_at=now,
            updated_at=now,
            shutdown_date=None if stops is None else stops.isoformat(),
            answers=self.answers,
            selection=self.selection,
            **described(self.prompts, left_out),
        )

    def _go_on(self) -> None:
        """Keep the recorded prompts; add others if more, or further sources, are given.

        Raises:
            FineTuningError: Other prompts would have been selected, or treated in another way.
        """
        before = self.manifest.selection
        if before is None:
            return
        changed = before.changed(self.selection, resumed=self.sources is None)
        if changed:
            raise FineTuningError(
                f"The recording in {self.out} was begun with other settings: {', '.join(changed)}. "
                "Give the same ones to go on, or record into another folder."
            )
        wanted = self.selection
        if self.sources is None or wanted == before:
            return
        added, left_out = self._selected(self.prompts, wanted)
        if added:
            self.prompts = [*self.prompts, *added]
            self._left_out = left_out
            self.manifest = self.manifest.model_copy(
                update={"selection": wanted, **described(self.prompts, left_out)}
            )

    def _selected(
        self, kept: list[RecordedPrompt], wanted: PromptSettings
    ) -> tuple[list[RecordedPrompt], list[Skip]]:
        left_out: list[Skip] = []
        prompts = select_prompts(
            prompts_from(self.sources or (), self.model, left_out.append),
            limit=wanted.limit,
            held_out=wanted.held_out,
            seed=wanted.seed,
            settings=wanted.settings,
            kept=kept,
            skip=left_out.append,
        )
        return prompts, left_out

    def begin(self) -> None:
        """Write down what is asked. Until then another selection can still be made."""
        if self._left_out is not None:
            write_prompts(self.out, self.prompts, self._left_out)
            self._left_out = None
        # The last file: only with it has the recording begun.
        self._save()

    def ask_for(self) -> Asking:
        """Return what is to be asked for, without having asked whether it may be."""
        price = self.manifest.price
        tasks, self.estimate = make_tasks(
            self.model, self.prompts, self.answers, self.journal, price, ask_again=self.ask_again
        )
        lost = {*self.journal.unknown} - {task.key for task in tasks}
        each = max((task.most_usd for task in tasks), default=0.0)
        self.asking = Asking(
            model=self.model,
            recording_id=self.manifest.id,
            base_url=without_secrets(self.access.base_url),
            key_variable=self.engine.key_variable,
            journal=self.journal,
            tasks=tasks,
            price=price,
            max_cost_usd=self.max_cost_usd,
            stores=self.store,
            retry=self.engine.pace.retry,
            settle_s=self.settle_s,
            timeout_s=self.timeout_s,
            saved=self._save,
            lost_usd=len(lost) * each,
        )
        return self.asking

    def check_cost(self) -> None:
        """Check the cost against the limit, and have it confirmed.

        Raises:
            BudgetError: It is too high, not known, or not confirmed.
        """
        made, limit = self.estimate, self.max_cost_usd
        if made.price is not None and made.price.input_usd == made.price.output_usd == 0:
            return
        if limit is None and self.confirm is None:
            raise BudgetError(
                f"Nothing was sent. {made} Give max_cost_usd, or confirm, a function that is given "
                "the estimate."
            )
        if limit is not None:
            if made.usd is None:
                raise BudgetError(
                    f"Nothing was sent: max_cost_usd={limit:g} can't be checked for {self.model} "
                    f"at {without_secrets(self.access.base_url)}. {unpriced(self.model)}"
                )
            if made.usd + (made.spent_usd or 0.0) > limit:
                raise BudgetError(
                    f"Nothing was sent: it would exceed max_cost_usd={plain_number(limit)}. {made} Lower limit "
                    "or answers, or raise max_cost_usd (--limit, --answers, --max-cost-usd)."
                )
        if self.confirm is not None and not self.confirm(made):
            raise BudgetError("Not confirmed; nothing was sent.")

    @disk_errors("The recording")
    def close(self) -> None:
        """Write the training lines and the manifest, and unlock the folder."""
        try:
            self._leave()
            if self._left_out is not None:
                return  # Nothing was asked: nothing has changed.
            if self.asking is not None and self.asking.done:
                self.manifest.stored = self.asking.proven
            write_training_lines(self.out, self.prompts, self.journal)
            counted(self.manifest, self.prompts, self.journal)
            if self.manifest.outcomes["missing"]:
                self.manifest.finished_at = None
            elif self.manifest.finished_at is None or (self.asking and self.asking.done):
                self.manifest.finished_at = self.manifest.updated_at
            self.manifest.files = hashes(self.out)
            self._save()
        finally:
            self._lock.release()

    def _leave(self) -> None:
        """Close the journal; an empty one without a recording is removed."""
        self.journal.close()
        if not (self.out / MANIFEST).exists() and not self.journal.path.stat().st_size:
            self.journal.path.unlink()

    def result(self) -> ModelRecording:
        """Return the recording, as it is on the disk."""
        return ModelRecording(self.out, self.manifest)

    def _save(self) -> None:
        with self._writing:
            counted(self.manifest, self.prompts, self.journal)
            write_private(self.out / MANIFEST, self.manifest.model_dump_json(indent=2).encode())
