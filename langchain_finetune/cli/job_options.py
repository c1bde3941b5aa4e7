"""Which job a command is about: the same options for all commands."""

from functools import partial
from typing import Annotated, cast

import typer
from pydantic import TypeAdapter

from langchain_finetune.cli.sharing import made_of
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.connection import Address, Connection, is_for, same_address
from langchain_finetune.finetune.engines.profiles import Engine, profile_of
from langchain_finetune.finetune.handle import Job
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.finetune.submission import job_of_id
from langchain_finetune.home import home_path

_ADDRESS = TypeAdapter(Address)

EngineOption = Annotated[
    Engine | None, typer.Option(help="Where the job is; by default as this machine remembers.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of an engine that the key in the environment is for.")
]


def found(
    *,
    job_id: Annotated[str, typer.Argument(help="As the engine names it.")],
    engine: EngineOption = None,
    base_url: AddressOption = None,
) -> Job:
    """Return the job that the options name.

    Raises:
        typer.BadParameter: The address is none, or no other than the engine's own can be.
        EngineError: The engine has none of that id, or can't be asked.
        FineTuningError: The job is at an address that the key may not be for.
    """
    entries = (entry for entry in Ledger(home_path()).entries() if entry.job_id == job_id)
    if engine is None and (entry := next(entries, None)):
        connection = connection_of(entry, base_url)
    else:
        engine = engine or ("openai" if base_url else "local")
        if base_url is None and profile_of(engine).needs_base_url:
            raise typer.BadParameter(f"--engine {engine} needs --base-url.")
        if base_url is not None and engine == "local":
            raise typer.BadParameter("--engine local finds its address by itself.")
        connection = Connection(
            engine, base_url and made_of(partial(_ADDRESS.validate_python, base_url))
        )
    job = connection.run(partial(job_of_id, job_id))
    key = connection.key_for(job.engine, job.base_url)
    return job.with_api_key(key) if key else job


def connection_of(entry: Entry, base_url: str | None) -> Connection:
    """Return the connection to a job's engine.

    Raises:
        FineTuningError: The environment's key may be for another address: this one is neither
            the environment's nor the one that was given.
    """
    engine, address = cast("Engine", entry.engine), entry.base_url
    if engine == "local":
        return Connection(engine)
    if not is_for(engine, address) and not (base_url and same_address(address, base_url)):
        raise FineTuningError(
            f"The key for {address} is not known here: give --base-url {address} if "
            f"{profile_of(engine).key_variable} is for it."
        )
    return Connection(engine, address)
