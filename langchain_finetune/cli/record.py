"""`record`: the answers of a fine-tuned model, before it goes dark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langchain_finetune.cli.interrupt import takes_its_time_to_end
from langchain_finetune.cli.migration import AddressOfAccount, EngineOfAccount
from langchain_finetune.cli.options import with_options
from langchain_finetune.cli.output import AsJson, console, print_json, print_line
from langchain_finetune.cli.recording_options import RecordingOptions, recording_options
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import record as record_answers
from langchain_finetune.migration.recording import MANIFEST, RECORDING, ModelRecording


@with_options(recording_options, into="wanted")
def record(
    *,
    wanted: RecordingOptions,
    model: Annotated[str, typer.Argument(help="The model.")],
    out: Annotated[Path, typer.Option(help="Folder of the recording.")],
    engine: EngineOfAccount = "openai",
    base_url: AddressOfAccount = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once.")] = 16,
    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="Ask again for answers that are unknown or refused.")
    ] = False,
    store: Annotated[
        bool,
        typer.Option(
            "--store/--no-store", help="Let the server store the answers, to find lost ones."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Record what a model answers to its real prompts. Asks before it costs money.

    Run it again to go on after an error: no answer is paid for twice.
    """
    sources = None if (out / MANIFEST).exists() else wanted.sources(model)
    # What was asked for is paid for, so the first Ctrl-C waits for it.
    with takes_its_time_to_end(), recording_progress(quiet=as_json) as (show, err):
        try:
            made = record_answers(
                model,
                sources or None,
                out=out,
                engine=engine,
                base_url=base_url,
                confirm=lambda estimate: wanted.confirm(estimate, err),
                concurrency=concurrency,
                ask_again=ask_again,
                store=store,
                on_progress=show,
                **wanted.settings,
            )
        except KeyboardInterrupt:
            raise FineTuningError(
                f"Stopped. The answers so far are in {out}: run the same again to go on."
            ) from None
    if as_json:
        print_json({"folder": str(made.folder), **made.manifest.model_dump(mode="json")})
    else:
        _report(made)


@contextmanager
def recording_progress(
    *, quiet: bool
) -> Iterator[tuple[Callable[[MigrationProgress], None], Console]]:
    """Yield a function that shows progress as a bar on standard error, and the console."""
    err = console(err=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=err, transient=True)
    bar = None

    def show(news: MigrationProgress) -> None:
        nonlocal bar
        if bar is None:  # Not before the question was answered.
            progress.start()
            bar = progress.add_task(news.message, total=news.total)
        progress.update(bar, description=news.message, completed=news.done)

    try:
        yield show, err
    finally:
        progress.stop()


def _report(made: ModelRecording) -> None:
    found = made.manifest
    counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
    cost = "" if found.usd is None else f" for ${found.usd:.2f}"
    print_line(f"{found.prompts} prompts ({found.held_out} held out), answers: {counts}{cost}.")
    for code, count in found.failures.items():
        print_line(f"  {count} refused: {code}")
    if found.outcomes.get("unknown"):
        print_line(
            "  unknown: may have been paid for, but not received; --ask-again asks for them."
        )
    print_line(f"The training lines are in {made.folder / RECORDING}.")
