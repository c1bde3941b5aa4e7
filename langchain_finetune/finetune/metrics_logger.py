"""A job's figures, handed to W&B, MLflow, TensorBoard or any other log of experiments."""

from typing import Any, Protocol

from langchain_core.callbacks import BaseCallbackHandler

from langchain_finetune.finetune.progress import PROGRESS_EVENT

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
        """Log the figures of one event of a job; others are left alone."""
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
