"""The plan of a migration: what each step would do, and what it would cost."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.power import EvaluationPower
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.display.text import counted
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.fetching import is_rescued
from langchain_finetune.migration.prices import dollars
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.migration.state import MigrationState, StepName
from langchain_finetune.migration.training_data import TrainingData


class PlannedStep(BaseModel):
    """A step of a plan.

    Attributes:
        name: Its name.
        done: Whether nothing is left to do.
        what: What it does.
        usd: What it will cost, about; None if that is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: StepName
    done: bool = False
    what: str
    usd: float | None = 0.0


class MigrationPlan(BaseModel):
    """What a migration would do.

    Attributes:
        model: The model that goes dark.
        steps: The steps, in their order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    steps: tuple[PlannedStep, ...]

    def __str__(self) -> str:
        return "\n".join(f"{_mark(step)} {step.name}: {step.what}" for step in self.steps)


def _mark(step: PlannedStep) -> str:
    if step.done:
        return "[done]"
    return "[cost unknown]" if step.usd is None else f"[{dollars(step.usd)}]"


def make_plan(
    state: MigrationState,
    rescued: str,
    estimate: RecordingEstimate,
    power: EvaluationPower,
    training: TrainingData,
    *,
    convert: Convert,
    to: FineTune,
    comparison: Mapping[str, Any],
    swap: bool,
) -> MigrationPlan:
    """Return the plan.

    A step is done if the run would find what it made: the same job, the same comparison.

    Args:
        state: What was done.
        rescued: What was rescued, in a sentence.
        estimate: The answers that are still to be asked for.
        power: What the held-out requests can show.
        training: What will be trained on.
        convert: How it becomes examples.
        to: How it is trained.
        comparison: What the comparison depends on, as `comparison_key`.
        swap: Whether the new model is swapped in if it passes.
    """
    recorded = estimate.requests == 0
    trained = _training(state, training, convert, to, recorded=recorded)
    # A lambda or an object may be another one now: see `comparison_key`.
    kept = trained.done and "functions" in comparison
    compared = kept and _facts(state, "compare") == comparison
    swapped = compared and (bool(_facts(state, "swap").get("promoted")) or not swap)
    steps: Sequence[PlannedStep] = (
        PlannedStep(name="rescue", done=is_rescued(state), what=rescued),
        PlannedStep(
            name="record",
            done=recorded,
            what=_recording(state, estimate, training.recording),
            usd=estimate.usd,
        ),
        trained,
        PlannedStep(
            name="compare",
            done=compared,
            what=state.steps["compare"].summary
            if compared
            else f"both models on the held-out requests, the old one from its recording: {power}",
            usd=0.0 if to.engine == "local" else None,
        ),
        PlannedStep(name="swap", done=swapped, what=_swap(state, to, done=swapped, wanted=swap)),
    )
    return MigrationPlan(model=state.model, steps=tuple(steps))


def job_key(to: FineTune, training_sha256: str) -> str:
    """Return 16 hex digits that are equal for the same job at the same engine."""
    fields = {"model", "engine", "base_url", "hyperparameters", "suffix", "seed", "extra_body"}
    asked = [training_sha256, to.model_dump(mode="json", include=fields)]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _facts(state: MigrationState, step: StepName) -> Mapping[str, Any]:
    return state.steps[step].facts if step in state.steps else {}


def _recording(
    state: MigrationState, estimate: RecordingEstimate, recording: ModelRecording
) -> str:
    """Return what is asked for, and where its prompts come from; or what came of it."""
    if estimate.requests == 0 and "record" in state.steps:
        usd = _facts(state, "record").get("usd")
        return state.steps["record"].summary + (f", for {dollars(usd)}" if usd else "")
    found: Counter[str] = Counter()
    for each in recording.prompts():
        # A line of a file is named as `path:number`.
        line = Path(each.source.get("line", "files")).name
        found["traffic" if each.origin == "traffic" else line.rpartition(":")[0] or line] += 1
    told = f"{estimate} Prompts: {', '.join(f'{n} of {name}' for name, n in found.items())}."
    left = ", ".join(f"{count} {code}" for code, count in recording.manifest.left_out.items())
    return f"{told} Left out: {left}." if left else told


def _training(
    state: MigrationState, training: TrainingData, convert: Convert, to: FineTune, *, recorded: bool
) -> PlannedStep:
    where, data = f"{to.model} at {to.engine}", training.described
    if training.origin != "files" and not recorded:
        what = f"{where}, on {data}; the cost is known once they are recorded"
        return PlannedStep(name="train", what=what, usd=0.0 if to.engine == "local" else None)
    examples = convert.invoke(training.sessions())
    known = _facts(state, "train").get("job")
    if known and known == job_key(to, to.spec_of(examples).training.sha256):
        return PlannedStep(name="train", done=True, what=state.steps["train"].summary)
    report = examples.report(engine=to.engine, model=to.model)
    made = report.estimates[0]
    what = f"{where}, on {counted(report.kept, 'example')} of {data}; "
    what += f"{made.trained_tokens:,} tokens"
    what += training.gaps()
    return PlannedStep(name="train", what=what, usd=made.usd)


def _swap(state: MigrationState, to: FineTune, *, done: bool, wanted: bool) -> str:
    if done and "swap" in state.steps:
        before = state.steps["swap"]
        return f"{before.summary} ({before.done_at:%Y-%m-%d %H:%M} UTC)"
    if to.engine != "local":
        return "the lines to change in the app"
    if not wanted:
        return "only the command"
    return f"{state.model} is answered by the new model at the embedded engine, if it passes"
