"""A recording that is being made: what the sync and the async `record` share."""

import datetime as dt
import threading
import uuid
from contextlib import ExitStack
from importlib.metadata import version

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import same_address
from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.engines.flow import Flow
from langchain_finetune.engines.openai import is_openai, shutdown_of
from langchain_finetune.errors import BudgetError, FineTuningError
from langchain_finetune.finetune.connection import Account, Connection
from langchain_finetune.migration.answering import ask_for_all
from langchain_finetune.migration.asking import Asking
from langchain_finetune.migration.estimate import RecordingEstimate, make_tasks
from langchain_finetune.migration.folders import MANIFEST, locked_folder, write_private
from langchain_finetune.migration.journal import AnswerJournal
from langchain_finetune.migration.prices import inference_price, plain_number, unpriced
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
    write_prompts,
    write_training_lines,
)
from langchain_finetune.migration.settings import RecordingSettings
from langchain_finetune.migration.sources import name_of_source, prompts_from, why_none
from langchain_finetune.private_files import disk_errors
from langchain_finetune.sessions import Skip


class Recorder:
    """One call of `record`: its settings, and the folder that it writes to.

    `open`, `check_cost` and `close` may block, and may be called from different threads.

    Attributes:
        settings: The settings.
        connection: The engine.
        manifest: What the folder has.
        prompts: What is asked.
        asking: What is still to be asked for.
        estimate: What that takes.
    """

    manifest: RecordingManifest
    prompts: list[RecordedPrompt]
    asking: Asking
    estimate: RecordingEstimate

    def __init__(self, settings: RecordingSettings) -> None:
        self.settings = settings
        self.connection = Connection(settings.engine, settings.base_url, settings.api_key)
        self._engine = engine_of(settings.engine)
        self._out = settings.out
        self._folder = ExitStack()
        self._writing = threading.Lock()
        # What was left out of a selection that is not written down yet.
        self._left_out: list[Skip] | None = None
        self._selection = PromptSettings(
            sources=[name_of_source(source) for source in settings.sources or ()],
            limit=settings.limit,
            held_out=settings.held_out,
            seed=settings.seed,
            settings=settings.settings,
        )

    @disk_errors("The recording")
    def open(self) -> None:
        """Lock the folder, read its prompts and answers, or select the prompts; see what to ask.

        Raises:
            FineTuningError: Another process records there, it has another recording, or there are
                no prompts.
            LoadError: A source can't be read.
        """
        settings = self.settings
        self._address = without_secrets(self.connection.access().base_url)
        with ExitStack() as folder:
            folder.enter_context(locked_folder(self._out, "recording into"))
            self._journal = AnswerJournal(self._out / ANSWERS)
            folder.callback(self._leave)
            begun = False
            if (self._out / MANIFEST).exists():
                self.manifest = RecordingManifest.read(self._out)
                self._check(self.manifest)
                self._check_journal(self.manifest)
                self.prompts = read_prompt_file(self._out)
                begun = self._journal.begun or settings.sources is None
            if begun:
                self._go_on()
            else:
                self._select()
            self.manifest.answers = settings.answers
            known = inference_price(settings.model, settings.engine, self._address)
            self.manifest.price = settings.price or known or self.manifest.price
            self.asking = self._asking()
            self._folder = folder.pop_all()

    def _check(self, manifest: RecordingManifest) -> None:
        model, address = self.settings.model, self._address
        moved = self._engine.takes_base_url and not same_address(manifest.base_url, address)
        if manifest.model != model or manifest.engine != self.settings.engine or moved:
            raise FineTuningError(
                f"{self._out} holds the recording of {manifest.model} at {manifest.base_url}: "
                f"choose another folder for {model} at {address}."
            )

    def _check_journal(self, manifest: RecordingManifest) -> None:
        """Refuse to ask again for what was paid for; a process that died may lose one line."""
        there, known = len(self._journal.answered), manifest.outcomes.get("answered", 0)
        if there + 1 < known and not self.settings.ask_again:
            raise FineTuningError(
                f"{self._out / ANSWERS} has {there} of {known} answers that were paid for: restore "
                "the file. To pay for them again, set ask_again (--ask-again)."
            )

    def _select(self) -> None:
        settings = self.settings
        if settings.sources is None:
            raise FineTuningError(
                f"{self._out} has no recording yet: give the sources of prompts "
                "(--file or --project)."
            )
        self.prompts, left_out = self._selected([])
        if not self.prompts:
            raise FineTuningError(
                f"There are no prompts to ask {settings.model} again ({why_none(left_out)})."
            )
        self._left_out = left_out
        stops = shutdown_of(settings.model) if is_openai(self._address) else None
        now = dt.datetime.now(dt.UTC)
        self.manifest = RecordingManifest(
            id=uuid.uuid4().hex[:16],
            model=settings.model,
            engine=settings.engine,
            base_url=self._address,
            version=version("langchain-finetune"),
            started_at=now,
            updated_at=now,
            shutdown_date=None if stops is None else stops.isoformat(),
            answers=settings.answers,
            selection=self._selection,
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
        resumed = self.settings.sources is None
        if changed := before.changed(self._selection, resumed=resumed):
            raise FineTuningError(
                f"The recording in {self._out} was begun with other settings: {', '.join(changed)}."
                " Give the same ones to go on, or record into another folder."
            )
        if resumed or self._selection == before:
            return
        added, left_out = self._selected(self.prompts)
        if added:
            self.prompts = [*self.prompts, *added]
            self._left_out = left_out
            self.manifest = self.manifest.model_copy(
                update={"selection": self._selection, **described(self.prompts, left_out)}
            )

    def _selected(self, kept: list[RecordedPrompt]) -> tuple[list[RecordedPrompt], list[Skip]]:
        settings = self.settings
        left_out: list[Skip] = []
        prompts = select_prompts(
            prompts_from(settings.sources or (), settings.model, left_out.append),
            **self._selection.model_dump(exclude={"sources"}),
            kept=kept,
            skip=left_out.append,
        )
        return prompts, left_out

    def _asking(self) -> Asking:
        """Return what is to be asked for, without having asked whether it may be."""
        settings, price = self.settings, self.manifest.price
        tasks, self.estimate = make_tasks(
            *(settings.model, self.prompts, settings.answers, self._journal, price),
            ask_again=settings.ask_again,
        )
        lost = {*self._journal.unknown} - {task.key for task in tasks}
        each = max((task.most_usd for task in tasks), default=0.0)
        return Asking(
            settings=settings,
            recording_id=self.manifest.id,
            engine=self._engine,
            base_url=self._address,
            journal=self._journal,
            tasks=tasks,
            price=price,
            saved=self._save,
            lost_usd=len(lost) * each,
        )

    def ask(self, _: Account) -> Flow[None]:
        """Ask for what is missing; see `ask_for_all`."""
        return ask_for_all(self.asking, self.begin)

    @disk_errors("The recording")
    def begin(self) -> None:
        """Write down what is asked. Until then another selection can still be made."""
        if self._left_out is not None:
            write_prompts(self._out, self.prompts, self._left_out)
            self._left_out = None
        # The last file: only with it has the recording begun.
        self._save()

    def check_cost(self) -> None:
        """Check the cost against the limit, and have it confirmed.

        Raises:
            BudgetError: It is too high, not known, or not confirmed.
        """
        made, limit, confirm = self.estimate, self.settings.max_cost_usd, self.settings.confirm
        if self.asking.costs_nothing:
            return
        if limit is None and confirm is None:
            raise BudgetError(
                f"Nothing was sent. {made} Give max_cost_usd, or confirm, a function that is given "
                "the estimate."
            )
        if limit is not None:
            if made.usd is None:
                raise BudgetError(
                    f"Nothing was sent: max_cost_usd={limit:g} can't be checked for {made.model} "
                    f"at {self._address}. {unpriced(made.model)}"
                )
            if made.usd + (made.spent_usd or 0.0) > limit:
                raise BudgetError(
                    f"Nothing was sent: it would exceed max_cost_usd={plain_number(limit)}. {made} "
                    "Lower limit or answers, or raise max_cost_usd (--limit, --answers, "
                    "--max-cost-usd)."
                )
        if confirm is not None and not confirm(made):
            raise BudgetError("Not confirmed; nothing was sent.")

    @disk_errors("The recording")
    def close(self) -> None:
        """Write the training lines and the manifest, and unlock the folder."""
        with self._folder:
            self._journal.close()
            if self._left_out is not None:
                return  # Nothing was asked: nothing has changed.
            if self.asking.done:
                self.manifest.stored = self.asking.proven
            write_training_lines(self._out, self.prompts, self._journal)
            counted(self.manifest, self.prompts, self._journal)
            if self.manifest.outcomes["missing"]:
                self.manifest.finished_at = None
            elif self.manifest.finished_at is None or self.asking.done:
                self.manifest.finished_at = self.manifest.updated_at
            self.manifest.files = hashes(self._out)
            self._save()

    def _leave(self) -> None:
        """Close the journal; an empty one without a recording is removed."""
        self._journal.close()
        if not (self._out / MANIFEST).exists() and not self._journal.path.stat().st_size:
            self._journal.path.unlink()

    def result(self) -> ModelRecording:
        """Return the recording, as it is on the disk.

        Raises:
            FineTuningError: What stopped the workers.
        """
        if self.asking.error is not None:
            raise self.asking.error
        return ModelRecording(self._out, self.manifest)

    def _save(self) -> None:
        with self._writing:
            counted(self.manifest, self.prompts, self._journal)
            write_private(self._out / MANIFEST, self.manifest.model_dump_json(indent=2).encode())
