"""The progress of inventory, rescue, recording and migration, as a bar or as lines."""

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langchain_finetune.cli.output import console
from langchain_finetune.display.terminal import plain, printable
from langchain_finetune.migration.progress import MigrationProgress


class MigrationBar:
    """Shows the progress of a step on standard error.

    That is a bar or, without a terminal, a line for each step and each twentieth of its requests.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.console = console(err=True, quiet=quiet)
        self._progress: Progress | None = None
        self._told: tuple[str, int | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def show(self, news: MigrationProgress) -> None:
        """Show news; the bar appears with the first, and goes when all is done."""
        if not self.console.is_terminal:
            self._log(news)
            return
        if self._progress is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._progress.add_task("", total=None)
            self._progress.start()
        [bar] = self._progress.task_ids
        self._progress.update(
            bar, description=printable(news.message), completed=news.done, total=news.total
        )
        if news.total and news.done >= news.total:
            self.stop()

    def _log(self, news: MigrationProgress) -> None:
        told = news.step, 20 * news.done // news.total if news.total else None
        if told != self._told:
            self._told = told
            self.console.print(plain(str(news)), soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away, such as before a question."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
