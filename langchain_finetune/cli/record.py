"""`record`: the answers of a fine-tuned model, before it goes dark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langchain_finetune.cli.migration import AddressOfAccount, EngineOfAccount
from langchain_finetune.cli.output import AsJson, print_json
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import record as record_answers
from langchain_finetune.migration.recording import MANIFEST, RECORDING, ModelRecording
from langchain_finetune.migration.sources import recent_runs


def record(
    *,
    model: Annotated[str, typer.Argument(help="The model.")],
    out: Annotated[Path, typer.Option(help="Folder of the recording.")],
    file: Annotated[
        list[str] | None,
        typer.Option(
            help="Training file, exported runs, or the folder of a rescue, with prompts. "
            "Repeatable."
        ),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option(help="Project with runs of the model, whose prompts are used. Repeatable."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Runs of the last so many days.")] = 30,
    limit: Annotated[int, typer.Option(min=1, help="Most prompts.")] = 500,
    answers: Annotated[
        int,
        typer.Option(
            min=0, help="Answers per prompt at the app's temperature; one more is at temperature 0."
        ),
    ] = 1,
    held_out: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of the prompts never to train on.")
    ] = 0.2,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="The temperature of the app, instead of that in the traffic."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the selection.")] = 0,
    engine: EngineOfAccount = "openai",
    base_url: AddressOfAccount = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0, help="Most that the recording may cost.")
    ] = None,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="PROMPT ANSWER", help="USD per million tokens of each, if not known."),
    ] = None,
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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it costs money.")] = False,
    as_json: AsJson = False,
) -> None:
    """Record what a model answers to its real prompts. Asks before it costs money.

    Run it again to go on after an error: no answer is paid for twice.
    """
    sources: list[Any] = list(file or ())
    if project and not (out / MANIFEST).exists():
        sources.insert(0, recent_runs(model, project, days=days, limit=limit))
    with _shown(quiet=as_json) as (show, console):

        def confirm(estimate: RecordingEstimate) -> bool:
            console.print(str(estimate), markup=False, highlight=False, soft_wrap=True)
            if estimate.unknown:
                told = f"{estimate.unknown} answers may have been paid for and were not received."
                console.print(told, highlight=False)
            return yes or typer.confirm("Ask for these answers?", err=True)

        try:
            made = record_answers(
                model,
                sources or None,
                out=out,
                answers=answers,
                limit=limit,
                held_out=held_out,
                seed=seed,
                settings=None if temperature is None else {"temperature": temperature},
                engine=engine,
                base_url=base_url,
                price=price and InferencePrice(input_usd=price[0], output_usd=price[1]),
                max_cost_usd=max_cost_usd,
                confirm=confirm,
                concurrency=concurrency,
                ask_again=ask_again,
                store=store,
                on_progress=show,
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
def _shown(*, quiet: bool) -> Iterator[tuple[Callable[[MigrationProgress], None], Console]]:
    """Yield a function that shows progress as a bar on standard error, and the console."""
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, transient=True)
    bar = None

    def show(news: MigrationProgress) -> None:
        nonlocal bar
        if bar is None:  # Not before the question was answered.
            progress.start()
            bar = progress.add_task(news.message, total=news.total)
        progress.update(bar, description=news.message, completed=news.done)

    try:
        yield show, console
    finally:
        progress.stop()


def _report(made: ModelRecording) -> None:
    found = made.manifest
    counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
    cost = "" if found.usd is None else f" for ${found.usd:.2f}"
    typer.echo(f"{found.prompts} prompts ({found.held_out} held out), answers: {counts}{cost}.")
    for code, count in found.failures.items():
        typer.echo(f"  {count} refused: {code}")
    typer.echo(f"The training lines are in {made.folder / RECORDING}.")
