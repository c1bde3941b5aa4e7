"""A job's progress in the terminal."""

from typing import Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PROGRESS_EVENT = "fine_tuning_progress"
"""Name of the LangChain custom event that tells how a job goes on.

Its data: `{"job_id", "status", "message", "data"}`; `data` holds figures such as
`{"step": 10, "total_steps": 100, "train_loss": 0.4}`.
"""


class RichProgress(BaseCallbackHandler):
    """Show how fine-tuning goes on: the state, a bar of steps, and the loss.

    Give it as a callback, and close it with `with`.

    Args:
        console: Where to write; standard output by default.

    Attributes:
        losses: `(step, training loss)` of every step that the engine told of.
        job_id: The job, once it has been told of.

    Example:
        ```python
        with RichProgress() as progress:
            model = chain.invoke({}, {"callbacks": [progress]})
        ```
    """

    def __init__(self, console: Console | None = None) -> None:
        self.losses: list[tuple[int, float]] = []
        self.job_id: str | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("Fine-tuning", total=None, loss="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show one event of a job; others are left alone."""
        if name != PROGRESS_EVENT:
            return
        # Only now: an error before the job stands alone in the terminal.
        self._bar.start()
        self.job_id = data["job_id"]
        figures = data["data"]
        shown: dict[str, Any] = {"description": f"{data['job_id']}: {data['status']}"}
        if "total_steps" in figures:
            shown["total"] = figures["total_steps"]
        if "step" in figures:
            shown["completed"] = figures["step"]
        if "step" in figures and "train_loss" in figures:
            shown["loss"] = f"loss {figures['train_loss']:.4f}"
            self.losses.append((figures["step"], figures["train_loss"]))
        self._bar.update(self._task, **shown)
