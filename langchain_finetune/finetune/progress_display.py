"""Where progress is shown: a bar in a terminal, one line in a notebook, lines in a log."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from langchain_finetune.display.terminal import plain


@dataclass(frozen=True)
class ProgressState:
    """What to show.

    Attributes:
        what: What is going on, such as `ftjob-1: running`.
        done: How much is done, such as steps, if known.
        total: How much there is.
        figures: Further figures, such as `loss 0.4000`.
        news: A line for logs, where lines stay; empty if there is nothing new.
        warning: A line that stays everywhere, such as why a job does not go on.
    """

    what: str
    done: int | None = None
    total: int | None = None
    figures: str = ""
    news: str = ""
    warning: str = ""

    @property
    def details(self) -> str:
        """All figures, such as `10/100, loss 0.4000`."""
        steps = "" if self.done is None else f"{self.done}/{self.total or '?'}"
        return ", ".join(filter(None, (steps, self.figures)))

    def __str__(self) -> str:
        return f"{self.what}, {self.details}" if self.details else self.what


class ProgressDisplay(Protocol):
    """Shows one state after the other."""

    def show(self, state: ProgressState) -> None:
        """Show a state in place of the last, or below it."""

    def close(self) -> None:
        """End; what was shown last stays."""


def display_on(console: Console) -> ProgressDisplay:
    """Return the display that suits a console."""
    if console.is_jupyter:
        return _NotebookLine()
    return _TerminalBar(console) if console.is_terminal else _LogLines(console)


class _TerminalBar:
    def __init__(self, console: Console) -> None:
        # Job ids and statuses come from servers, so they are not markup.
        self._bar = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=None, figures="")

    def show(self, state: ProgressState) -> None:
        self._bar.start()
        if state.warning:
            self._bar.console.print(plain(state.warning), soft_wrap=True)
        self._bar.update(
            self._task,
            description=plain(state.what).plain,
            total=state.total,
            completed=state.done or 0,
            figures=plain(state.details).plain,
        )

    def close(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()


class _NotebookLine:
    """One line that changes. Rich's bar needs ipywidgets; this needs IPython only."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, state: ProgressState) -> None:
        display = import_module("IPython.display").display  # Only notebooks have it.
        if state.warning:
            display({"text/plain": plain(state.warning).plain}, raw=True)
        data = {"text/plain": plain(str(state)).plain}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def close(self) -> None:
        """Do nothing: the line stays."""


class _LogLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def show(self, state: ProgressState) -> None:
        if state.news and state.news != self._last:
            self._last = state.news
            self._console.print(plain(state.news), soft_wrap=True)
        if state.warning:
            self._console.print(plain(state.warning), soft_wrap=True)

    def close(self) -> None:
        """Do nothing: each line stands."""
