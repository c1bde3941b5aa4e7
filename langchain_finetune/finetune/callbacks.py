"""A job's progress in the terminal."""

from typing import Any, Protocol, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PROGRESS_EVENT = "fine_tuning_progress"
"""Name of the LangChain custom event that reports a job's progress.

Its data: that of `JobProgress`, with `job_id`, `status`, `event_id`; `data` holds figures such as
`{"step": 10, "total_steps": 100, "train_loss": 0.4}`.
"""


class RichProgress(BaseCallbackHandler):
    """Show the progress of fine-tuning: the state, a bar of steps, and the loss.

    Give it as a callback, and close it with `with`. In a terminal or a notebook it is a bar that
    moves; elsewhere, such as in a log, a line for each change of state and each tenth of the way.

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
        self._console = console or Console()
        self._written: tuple[str, int] | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("Fine-tuning", total=None, loss="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show one event of a job; others are ignored."""
        if name != PROGRESS_EVENT:
            return
        self.job_id = data["job_id"]
        figures = data["data"]
        if "step" in figures and "train_loss" in figures:
            self.losses.append((figures["step"], figures["train_loss"]))
        if self._console.is_terminal or self._console.is_jupyter:
            self._move_bar(data, figures)
        else:
            self._write_line(data, figures)

    def _move_bar(self, data: dict[str, Any], figures: dict[str, Any]) -> None:
        # Only now: an error before the job stands alone in the terminal.
        self._bar.start()
        shown: dict[str, Any] = {"description": f"{data['job_id']}: {data['status']}"}
        if "total_steps" in figures:
            shown["total"] = figures["total_steps"]
        if "step" in figures:
            shown["completed"] = figures["step"]
        if "step" in figures and "train_loss" in figures:
            shown["loss"] = f"loss {figures['train_loss']:.4f}"
        self._bar.update(self._task, **shown)

    def _write_line(self, data: dict[str, Any], figures: dict[str, Any]) -> None:
        step, total = figures.get("step", 0), figures.get("total_steps", 0)
        line = (data["status"], step * 10 // total if total else -1)
        if line == self._written:
            return
        self._written = line
        words = [f"{data['job_id']}: {data['status']}"]
        if total:
            words.append(f"step {step} of {total}")
        if "train_loss" in figures:
            words.append(f"loss {figures['train_loss']:.4f}")
        self._console.print(", ".join(words), markup=False, highlight=False, soft_wrap=True)


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
