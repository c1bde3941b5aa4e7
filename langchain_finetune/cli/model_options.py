"""Options that name two models and the engines at which they answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from langchain_finetune.cli.job_options import chosen_connection
from langchain_finetune.cli.options import EngineChoice
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import same_address
from langchain_finetune.errors import EngineAuthenticationError
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.job_queries import job_of_model
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.home import home_path

_option = partial(typer.Option, rich_help_panel="Models")


@dataclass(frozen=True)
class ModelOptions:
    """The names of two models, and how to reach their engines."""

    model: str
    connection: Connection
    old_model: str
    old_connection: Connection

    def new(self) -> Any:
        """Return the new model; with the job that made it in its metadata, if it was from here.

        Raises:
            EngineError: The engine can't be reached, or has no key.
        """
        with _named(f"--model {self.model}"):
            entry = _entry_of(self.model, self.connection)
            known = ("job_id", "base_model", "training_sha256") if entry else ()
            metadata = {name: getattr(entry, name) for name in known}
            return _chat_model(self.model, self.connection, metadata)

    def old(self) -> Any:
        """Return the old model.

        Raises:
            EngineError: The engine has no key.
        """
        with _named(f"--old {self.old_model}"):
            return _chat_model(self.old_model, self.old_connection, {})


def model_options(
    *,
    model: Annotated[str, _option(help="Name of the new model.")],
    old: Annotated[str, _option(help="Name of the model that your app calls now.")],
    engine: Annotated[EngineChoice, _option(help="Engine of the new model.")] = "local",
    base_url: Annotated[str | None, _option(help="Base URL of that engine.")] = None,
    old_engine: Annotated[EngineChoice, _option(help="Engine of the old model.")] = "openai",
    old_base_url: Annotated[str | None, _option(help="Base URL of that engine.")] = None,
) -> ModelOptions:
    """Return the models that the options name; keys are in the environment."""
    return ModelOptions(
        model,
        chosen_connection(engine, base_url),
        old,
        chosen_connection(old_engine, old_base_url, "--old-"),
    )


@contextmanager
def _named(model: str) -> Iterator[None]:
    """Say which of the two models an engine has no key for."""
    try:
        yield
    except EngineAuthenticationError as error:
        told = str(error).replace("give api_key, or set", "set")
        raise EngineAuthenticationError(f"{model}: {told}") from error


def _entry_of(name: str, connection: Connection) -> Entry | None:
    """Return the job of this machine that made a model, or None."""
    kind = engine_of(connection.engine)
    address = connection.base_url or kind.default_base_url()
    entries = {
        entry.job_id: entry
        for entry in Ledger(home_path()).entries()
        if entry.engine == connection.engine
        and entry.job_id is not None
        and (not kind.takes_base_url or same_address(entry.base_url, address))
    }
    if not entries:
        return None
    job_id = connection.run(partial(job_of_model, name, list(entries)))
    return entries[job_id] if job_id else None


def _chat_model(name: str, connection: Connection, metadata: dict[str, Any]) -> Any:
    settings = {"metadata": metadata} if metadata else {}
    return engine_of(connection.engine).chat_model(connection.access(), name, settings)
