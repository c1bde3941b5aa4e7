"""`record`: the answers of a fine-tuned model, before it goes dark."""

from pathlib import Path
from typing import Annotated

import typer

from langchain_finetune.cli.interrupt import INTERRUPTED, takes_its_time_to_end
from langchain_finetune.cli.job_options import AddressOption
from langchain_finetune.cli.migration_bar import MigrationBar
from langchain_finetune.cli.options import with_options
from langchain_finetune.cli.output import AsJson, print_json, print_line
from langchain_finetune.cli.recording_options import RecordingOptions, recording_options
from langchain_finetune.cli.rescue import EngineOfAccount
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
    with takes_its_time_to_end(), MigrationBar(quiet=as_json) as bar:

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
