"""A comparison's progress in the terminal, without LangSmith's own."""

import io
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partialmethod
from typing import Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from tqdm import tqdm

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


_LINKS = ("View the evaluation results for experiment:", "Starting evaluation of experiment:")


@contextmanager
def without_links() -> Iterator[None]:
    """Send what is printed in this block to standard error, except LangSmith's bar and links.

    The result has a link of its own, and standard output is for the result.
    """
    # Its bars have no setting. A variable would come too late where tqdm is imported already, and
    # reach what the app starts.
    drawn = tqdm.__init__
    tqdm.__init__ = partialmethod(drawn, disable=True)
    try:
        with redirect_stdout(_WithoutLinks()):
            yield
    finally:
        tqdm.__init__ = drawn


class _WithoutLinks(io.TextIOBase):
    """Standard error, without LangSmith's links; `print` writes the end of its line by itself."""

    def __init__(self) -> None:
        self._after_link = False

    def write(self, text: str) -> int:
        link = text.startswith(_LINKS)
        if not link and not (self._after_link and text == "\n"):
            sys.stderr.write(text)
        self._after_link = link
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()
