"""The training loop: from a job's files to a model at its host, or here.

Whatever is killed, the next process goes on from the last saved state, at its position in the data;
what came after it is trained again, by a model that has not seen it.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from langchain_finetune.local.training.batches import epoch_order
from langchain_finetune.local.training.checkpoints import (
    History,
    best,
    kept,
    measured_at,
    ran_out_of_patience,
)
from langchain_finetune.local.training.events import (
    Done,
    Metrics,
    Reporter,
    Started,
    Stopped,
    TrainingEvent,
    TrainingFailure,
    Waiting,
)
from langchain_finetune.local.training.lines import TrainingLines
from langchain_finetune.local.training.loop.adapter import bring_home
from langchain_finetune.local.training.loop.base import HostedBase, plan_at_host
from langchain_finetune.local.training.loop.host import (
    HostedRun,
    HostUnavailableError,
    StateGoneError,
    StopRequestedError,
    TrainingHost,
)
from langchain_finetune.local.training.loop.hosts import host_of
from langchain_finetune.local.training.loop.objectives import (
    Objective,
    PreferenceObjective,
    SupervisedObjective,
    mean_of,
)
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.plan import (
    SAVE_SECONDS,
    Plan,
    logging_steps,
    rate_share,
)
from langchain_finetune.local.training.sequences import Encoded
from langchain_finetune.local.training.spec import Spec

PATIENCE_S = 3600.0
"""How long a host may be unavailable, without a new saved state in between."""

_PAUSES_S = (1.0, 60.0)
"""First and longest pause before the host is asked again."""


def train_at_host(
    spec: Spec,
    reporter: Reporter,
    stop: threading.Event,
    endings: list[Callable[[], None]],
) -> None:
    """Train what a specification asks for at its host, and report it.

    Args:
        spec: The specification, with a host.
        reporter: Takes the events.
        stop: Is set when the training is to save its state and to end.
        endings: Gets what is to be called before the process ends at once.

    Raises:
        TrainingFailure: The examples, the settings or the host do not allow it.
    """
    lines = TrainingLines.read(spec)
    base = HostedBase.load(spec.base)
    train, validation = lines.encoded(base.tokenizer, base.config, base.generation_config)
    plan = plan_at_host(spec, examples=len(lines.train), parameters=base.parameters())
    finished = train_encoded(
        spec,
        plan,
        train,
        validation,
        examples=len(lines.train),
        report=reporter.report,
        stop=stop,
        endings=endings,
    )
    if finished is None:
        return
    loop, host = finished
    if spec.host and spec.host.weights == "home":
        loop.again_until_done(partial(bring_home, spec, base, host, loop.position))
    loop.finish()


def train_encoded(
    spec: Spec,
    plan: Plan,
    train: Sequence[Encoded],
    validation: Sequence[Encoded] | None,
    *,
    examples: int,
    report: Callable[[TrainingEvent], None],
    stop: threading.Event,
    endings: list[Callable[[], None]],
) -> "tuple[TrainingLoop, TrainingHost] | None":
    """Train on examples in tokens; return the loop that is done, or None if it was stopped.

    See `train_at_host` for the arguments.
    """
    objective: Objective = (
        PreferenceObjective(train, validation, float(plan.own["beta"]), spec.work)
        if spec.method == "dpo"
        else SupervisedObjective(train, validation)
    )
    position = Position.read(spec.work)
    host = host_of(spec, position, rank=plan.lora_rank, report=report, stop=stop)
    endings.append(host.end)
    loop = TrainingLoop(
        plan,
        spec,
        train=train,
        host=host,
        objective=objective,
        position=position,
        report=report,
        stop=stop,
    )
    loop.start(examples=examples, validates=validation is not None)
    try:
        finished = loop.run()
    except TrainingFailure:
        host.close("errored")
        with suppress(HostUnavailableError, TrainingFailure):
            host.close_left()
        raise
    finally:
        host.close("interrupted")
    if finished:
        return loop, host
    report(Stopped(step=position.step))
    return None


class TrainingLoop:
    """The steps of one job at a host.

    `position` is what is on the disk, but for a moment while a state is saved.
    """

    def __init__(
        self,
        plan: Plan,
        spec: Spec,
        *,
        train: Sequence[Encoded],
        host: TrainingHost,
        objective: Objective,
        position: Position,
        report: Callable[[TrainingEvent], None],
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._spec = spec
        self._lengths = [each.length for each in train]
        self._host = host
        self._objective = objective
        self.position = position
        self._report = report
        self._stop = stop
        self._an_epoch = math.ceil(len(train) / plan.batch_size)
        self._total = self._an_epoch * plan.n_epochs
        self._validates = False

    def start(self, *, examples: int, validates: bool) -> None:
        """Report what was decided, and what an earlier process had measured."""
        self._validates = validates
        position = self.position
        self._report(
            Started(
                hyperparameters=self._plan.hyperparameters,
                trained_tokens=self._plan.n_epochs * sum(self._lengths),
                total_steps=self._total,
                examples=examples,
                method="lora",
                resumed_from=position.step or None,
            )
        )
        for step in [entry["step"] for entry in position.history if "loss" in entry]:
            # An engine that was killed may not have heard of them.
            self._report_step(position.history, step)

    def run(self) -> bool:
        """Train to the end; return False if the process was asked to stop before."""
        try:
            self.again_until_done(self._train)
        except StopRequestedError:
            return False
        return self._finished(self.position.history, self.position.step)

    def finish(self) -> None:
        """Report the models, and delete what is no longer needed at the host."""
        position = self.position
        steps = kept(position.history, self._epochs(position.step)) or [position.step]
        chosen = best(position.history) or steps[-1]
        self._report(
            Done(
                trained_tokens=sum(self._lengths) * position.step // self._an_epoch,
                step=chosen,
                checkpoints=[measured_at(position.history, step) for step in steps],
                hosted={step: position.models[step] for step in steps},
            )
        )
        with suppress(HostUnavailableError):  # They expire.
            for path in position.exports.values():
                self._host.delete(path)

    def again_until_done(self, act: Callable[[], None]) -> None:
        """Do something at the host, again from the last saved state where the host fails.

        Raises:
            StopRequestedError: The process was asked to stop meanwhile.
            TrainingFailure: The host was unavailable for too long, or refused.
        """
        position, (pause, longest) = self.position, _PAUSES_S
        since, reached = time.monotonic(), position.step
        while True:
            try:
                act()
            except StateGoneError:
                position.begin_anew()
                position.write(self._spec.work)
            except HostUnavailableError as error:
                self._host.close("errored")
                if position.step > reached:
                    since, reached, pause = time.monotonic(), position.step, _PAUSES_S[0]
                if time.monotonic() - since > PATIENCE_S:
                    raise TrainingFailure(
                        "host_unavailable",
                        f"The host at {self._address} was unavailable for too long ({error}):"
                        " run the same again later.",
                    ) from error
                self._report(Waiting(reason=f"The host is unavailable ({error})"))
                if self._stop.wait(pause):
                    raise StopRequestedError from error
                pause = min(2 * pause, longest)
            else:
                return

    @property
    def _address(self) -> str:
        return self._spec.host.base_url if self._spec.host else ""

    def _train(self) -> None:
        """Train from the saved position to the end, or until a stop is requested."""
        position = self.position
        position.break_promise()
        if not self._finished(position.history, position.step):
            self._objective.prepare(self._host)
            run = self._host.open(position.state)
            self._report(Waiting())
            self._steps(run)
            done = self._finished(position.history, position.step)
            self._host.close("success" if done else "interrupted")
        self._host.close_left()
        self._delete_leftover()

    def _steps(self, run: HostedRun) -> None:
        position = self.position
        history, unlogged = [*position.history], [*position.unlogged]
        saved_at = time.monotonic()
        done = position.step
        while not self._finished(history, done):
            values = self._one(run, done)
            done += 1
            unlogged.append(values)
            ends_epoch = done % self._an_epoch == 0
            measures = self._validates and (
                ends_epoch or bool(self._plan.eval_steps and done % self._plan.eval_steps == 0)
            )
            if done == 1 or done % logging_steps(self._total) == 0 or ends_epoch or measures:
                epoch = done / self._an_epoch
                history.append({**mean_of(unlogged), "step": done, "epoch": epoch})
                unlogged = []
                if measures:
                    found = self._objective.validate(run).items()
                    history.append({"step": done} | {f"eval_{name}": n for name, n in found})
                self._report_step(history, done)
            keeps = ends_epoch or best(history) == done or self._finished(history, done)
            late = time.monotonic() - saved_at > SAVE_SECONDS
            if keeps or late or self._stop.is_set():
                self._save(run, done, history, unlogged, keeps=keeps)
                saved_at = time.monotonic()
                if self._stop.is_set():
                    return

    def _one(self, run: HostedRun, step: int) -> dict[str, float]:
        """Do the step of this number, from 0."""
        epoch, place = divmod(step, self._an_epoch)
        size, seed = self._plan.batch_size, self._spec.seed
        order = epoch_order(self._lengths, size, seed=seed, epoch=epoch)
        rate = self._plan.learning_rate * rate_share(step, self._total)
        values = self._objective.step(run, order[place * size : (place + 1) * size], rate)
        if not math.isfinite(values["loss"]):
            raise TrainingFailure(
                "training_diverged",
                f"The loss was not finite at step {step + 1}: take a smaller"
                " learning_rate_multiplier.",
            )
        return values

    def _save(
        self, run: HostedRun, step: int, history: History, unlogged: list[dict[str, float]],
        *, keeps: bool,
    ) -> None:  # fmt: skip
        """Save the state and, if it `keeps` this checkpoint, its model; then take the position."""
        position, name = self.position, f"step-{step}"
        state = run.save_state(name)
        models, exports = dict(position.models), dict(position.exports)
        if keeps:
            models[step] = run.save_model(name)
            if self._spec.host and self._spec.host.weights == "home":
                exports[step] = run.export(name)
        stay = set(kept(history, self._epochs(step)))
        gone = [position.state] if position.state else []
        gone += [held.pop(old) for held in (models, exports) for old in set(held) - stay]
        # Only now that all is saved at the host.
        position.step, position.state = step, state
        position.history, position.unlogged = [dict(entry) for entry in history], unlogged
        position.models, position.exports, position.promised = models, exports, None
        position.leftover = [*position.leftover, *gone]
        position.write(self._spec.work)
        self._delete_leftover()

    def _delete_leftover(self) -> None:
        position = self.position
        done = self._finished(position.history, position.step)
        if done and position.state:
            # Nothing goes on from a finished training.
            position.leftover, position.state = [*position.leftover, position.state], None
            position.write(self._spec.work)
        for path in position.leftover:
            self._host.delete(path)
        if position.leftover:
            position.leftover = []
            position.write(self._spec.work)

    def _epochs(self, step: int) -> list[int]:
        return list(range(self._an_epoch, step + 1, self._an_epoch))

    def _finished(self, history: History, step: int) -> bool:
        patience = self._plan.early_stopping_patience
        return step >= self._total or ran_out_of_patience(history, patience)

    def _report_step(self, history: History, step: int) -> None:
        measured = measured_at(history, step).model_dump()
        epoch = step / self._an_epoch
        self._report(Metrics(total_steps=self._total, epoch=epoch, **measured))
