"""`record`: the answers of a fine-tuned model, before it goes dark."""

from pathlib import Path
from typing import Annotated, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langchain_finetune.cli.interrupt import INTERRUPTED, takes_its_time_to_end
from langchain_finetune.cli.job_options import AddressOption
from langchain_finetune.cli.options import with_options
from langchain_finetune.cli.output import AsJson, console, print_json, print_line
from langchain_finetune.cli.recording_options import RecordingOptions, recording_options
from langchain_finetune.cli.rescue import EngineOfAccount
from langchain_finetune.display.terminal import plain
from langchain_finetune.display.text import counted
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import dollars
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import record as record_answers
from langchain_finetune.migration.recording import RECORDING, ModelRecording


@with_options(recording_options, into="wanted")
def record(
    *,
    wanted: RecordingOptions,
    model: Annotated[str, typer.Argument(help="The model.")],
    out: Annotated[Path, typer.Option(help="Folder of the recording.")],
    engine: EngineOfAccount = "openai",
    base_url: AddressOption = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once.")] = 16,
    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="Ask again for answers that are unknown or refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record what a model answers to its real prompts. Asks before it costs money.

    Run it again to go on after an error: no answer is paid for twice.
    """
    # What was asked for is paid for, so the first Ctrl-C waits for it.
    with takes_its_time_to_end(), RecordingBar(quiet=as_json) as bar:

        def confirm(estimate: RecordingEstimate) -> bool:
            bar.stop()
            return wanted.confirm(estimate, bar.console)

        bar.show(MigrationProgress("prompts", f"reading the prompts of {model}"))
        try:
            made = record_answers(
                model,
                wanted.sources(model) or None,
                out=out,
                engine=engine,
                base_url=base_url,
                confirm=confirm,
                concurrency=concurrency,
                ask_again=ask_again,
                on_progress=bar.show,
                **wanted.settings,
            )
        except KeyboardInterrupt:
            told = f"Stopped. The answers so far are in {out}: run the same again to go on."
            print_line(told, err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"folder": str(made.folder), **made.manifest.model_dump(mode="json")})
    else:
        _report(made)


class RecordingBar:
    """Shows the progress of rescue and recording on standard error.

    That is a bar or, without a terminal, a line for each step and each tenth of its requests.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.console = console(err=True, quiet=quiet)
        self._progress: Progress | None = None
        self._told: tuple[str, int] | None = None

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
        self._progress.update(bar, description=news.message, completed=news.done, total=news.total)
        if news.total and news.done >= news.total:
            self.stop()

    def _log(self, news: MigrationProgress) -> None:
        told = news.step, 10 * news.done // news.total if news.total else 0
        if told != self._told:
            self._told = told
            self.console.print(plain(str(news)), soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away, such as before a question."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _report(made: ModelRecording) -> None:
    found = made.manifest
    counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
    cost = "" if found.usd is None else f" for {dollars(found.usd)}"
    prompts = counted(found.prompts, "prompt")
    print_line(f"{prompts} ({found.held_out:,} held out), answers: {counts}{cost}.")
    for code, count in found.failures.items():
        print_line(f"  {count} refused: {code}")
    if found.outcomes.get("unknown"):
        print_line(
            "  unknown: may have been paid for, but not received; --ask-again asks for them."
        )
    print_line(f"The training lines are in {made.folder / RECORDING}.")
