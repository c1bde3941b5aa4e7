"""The plan of a migration: what each step would do, and what it would cost."""

from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.power import EvaluationPower
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import dollars
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
    origins: Mapping[str, int],
    convert: Convert,
    to: FineTune,
    done: Collection[StepName],
) -> MigrationPlan:
    """Return the plan.

    Args:
        state: What was done.
        rescued: What was rescued, in a sentence.
        estimate: The answers that are still to be asked for.
        power: What the held-out requests can show.
        training: What will be trained on.
        origins: Number of prompts by where they come from.
        convert: How it becomes examples.
        to: How it is trained.
        done: Steps of which nothing is left to do.
    """
    told_origins = ", ".join(f"{count} from {name}" for name, count in origins.items())
    steps: Sequence[PlannedStep] = (
        PlannedStep(name="rescue", done="rescue" in done, what=rescued),
        PlannedStep(
            name="record",
            done=estimate.requests == 0,
            what=f"{estimate} Prompts: {told_origins}.",
            usd=estimate.usd,
        ),
        _training(training, convert, to, estimate, done="train" in done),
        PlannedStep(
            name="compare",
            done="compare" in done,
            what=f"both models on the held-out requests, the old one from its recording: {power}",
            usd=0.0 if to.engine == "local" else None,
        ),
        PlannedStep(
            name="swap",
            done="swap" in done,
            what=f"{state.model} is answered by the new model at the embedded engine, if it passes"
            if to.engine == "local"
            else "the lines to change in the app",
        ),
    )
    told = [
        step.model_copy(update={"what": state.steps[step.name].summary})
        if step.done and step.name in state.steps
        else step
        for step in steps
    ]
    return MigrationPlan(model=state.model, steps=tuple(told))


def _training(
    training: TrainingData,
    convert: Convert,
    to: FineTune,
    estimate: RecordingEstimate,
    *,
    done: bool,
) -> PlannedStep:
    where, data = f"{to.model} at {to.engine}", training.described
    if training.origin != "files" and estimate.requests:
        what = f"{where}, on {data}; the cost is known once they are recorded"
        return PlannedStep(name="train", what=what, usd=0.0 if to.engine == "local" else None)
    report = convert.invoke(training.sessions()).report(engine=to.engine, model=to.model)
    made = report.estimates[0]
    what = f"{where}, on {report.kept} examples of {data}; {made.trained_tokens:,} tokens"
    what += training.gaps
    return PlannedStep(name="train", done=done, what=what, usd=made.usd)
