"""A comparison's progress in the terminal."""

import threading
from collections.abc import Collection
from typing import Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from langchain_finetune.display.terminal import printable
from langchain_finetune.evaluation.compare import COMPARISON_EVENT


class ComparisonProgress(BaseCallbackHandler):
    """Show how many cases each model has answered: a bar, or without a terminal some lines."""

    def __init__(self, console: Console, *, sides: Collection[str] = ("old", "new")) -> None:
        self._console, self._sides = console, sides
        # Names of models are not markup.
        name = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
        self._bar = Progress(
            name, BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._done: dict[str, int] = {}
        # Cases are answered in several threads.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show one event of a comparison; others are ignored."""
        if name != COMPARISON_EVENT or data["side"] not in self._sides:
            return
        with self._lock:
            self._show(data["side"], printable(data["model"]), data["done"], data["total"])

    def _show(self, side: str, model: str, done: int, total: int) -> None:
        before = self._done.get(side, 0)
        if done <= before:
            return
        self._done[side] = done
        told = f"{side}: {model}"
        if self._console.is_terminal:
            self._bar.start()
            if side not in self._tasks:
                self._tasks[side] = self._bar.add_task(told, total=total)
            self._bar.update(self._tasks[side], completed=done)
        elif 10 * done // total > 10 * before // total:
            line = f"{told}, {done} of {total} answers"
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
