"""`Migration`: from a model that goes dark to one of your own, step by step, and the swap."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, Field, InstanceOf, SecretStr

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.engines import EngineName
from langchain_finetune.engines.base import Address
from langchain_finetune.errors import (
    EngineAuthenticationError,
    EngineUnreachableError,
    FineTuningError,
)
from langchain_finetune.evaluation.case_files import file_cases
from langchain_finetune.evaluation.chains import metadata_of, model_name
from langchain_finetune.evaluation.compare import Compare
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.migration.archive import MANIFEST, RescueManifest
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.plan import MigrationPlan, make_plan
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import arecord, record
from langchain_finetune.migration.recorded_model import recorded_model
from langchain_finetune.migration.recorder import Recorder
from langchain_finetune.migration.recording import HELD_OUT, ModelRecording, write_private
from langchain_finetune.migration.rescue import arescue, rescue
from langchain_finetune.migration.result import MigrationResult, write_report
from langchain_finetune.migration.state import COMPARISON, RECORDED, RESCUED, MigrationState
from langchain_finetune.migration.steps import MigrationStep, StepFlow, arun_steps, run_steps
from langchain_finetune.migration.swap import advice, is_promoted, promote
from langchain_finetune.migration.training_data import TrainOn, training_data

RECORDED_LATENCY = (
    "The old model's answers were recorded at temperature 0: its latency here is none of its own."
)

Told = Callable[[MigrationProgress], Any]


class Migration(CheckedArguments):
    """Takes a model that goes dark to one of your own.

    1. `rescue` fetches what the account has of the model. An account that does not have it, or a
       server without such lists, is no error.
    2. `record` asks the model for its own answers. A part of the prompts is held out.
    3. The new model is trained on the rescued training file or, where it is gone, on the recording;
       never on a held-out request.
    4. Both models answer the held-out requests, the old one from its recording.
    5. Only if the new model passes, the embedded engine lets it answer under the old name.

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

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    model: str = Field(min_length=1)
    to: InstanceOf[FineTune]
    out: Path
    sources: Sequence[Any] = ()
    engine: EngineName = "openai"
    base_url: Address | None = None
    api_key: SecretStr | None = None
    answers: int = Field(default=1, ge=0)
    limit: int = Field(default=500, ge=1)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    seed: int = 0
    settings: dict[str, Any] | None = None
    price: InferencePrice | None = None
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    confirm: Callable[[RecordingEstimate], bool] | None = None
    convert: InstanceOf[Convert] = Field(default_factory=Convert)
    train_on: TrainOn = "auto"
    chain: Callable[..., Any] | None = None
    tools: Sequence[Any] = ()
    evaluators: Sequence[Any] | None = None
    at_least: dict[str, float] = Field(default_factory=dict)
    better: dict[str, float] = Field(default_factory=dict)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    swap: bool = True

    def run(
        self,
        *,
        on_progress: Callable[[MigrationProgress], None] | None = None,
        config: RunnableConfig | None = None,
    ) -> MigrationResult:
        """Run the migration, or go on with it.

        Args:
            on_progress: Is told the progress of rescue and recording.
            config: LangChain's run configuration; its callbacks receive the progress of training
                and comparison.

        Returns:
            The new model, the comparison and the decision.

        Raises:
            BudgetError: A step would cost too much, or was not confirmed.
            EngineError: An engine does not answer, or refuses. What was done until then is kept.
            FineTuningError: Another step failed; the message says which and what to do.
        """
        return run_steps(self._flow(on_progress, config))

    async def arun(
        self,
        *,
        on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
        config: RunnableConfig | None = None,
    ) -> MigrationResult:
        """Async version of `run`."""
        return await arun_steps(self._flow(on_progress, config))

    def plan(
        self, *, on_progress: Callable[[MigrationProgress], None] | None = None
    ) -> MigrationPlan:
        """Return what `run` would do, and what that would cost.

        The account is read (step 1), since the prompts depend on what it has. Nothing is asked of
        the model, trained or changed.

        Args:
            on_progress: Is told the progress of the rescue.

        Raises:
            EngineError: The engine does not answer, or refuses.
            FineTuningError: There are no prompts, or the folder holds another migration.
        """
        state = self._state()
        rescued = run_steps(self._rescue(state, on_progress))
        recorder = Recorder(self.model, engine_name=self.engine, **self._recording())
        recorder.open()
        try:
            recorder.ask_for()
        finally:
            recorder.close()
        recording = recorder.result()
        training = training_data(self.model, self.out / RESCUED, recording, self.train_on)
        made, held_out = recorder.estimate, recording.manifest.held_out
        return make_plan(state, rescued, made, held_out, training, convert=self.convert, to=self.to)

    def _flow(self, told: Told | None, config: RunnableConfig | None) -> StepFlow[MigrationResult]:
        state = self._state()
        yield from self._rescue(state, told)
        recording = yield from self._record(state, told)
        chat = yield from self._train(state, recording, config)
        result = yield from self._compare(state, recording, chat, config)
        decision = result.decide(
            at_least=self.at_least, better=self.better, confidence=self.confidence
        )
        result = result.model_copy(update={"decision": decision})
        yield from self._swap(state, result)
        found = MigrationResult(
            model=self.model,
            new_model=result.new,
            engine=self.to.engine,
            folder=self.out,
            comparison=result,
            steps=state.steps,
            advice=advice(self.model, result, self.to.engine, state.steps["swap"].facts),
            chat=chat,
        )
        yield MigrationStep.blocking(partial(write_report, found))
        return found

    def _state(self) -> MigrationState:
        state = MigrationState(
            model=self.model,
            engine=self.engine,
            base_url=self.base_url,
            target_engine=self.to.engine,
            target_base=self.to.model,
        )
        return MigrationState.opened(self.out, state)

    def _rescue(self, state: MigrationState, told: Told | None) -> StepFlow[str]:
        """Fetch what is missing; return in a sentence what there is."""
        if "rescue" in state.steps:
            return state.steps["rescue"].summary
        given: dict[str, Any] = {
            "out": self.out / RESCUED,
            "engine": self.engine,
            "base_url": self.base_url,
            "api_key": self.api_key,
            "on_progress": told,
        }
        try:
            found: RescueManifest = yield MigrationStep(
                partial(rescue, self.model, **given), partial(arescue, self.model, **given)
            )
        except (EngineAuthenticationError, EngineUnreachableError):
            raise
        except FineTuningError as error:
            return state.done("rescue", self.out, f"Nothing: {error}").summary
        model = found.models[self.model]
        gone = [f"{item.what} ({item.state})" for item in model.missing]
        told_of = f"{len(model.files)} files, {model.completions} stored chat completions"
        told_of += f"; missing: {', '.join(gone)}" if gone else ""
        if not model.complete:
            return f"{told_of}; not complete"
        return state.done("rescue", self.out, told_of, files=sorted(model.files)).summary

    def _sources(self) -> list[Any]:
        rescued = self.out / RESCUED
        known = (rescued / MANIFEST).is_file() and RescueManifest.read(rescued).models
        return [*self.sources, *([rescued] if known and self.model in known else [])]

    def _record(self, state: MigrationState, told: Told | None) -> StepFlow[Any]:
        """Record what is missing; nothing is if the recording is complete."""
        given = {"engine": self.engine, "on_progress": told, **self._recording()}
        recording: ModelRecording = yield MigrationStep(
            partial(record, self.model, **given), partial(arecord, self.model, **given)
        )
        found = recording.manifest
        counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
        summary = f"{found.prompts} prompts, {found.held_out} of them held out; answers: {counts}"
        facts = {"usd": found.usd, "outcomes": found.outcomes, "left_out": found.left_out}
        state.done("record", self.out, summary, **facts)
        return recording

    def _train(
        self, state: MigrationState, recording: ModelRecording, config: RunnableConfig | None
    ) -> StepFlow[Any]:
        """Train, or find the job of the same data and settings: `FineTune` makes it once."""
        data = training_data(self.model, self.out / RESCUED, recording, self.train_on)
        examples = self.convert.invoke(data.sessions())
        chat = yield MigrationStep(
            partial(self.to.invoke, examples, config), partial(self.to.ainvoke, examples, config)
        )
        known = metadata_of(chat)
        count, left_out = known.get("training_examples"), examples.rejected_by_reason()
        summary = f"{model_name(chat)}, trained on {count} examples of {data.described}"
        if left_out:
            summary += f"; left out: {', '.join(f'{n} {code}' for code, n in left_out.items())}"
        facts = {"new_model": model_name(chat), "job_id": known.get("job_id"), "data": data.origin}
        state.done("train", self.out, summary, **facts, examples=count, left_out=left_out)
        return chat

    def _compare(
        self,
        state: MigrationState,
        recording: ModelRecording,
        chat: Any,
        config: RunnableConfig | None,
    ) -> StepFlow[Any]:
        """Compare on the held-out requests; a comparison of the same is read from the disk."""
        asked = {
            "new": model_name(chat),
            "chain": _named(self.chain),
            "evaluators": [_named(each) for each in self.evaluators or ()],
            "held_out": recording.manifest.files.get(HELD_OUT),
        }
        path = self.out / COMPARISON
        if "compare" in state.steps and state.steps["compare"].facts == asked and path.is_file():
            return ComparisonResult.model_validate_json(path.read_bytes())
        step = Compare(
            chain=self.chain,
            tools=list(self.tools),
            evaluators=None if self.evaluators is None else list(self.evaluators),
            old=recorded_model(recording),
        )
        given = {"model": chat, "data": file_cases(recording.folder / HELD_OUT)}
        result: ComparisonResult = yield MigrationStep(
            partial(step.invoke, given, config), partial(step.ainvoke, given, config)
        )
        result = result.model_copy(update={"notes": [*result.notes, RECORDED_LATENCY]})
        write_private(path, result.model_dump_json().encode())
        state.done("compare", self.out, f"{len(result.cases)} cases of {result.dataset}", **asked)
        return result

    def _swap(self, state: MigrationState, result: ComparisonResult) -> StepFlow[Any]:
        assert result.decision is not None
        verdict = result.decision.verdict
        facts: dict[str, Any] = {"verdict": verdict, "new": result.new, "promoted": False}
        if verdict == "pass" and self.swap and self.to.engine == "local":
            if not (yield MigrationStep.blocking(partial(is_promoted, self.model, result.new))):
                yield MigrationStep.blocking(partial(promote, self.model, result.new))
            facts["promoted"] = True
        swapped = f"{result.new} answers to {self.model} at the embedded engine"
        summary = swapped if facts["promoted"] else "Not swapped"
        state.done("swap", self.out, f"{summary}: the verdict is {verdict}", **facts)

    def _recording(self) -> dict[str, Any]:
        names = "answers limit held_out seed settings base_url price max_cost_usd confirm api_key"
        given = {name: getattr(self, name) for name in names.split()}
        return {**given, "sources": self._sources() or None, "out": self.out / RECORDED}


def _named(thing: Any) -> str | None:
    """Return the name of a function or evaluator."""
    return None if thing is None else getattr(thing, "__qualname__", type(thing).__qualname__)


def migrate(
    model: str,
    to: FineTune,
    *,
    out: str | Path,
    on_progress: Callable[[MigrationProgress], None] | None = None,
    config: RunnableConfig | None = None,
    **settings: Any,
) -> MigrationResult:
    """Take a model that goes dark to one of your own, or go on with it; see `Migration`.

    Args:
        model: The model that goes dark.
        to: How the new one is trained, and where.
        out: Folder for all that is fetched and found.
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
    step = Migration(model=model, to=to, out=out, **settings)
    return step.run(on_progress=on_progress, config=config)


async def amigrate(
    model: str,
    to: FineTune,
    *,
    out: str | Path,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
    config: RunnableConfig | None = None,
    **settings: Any,
) -> MigrationResult:
    """Async version of `migrate`."""
    step = Migration(model=model, to=to, out=out, **settings)
    return await step.arun(on_progress=on_progress, config=config)
