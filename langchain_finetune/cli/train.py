"""Commands that make training data and models."""

from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from langchain_finetune.cli.output import AsJson, print_result
from langchain_finetune.cli.selection import with_selection
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.job import Hyperparameters
from langchain_finetune.finetune.progress import RichProgress
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.loaders.base import SessionLoader


@with_selection
def run(
    loader: SessionLoader,
    *,
    model: Annotated[str, typer.Option(help="The base: nano, a folder, a hub id, a hosted name.")],
    engine: Annotated[
        Literal["local", "openai"], typer.Option(help="openai is any server of its API.")
    ] = "local",
    base_url: Annotated[str | None, typer.Option(help="Address of that server.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Goes into the model's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=50)] = None,
    as_json: AsJson = False,
) -> None:
    """Load chats, convert them, fine-tune, and print the new model's name."""
    examples = (loader | Convert()).invoke({})
    try:
        step = FineTune(
            model=model,
            engine=engine,
            base_url=base_url,
            suffix=suffix,
            seed=seed,
            hyperparameters=Hyperparameters(n_epochs=epochs or "auto"),
        )
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(fault) from None
    # Progress goes to standard error, so that the result alone is on standard output.
    with RichProgress(Console(stderr=True, quiet=as_json)) as progress:
        try:
            chat = step.invoke(examples, {"callbacks": [progress]})
        except KeyboardInterrupt:
            job = f"job {progress.job_id} goes on" if progress.job_id else "no job was waited for"
            raise FineTuningError(f"Stopped waiting; {job}.") from None
    result = {
        "model": chat.model_name,
        "base_url": chat.openai_api_base,
        "rejected": examples.rejected_by_reason(),
        **(chat.metadata or {}),
    }
    print_result(result, as_json=as_json)
