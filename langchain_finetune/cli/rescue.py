"""`inventory` and `rescue`: what an account has of fine-tuned models, before they go dark."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from langchain_finetune.cli.job_options import AddressOption
from langchain_finetune.cli.migration_bar import MigrationBar
from langchain_finetune.cli.options import EngineChoice
from langchain_finetune.cli.output import (
    AsJson,
    print_json,
    print_line,
    print_note,
    print_rows,
)
from langchain_finetune.display.text import counted
from langchain_finetune.errors import EngineError
from langchain_finetune.migration.archive import RescueManifest
from langchain_finetune.migration.folders import MANIFEST
from langchain_finetune.migration.inventory import Inventory
from langchain_finetune.migration.listing import ModelCalls, TunedModel
from langchain_finetune.migration.rescue import rescue as rescue_models

EngineOfAccount = Annotated[EngineChoice, typer.Option(help="Engine of the account.")]


def inventory(
    *,
    engine: EngineOfAccount = "openai",
    base_url: AddressOption = None,
    project: Annotated[
        list[str] | None,
        typer.Option(help="Project whose runs are counted; by default all. Repeatable."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Recorded or exported runs to count instead. Repeatable."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Count the calls of so many days.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List an account's fine-tuned models: days left, and who still calls them."""
    with MigrationBar(quiet=as_json) as bar:
        found = Inventory.fetch(
            engine=engine,
            base_url=base_url,
            project=project,
            files=file or (),
            days=days,
            on_progress=bar.show,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    called = [one for one in found.models if one.checkpoint_of is None or _is_called(one)]
    rows = [_row(model, days) for model in called]
    print_rows(rows, as_json=False, none="The account lists no fine-tuned models.")
    if found.counted_in:
        print_line(f"Calls are LLM runs of the last {days} days in {found.counted_in}.")
    if left_out := len(found.models) - len(called):
        models = counted(left_out, "model")
        print_line(f"{models} of checkpoints without known calls: --json lists the rest.")
    _note(found.notes)


def rescue(
    *,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Model, or id of its job; by default all."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    engine: EngineOfAccount = "openai",
    base_url: AddressOption = None,
    as_json: AsJson = False,
) -> None:
    """Fetch jobs, files and stored chat completions of fine-tuned models. Only reads.

    Run it again to go on after an error, or to add newer chat completions. Exits with 1 if the
    engine did not answer for something.
    """
    with MigrationBar(quiet=as_json) as bar:
        found = rescue_models(
            models, out=out, engine=engine, base_url=base_url, on_progress=bar.show
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _report(found, out)
    if found.failed:
        raise EngineError(
            f"The engine did not answer for {len(found.failed)} of the files and lists. "
            "Run the same again: what is complete is not fetched again."
        )


def _is_called(model: TunedModel) -> bool:
    return model.calls is not None and model.calls.count > 0


def _row(model: TunedModel, days: int) -> dict[str, str | int | None]:
    calls = model.calls or ModelCalls()
    count = f"{calls.count}{'+' if calls.at_least else ''}" if model.calls else ""
    return {
        "days left": model.days_left,
        "shutdown": str(model.shutdown_date) if model.shutdown_date else None,
        "status": model.status,
        "model": model.name,
        f"calls in {days} days": ": ".join(filter(None, [count, ", ".join(calls.projects)])),
        "last call": f"{calls.last_at:%Y-%m-%d}" if calls.last_at else None,
    }


def _report(found: RescueManifest, out: Path) -> None:
    for name, model in found.models.items():
        files = counted(len(model.files), "file")
        print_line(f"{name}: {files}, {counted(model.completions, 'chat completion')}")
        for item in model.missing:
            what = f"{item.what} {item.id or ''}".strip()
            print_line(f"  {item.state} since {item.since:%Y-%m-%d %H:%M}: {what} ({item.reason})")
    are = "is" if len(found.models) == 1 else "are"
    models = counted(len(found.models), "model")
    print_line(f"{models} {are} in {out}; {out / MANIFEST} lists what is there.")
    _note(found.notes)


def _note(notes: Iterable[str]) -> None:
    for note in notes:
        print_note(note)
