"""`prepare` and `run`: create training files, and fine-tuned models."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from langchain_finetune.cli.hyperparameter_options import hyperparameter_options
from langchain_finetune.cli.interrupt import INTERRUPTED, takes_its_time_to_end
from langchain_finetune.cli.job_options import EngineOptions, engine_options
from langchain_finetune.cli.model_output import print_model
from langchain_finetune.cli.options import (
    EngineChoice,
    build,
    chat_loader,
    convert_options,
    with_options,
)
from langchain_finetune.cli.output import (
    AsJson,
    console,
    print_drawn,
    print_json,
    print_line,
    print_note,
)
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.engines import all_engines
from langchain_finetune.finetune.callbacks import RichProgress
from langchain_finetune.finetune.job import DAY_S, Job
from langchain_finetune.finetune.remote_sets import write_remote_set
from langchain_finetune.finetune.training_files import Spooled, write_training_files
from langchain_finetune.loaders.base import SessionLoader
from langchain_finetune.methods import Hyperparameters, LineKind
from langchain_finetune.remote_files import RemoteFile, is_remote
from langchain_finetune.sessions import summary


@with_options(chat_loader, into="loader")
@with_options(convert_options, into="settings")
def prepare(
    *,
    loader: SessionLoader,
    settings: dict[str, Any],
    out: Annotated[
        str, typer.Option(help="Folder for the files, also s3://...; created if missing.")
    ],
    method: Annotated[
        LineKind, typer.Option(help="Training method of the examples.")
    ] = "supervised",
    model: Annotated[
        str | None, typer.Option(help="Base model, for token counts and limits.")
    ] = None,
    engine: Annotated[
        EngineChoice | None,
        typer.Option(help="Engine whose rules and limits apply; by default OpenAI."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load and convert chats, and write training files and a report. No engine is asked."""
    convert = build(Convert, **settings, method=method)
    target = Target(engine, model)
    # Ray needs some seconds to end its processes.
    patience = takes_its_time_to_end() if convert.on else nullcontext()
    with patience, RichProgress(console(err=True, quiet=as_json)) as progress:
        examples = (loader | convert).invoke({})
        tell = progress.show_conversion
        if is_remote(out):
            made = write_remote_set(examples, RemoteFile.given(out), target=target, tell=tell)
            folder = out.rstrip("/")
        else:
            made = write_training_files(examples, Path(out), target=target, tell=tell)
            folder = str(made.folder)
    if as_json:
        report = made.report.model_dump(mode="json")
        print_json({"folder": folder, "files": _files(made, folder), "report": report})
    else:
        print_drawn(made.report)
        print_line(f"The files are in {folder}; see report.html for details.")


@with_options(chat_loader, into="loader")
@with_options(convert_options, into="settings")
@with_options(hyperparameter_options, into="hyperparameters")
@with_options(engine_options, into="chosen")
def run(
    *,
    loader: SessionLoader,
    settings: dict[str, Any],
    hyperparameters: Hyperparameters,
    chosen: EngineOptions,
    model: Annotated[
        str, typer.Option(help="Base model: nano, a folder, a Hub id or a hosted model.")
    ],
    engine: Annotated[
        EngineChoice,
        typer.Option(
            help="; ".join(f"{each.name}: {each.summary}" for each in all_engines()) + "."
        ),
    ] = "local",
    base_url: Annotated[str | None, typer.Option(help="Base URL of the engine.")] = None,
    method: Annotated[
        LineKind,
        typer.Option(
            help="Training method of the examples; preference trains with DPO,"
            " unpaired_preference with KTO."
        ),
    ] = "supervised",
    suffix: Annotated[str | None, typer.Option(help="Suffix of the model's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0.0, help="Refuse to train if it would cost more.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0.0, help="USD per million trained tokens, if unknown."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Refuse to train on more tokens.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.0, help="Seconds to wait; the job continues afterwards.")
    ] = DAY_S,
    reuse: Annotated[
        bool,
        typer.Option("--reuse/--no-reuse", help="Reuse an existing job of the same data."),
    ] = True,
    on_cancel: Annotated[
        Literal["keep", "cancel"], typer.Option(help="Keep or cancel the job on Ctrl-C.")
    ] = "keep",
    as_json: AsJson = False,
) -> None:
    """Load and convert chats, fine-tune a model, and print its name; with --json, the rest, too."""
    examples = (loader | build(Convert, **settings, method=method)).invoke({})
    step = chosen.fine_tune(
        engine,
        model=model,
        base_url=base_url,
        suffix=suffix,
        seed=seed,
        hyperparameters=hyperparameters,
        max_cost_usd=max_cost_usd,
        max_tokens=max_tokens,
        prices=None if price is None else {model: price},
        timeout_s=timeout,
        reuse=reuse,
        on_cancel=on_cancel,
    )
    # Progress goes to standard error; standard output contains only the result.
    patient = on_cancel == "cancel" or settings["on"]
    patience = takes_its_time_to_end() if patient else nullcontext()
    with patience, RichProgress(console(err=True, quiet=as_json)) as progress:
        try:
            chat = step.invoke(examples, {"callbacks": [progress]})
        except KeyboardInterrupt as interrupt:
            told = _interrupted(interrupt, progress.job_id, on_cancel)
            print_line(f"Error: {told}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    # Only OpenAI-compatible chat models have these.
    name, address = (getattr(chat, each, None) for each in ("model_name", "openai_api_base"))
    lineage = chat.metadata or {}
    if as_json:
        rejected = examples.rejected_by_reason()
        print_json({"model": name, "base_url": address, "rejected": rejected, **lineage})
        return
    if examples.rejected:
        print_note(f"These chats were left out: {summary(examples.rejected)}.")
    job = Job(job_id=lineage["job_id"], engine=engine, base_url=base_url, base_model=model)
    print_model(job, name)


def _files(made: Spooled, folder: str) -> dict[str, dict[str, Any]]:
    parts = {"train": made.training, "validation": made.validation, "test": made.test}
    return {
        name: {**asdict(file), "path": f"{folder}/{file.path.name}"}
        for name, file in parts.items()
        if file
    }


def _interrupted(interrupt: KeyboardInterrupt, job_id: str | None, on_cancel: str) -> str:
    """Return the message after Ctrl-C: whether the job continues or was cancelled."""
    # A job that could not be cancelled is reported in a note.
    if notes := " ".join(getattr(interrupt, "__notes__", ())):
        return f"Stopped waiting. {notes}"
    if job_id is None:
        return "Stopped before a job was awaited; `jobs list` shows whether one was created."
    outcome = "was cancelled" if on_cancel == "cancel" else "continues"
    return f"Stopped waiting; job {job_id} {outcome}."
