"""A comparison's progress in the terminal."""

from typing import Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from langchain_finetune.evaluation.compare import COMPARISON_EVENT


class ComparisonProgress(BaseCallbackHandler):
    """Show how many cases each model has answered: a bar, or without a terminal some lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Names of models are no markup.
        name = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
        self._bar = Progress(
            name, BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show one event of a comparison; others are ignored."""
        if name != COMPARISON_EVENT:
            return
        side, done, total = data["side"], data["done"], data["total"]
        told = f"{side}: {data['model']}"
        if self._console.is_terminal:
            self._bar.start()
            if side not in self._tasks:
                self._tasks[side] = self._bar.add_task(told, total=total)
            self._bar.update(self._tasks[side], completed=done)
        elif (tenth := 10 * done // total) > self._tenths.get(side, 0):
            self._tenths[side] = tenth
            line = f"{told}, {done} of {total} answers"
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
