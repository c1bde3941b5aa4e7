"""`Migration`: from a model that goes dark to one of your own, step by step, and the swap."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_finetune.convert.power import power_of
from langchain_finetune.display.text import counted
from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.engines.flow import Do, Either, Flow, Result, arun_flow, run_flow
from langchain_finetune.evaluation.chains import metadata_of, model_name
from langchain_finetune.evaluation.compare import Compare
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.migration.comparing import (
    RECORDED_LATENCY,
    as_in_traffic,
    comparison_key,
    held_out_cases,
    kept_comparison,
    odd_evaluators,
    recorded_only,
    unusable,
)
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.fetching import (
    Told,
    check_rescue,
    record_step,
    recording_arguments,
    rescue_step,
)
from langchain_finetune.migration.folders import locked_folder, write_private
from langchain_finetune.migration.plan import MigrationPlan, job_key, make_plan
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.recorded_model import recorded_model
from langchain_finetune.migration.recorder import Recorder
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.migration.result import MigrationResult, without_addresses, write_report
from langchain_finetune.migration.settings import MigrationSettings, RecordingSettings
from langchain_finetune.migration.state import (
    COMPARISON,
    RECORDED,
    RESCUED,
    MigrationState,
    has_begun,
)
from langchain_finetune.migration.swap import advice, swap_step
from langchain_finetune.migration.training_data import TrainingData, training_data
from langchain_finetune.private_files import disk_errors


class Migration(MigrationSettings):
    """Takes a model that goes dark to one of your own.

    1. `rescue` fetches what the account has of the model. An account that does not have it, or a
       server without such lists, is not an error.
    2. `record` asks the model for its own answers. A part of the prompts is held out.
    3. The new model is trained on the rescued training file or, where it is gone, on the recording;
       never on a held-out request.
    4. Both models answer the held-out requests, the old one from its recording.
    5. Only if the new model passes, the embedded engine lets it answer under the old name. Not if
       a canary or a shadow runs under that name, another model answers to it, or a swap of this
       folder was taken back.

    Run it again to go on where it was: nothing is paid for twice. Each step is a function or a
    command of its own as well.

    Args:
        model: The model that goes dark.
        to: How the new one is trained, and where.
        out: Folder for all that is fetched and found. Only its owner can read it.
        sources: Where prompts come from besides the rescue; see `record`.
        engine: Engine of the old model: `openai` for each server of OpenAI's API.
        base_url: Its address; by default its own.
        api_key: Its key; by default from its environment variable. It is written nowhere.
        answers: Answers per prompt at the app's own temperature, besides the one at temperature 0.
        limit: Most prompts.
        held_out: Share of the prompts that is kept for the comparison.
        seed: Changes which prompts are drawn, and which are held out.
        settings: Settings that replace those of all prompts.
        price: Price of the old model's answers, if it is not known.
        max_cost_usd: Most that the recording may cost. `to` has its own limit for the training.
        confirm: Is given the estimate of the recording, which is only made if it returns true.
        store: Whether the old model's server may store its answers, to find lost ones; see
            `record`.
        settle_s: How long a stored answer may take to be listed; see `record`.
        convert: How chats become training examples.
        train_on: `files`, `recording`, `both`, or `auto`: the files if they were rescued.
        chain: The app's chain, its model left open; see `Compare`.
        tools: Tools of the app; see `Compare`.
        evaluators: Evaluators, the primary one first; see `Compare`. The default ones measure
            agreement with the old model, its faults included.
        at_least: Rules of the gate; see `Gate`.
        better: Rules of the gate; see `Gate`.
        confidence: One-sided confidence of each rule.
        swap: Whether the embedded engine lets the new model answer under the old name, if it
            passes.

    Example:
        ```python
        migration = Migration(
            model="ft:gpt-4o-mini-2024-07-18:acme::abc",
            to=FineTune(model="nano", engine="local"),
            out="migration",
            max_cost_usd=5,
        )
        print(migration.plan())
        print(migration.run())
        ```
    """

    def run(
        self,
        *,
        on_progress: Callable[[MigrationProgress], None] | None = None,
        config: RunnableConfig | None = None,
    ) -> MigrationResult:
        """Run the migration, or go on with it.

        Args:
            on_progress: Called with the progress of rescue and recording.
            config: LangChain's run configuration; its callbacks receive the progress of training
                and comparison.

        Returns:
            The new model, the comparison and the decision.

        Raises:
            BudgetError: A step would cost too much, or was not confirmed.
            CompareError: The new model can't be compared with this chain or these evaluators.
            EngineError: An engine does not answer, or refuses. What was done until then is kept.
            FineTuningError: Another step failed; the message says which and what to do.
        """
        return self._run(self._flow(on_progress, config))

    async def arun(
        self,
        *,
        on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
        config: RunnableConfig | None = None,
    ) -> MigrationResult:
        """Async version of `run`."""
        return await self._arun(self._flow(on_progress, config))

    def plan(
        self, *, on_progress: Callable[[MigrationProgress], None] | None = None
    ) -> MigrationPlan:
        """Return what `run` would do, and what that would cost.

        The account is read (step 1), since the prompts depend on what it has. Nothing is asked of
        the model, trained or changed, and a recording that has not begun can still become another.

        Args:
            on_progress: Called with the progress of the rescue.

        Raises:
            EngineError: The engine does not answer, or refuses.
            FineTuningError: There are no prompts, or the folder holds another migration.
        """
        return self._run(self._planning(on_progress))

    async def aplan(
        self, *, on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None
    ) -> MigrationPlan:
        """Async version of `plan`."""
        return await self._arun(self._planning(on_progress))

    def _run(self, flow: Flow[Result]) -> Result:
        with disk_errors("The migration"), locked_folder(self.out, "migrating in"):
            return run_flow(flow)

    async def _arun(self, flow: Flow[Result]) -> Result:
        with disk_errors("The migration"), locked_folder(self.out, "migrating in"):
            return await arun_flow(flow)

    def _planning(self, told: Told | None) -> Flow[MigrationPlan]:
        state: MigrationState = yield Do(self._state)
        rescued = yield from rescue_step(self, state, told)
        made: MigrationPlan = yield Do(partial(self._planned, state, rescued))
        return made

    def _planned(self, state: MigrationState, rescued: str) -> MigrationPlan:
        with TemporaryDirectory(dir=self.out, prefix=".plan-") as trial:
            out = self.out / RECORDED if has_begun(self.out) else Path(trial)
            recorder = Recorder(RecordingSettings(**{**recording_arguments(self), "out": out}))
            recorder.open()
            try:
                recorder.begin()
            finally:
                recorder.close()
            recording = recorder.result()
            held_out = [prompt.group for prompt in recording.prompts() if prompt.held_out]
            training = training_data(self.model, self.out / RESCUED, recording, self.train_on)
            power = power_of(len(held_out), len(set(held_out)))
            return make_plan(
                *(state, rescued, recorder.estimate, power, training),
                convert=self.convert,
                to=self.to,
                comparison=self._comparison_key(recording, state),
                swap=self.swap,
            )

    def _flow(self, told: Told | None, config: RunnableConfig | None) -> Flow[MigrationResult]:
        state: MigrationState = yield Do(self._state)
        yield from rescue_step(self, state, told)
        yield Do(partial(check_rescue, self, state))
        recording = yield from record_step(self, state, told)
        yield Do(partial(held_out_cases, recording))
        chat = yield from self._train(state, recording, config)
        result = yield from self._compare(state, recording, chat, config)
        decision = result.decide(
            at_least=self.at_least, better=self.better, confidence=self.confidence
        )
        result = result.model_copy(update={"decision": decision})
        swapped, base_url = yield from swap_step(self, state, result)
        found = MigrationResult(
            model=self.model,
            new_model=result.new,
            engine=self.to.engine,
            folder=self.out,
            comparison=without_addresses(result),
            steps=state.steps,
            advice=advice(self.model, chat, self.to.engine, swapped, base_url),
            chat=chat,
        )
        yield Do(partial(write_report, found))
        return found

    def _state(self) -> MigrationState:
        state = MigrationState(
            model=self.model,
            engine=self.engine,
            base_url=self.base_url and without_secrets(self.base_url),
            target_engine=self.to.engine,
            target_base=self.to.model,
        )
        return MigrationState.opened(self.out, state)

    def _train(
        self, state: MigrationState, recording: ModelRecording, config: RunnableConfig | None
    ) -> Flow[Any]:
        """Train, or find the job of the same data and settings: `FineTune` makes it once."""
        data: TrainingData = yield Do(
            partial(training_data, self.model, self.out / RESCUED, recording, self.train_on)
        )
        sessions = yield Do(data.sessions)
        examples = self.convert.invoke(sessions)
        # As the old model's answers, unless the app has another one.
        to = self.to.model_copy(
            update={"chat_settings": {"temperature": 0, **self.to.chat_settings}}
        )
        chat = yield Either(
            partial(to.invoke, examples, config), partial(to.ainvoke, examples, config)
        )
        known = metadata_of(chat)
        count, left_out = known.get("training_examples"), examples.rejected_by_reason()
        summary = f"{model_name(chat)}, trained on {count} examples of {data.described}"
        if left_out:
            summary += f"; left out: {', '.join(f'{n} {code}' for code, n in left_out.items())}"
        summary += yield Do(data.gaps)
        facts = {"new_model": model_name(chat), "job_id": known.get("job_id"), "data": data.origin}
        facts["job"] = job_key(to, str(known.get("training_sha256")))
        facts |= {"examples": count, "left_out": left_out}
        yield Do(partial(state.done, "train", self.out, summary, **facts))
        return chat

    def _compare(
        self,
        state: MigrationState,
        recording: ModelRecording,
        chat: Any,
        config: RunnableConfig | None,
    ) -> Flow[Any]:
        """Compare on the held-out requests; a comparison of the same is read from the disk."""
        key = yield Do(partial(self._comparison_key, recording, state))
        path = self.out / COMPARISON
        before = state.steps.get("compare")
        kept = before and (yield Do(partial(kept_comparison, path, key, before.facts)))
        if kept:
            return kept
        step, given, notes = yield Do(partial(self._comparison, recording, chat))
        result: ComparisonResult = yield Either(
            partial(step.invoke, given, config), partial(step.ainvoke, given, config)
        )
        result = recorded_only(result)
        # The built-in ones know where to look.
        notes += odd_evaluators(result) if self.evaluators else []
        result = result.model_copy(update={"notes": [*result.notes, *notes]})
        yield Do(partial(write_private, path, result.model_dump_json().encode()))
        summary = f"{counted(len(result.cases), 'case')} of {result.dataset}"
        yield Do(partial(state.done, "compare", self.out, summary, **key))
        return result

    def _comparison(
        self, recording: ModelRecording, chat: Any
    ) -> tuple[Compare, dict[str, Any], list[str]]:
        """Return the comparison, what it is given, and notes on it."""
        cases = held_out_cases(recording)
        asked, notes = chat, [RECORDED_LATENCY, *unusable(cases)]
        if self.chain is None:
            asked, left = as_in_traffic(chat, recording)
            notes += left
        step = Compare(
            chain=self.chain,
            tools=list(self.tools),
            evaluators=None if self.evaluators is None else list(self.evaluators),
            old=recorded_model(recording),
        )
        return step, {"model": asked, "data": cases}, notes

    def _comparison_key(self, recording: ModelRecording, state: MigrationState) -> dict[str, Any]:
        """Return what the comparison with the model of the step `train` depends on."""
        functions = [self.chain, *self.tools, *(self.evaluators or ())]
        trained = state.steps.get("train")
        new = trained.facts["new_model"] if trained else None
        return comparison_key(recording, new, self.to.chat_settings, functions)


def migrate(
    model: str,
    to: FineTune,
    *,
    out: str | Path,
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    on_progress: Callable[[MigrationProgress], None] | None = None,
    config: RunnableConfig | None = None,
    **settings: Any,
) -> MigrationResult:
    """Take a model that goes dark to one of your own, or go on with it; see `Migration`.

    Args:
        model: The model that goes dark.
        to: How the new one is trained, and where.
        out: Folder for all that is fetched and found.
        max_cost_usd: As of `Migration`.
        confirm: As of `Migration`.
        on_progress: As for `Migration.run`.
        config: As for `Migration.run`.
        settings: Further arguments of `Migration`.

    Raises:
        FineTuningError: As `Migration.run`.

    Example:
        ```python
        migrate(
            "ft:gpt-4o-mini-2024-07-18:acme::abc",
            FineTune(model="nano", engine="local"),
            out="migration",
            max_cost_usd=5,
        )
        ```
    """
    limits = {"max_cost_usd": max_cost_usd, "confirm": confirm}
    step = Migration(model=model, to=to, out=out, **limits, **settings)
    return step.run(on_progress=on_progress, config=config)


async def amigrate(
    model: str,
    to: FineTune,
    *,
    out: str | Path,
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
    config: RunnableConfig | None = None,
    **settings: Any,
) -> MigrationResult:
    """Async version of `migrate`."""
    limits = {"max_cost_usd": max_cost_usd, "confirm": confirm}
    step = Migration(model=model, to=to, out=out, **limits, **settings)
    return await step.arun(on_progress=on_progress, config=config)
