"""Callbacks that show or log the progress of conversions and jobs."""

from dataclasses import replace
from typing import Any, Protocol, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console

from langchain_finetune.convert.progress import ConversionProgress
from langchain_finetune.display.text import counted
from langchain_finetune.engines.jobs import JobProgress
from langchain_finetune.finetune.progress_display import ProgressState, display_on

PROGRESS_EVENT = "fine_tuning_progress"
"""Name of the LangChain custom event that reports a job's progress.

Its data: that of `JobProgress`, with `job_id`, `status`, `event_id`; `data` holds figures such as
`{"step": 10, "total_steps": 100, "train_loss": 0.4}`.
"""

CONVERSION_EVENT = "conversion_progress"
"""Name of the LangChain custom event that reports how far reading and converting chats is.

Its data: that of `ConversionProgress`.
"""

_LINE_S = 10.0
"""Seconds between two lines about a conversion where lines stay."""


class RichProgress(BaseCallbackHandler):
    """Show the progress: chats read and examples made, then the job's state, steps and loss.

    Give it as a callback, and close it with `with`. In a terminal it is a bar that moves, in a
    notebook a line that changes. Elsewhere, such as in a log, it writes a line for each change of
    state, each tenth of the steps, and every ten seconds of a conversion. What an engine warns of,
    such as that a host is unavailable, stays as a line everywhere.

    Args:
        console: Where to write; standard output by default.

    Attributes:
        losses: `(step, training loss)` of every step that the engine reported.
        job_id: The job, once it has been reported.

    Example:
        ```python
        with RichProgress() as progress:
            model = chain.invoke({}, {"callbacks": [progress]})
        ```
    """

    def __init__(self, console: Console | None = None) -> None:
        self.losses: list[tuple[int, float]] = []
        self.job_id: str | None = None
        self._display = display_on(console or Console())
        self._job = ProgressState("")
        self._status = ""
        self._tenth = -1
        self._warning = ""
        self._next_line_s = _LINE_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.close()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show one event of a conversion or a job; others are ignored."""
        if name == CONVERSION_EVENT:
            self.show_conversion(ConversionProgress(**data))
        elif name == PROGRESS_EVENT:
            self.show_job(JobProgress(**data))

    def show_conversion(self, progress: ConversionProgress) -> None:
        """Show how far a conversion is."""
        what = "Converted" if progress.ended else "Reading and converting:"
        figures = counted(progress.examples, "example")
        if progress.chats:
            figures += f" ({progress.rate:,.0f} chats/s)"
        state = ProgressState(f"{what} {counted(progress.chats, 'chat')}", figures=figures)
        if progress.ended or progress.seconds >= self._next_line_s:
            self._next_line_s = progress.seconds + _LINE_S
            state = replace(state, news=str(state))
        self._display.show(state)

    def show_job(self, progress: JobProgress) -> None:
        """Show one event of a job."""
        self.job_id = progress.job_id
        figures = progress.data
        step, total = figures.get("step"), figures.get("total_steps")
        loss = figures.get("train_loss")
        if step is not None and loss is not None:
            self.losses.append((step, loss))
        # An event without figures leaves those that were shown.
        self._job = ProgressState(
            f"{progress.job_id}: {progress.status}",
            done=self._job.done if step is None else step,
            total=self._job.total if total is None else total,
            figures=self._job.figures if loss is None else f"loss {loss:.4f}",
            news=self._news(progress, step, total, loss),
            warning=self._new_warning(progress),
        )
        self._display.show(self._job)

    def _new_warning(self, progress: JobProgress) -> str:
        """Return what an engine warns of, once until the job goes on."""
        if progress.level != "warn" or not progress.message:
            # Between two warnings come events without a message.
            self._warning = "" if progress.message else self._warning
            return ""
        known, self._warning = self._warning, progress.message
        return "" if known == progress.message else f"{progress.job_id}: {progress.message}"

    def _news(
        self, progress: JobProgress, step: int | None, total: int | None, loss: float | None
    ) -> str:
        """Return a line for a change of the state, and for each tenth of the steps."""
        tenth = (step or 0) * 10 // total if total else -1
        if progress.status == self._status and tenth <= self._tenth:
            return ""
        self._status, self._tenth = progress.status, max(tenth, self._tenth)
        words = [f"{progress.job_id}: {progress.status}"]
        if total:
            words.append(f"step {step or 0} of {total}")
        if loss is not None:
            words.append(f"loss {loss:.4f}")
        return ", ".join(words)


_COUNTERS = frozenset({"step", "total_steps"})


class LogMetrics(Protocol):
    """Takes figures of one step, as W&B's `run.log` and MLflow's `log_metrics` do."""

    def __call__(self, metrics: dict[str, float], *, step: int) -> Any:
        """Log them."""


class MetricsLogger(BaseCallbackHandler):
    """Logs the figures of each step of a job: training and validation loss, accuracy, ...

    Args:
        log: Takes them. `wandb.init(...).log` and `mlflow.log_metrics` are such functions as
            they are; for TensorBoard see `tensorboard_log`.

    Example:
        ```python
        run = wandb.init(project="calculator")
        model = chain.invoke({}, {"callbacks": [MetricsLogger(run.log)]})
        ```
    """

    raise_error = True  # A log that fails should be seen, not lost in a warning.

    def __init__(self, log: LogMetrics) -> None:
        self._log = log

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Log the figures of one event of a job; others are ignored."""
        figures = data["data"] if name == PROGRESS_EVENT else {}
        metrics = {
            name: value
            for name, value in figures.items()
            if name not in _COUNTERS and isinstance(value, int | float)
        }
        if metrics and "step" in figures:
            self._log(metrics, step=int(figures["step"]))


def tensorboard_log(writer: Any) -> LogMetrics:
    """Return a log that writes to TensorBoard.

    Args:
        writer: A `torch.utils.tensorboard.SummaryWriter`, or one of the same methods.
    """

    def log(metrics: dict[str, float], *, step: int) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log
