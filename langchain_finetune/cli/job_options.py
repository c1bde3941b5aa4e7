"""Options that several commands share: the job, and how its model is deployed."""

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from langchain_finetune.cli.options import EngineChoice, build, option_parameter
from langchain_finetune.engines import all_engines, engine_of
from langchain_finetune.engines.access import Address, same_address
from langchain_finetune.engines.base import Deployment, Engine
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.connection import Connection, is_for
from langchain_finetune.finetune.job import Job
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.finetune.submit import job_of_id
from langchain_finetune.home import home_path

_ADDRESS = TypeAdapter(Address)

EngineOption = Annotated[
    EngineChoice | None,
    typer.Option(help="Engine of the job; by default from this machine's ledger."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Base URL of the engine that the key in the environment is for.")
]


def selected_job(
    *,
    job_id: Annotated[str, typer.Argument(help="Id of the job.")],
    engine: EngineOption = None,
    base_url: AddressOption = None,
) -> Job:
    """Return the job that the options specify."""
    entries = (entry for entry in Ledger(home_path()).entries() if entry.job_id == job_id)
    if engine is None and (entry := next(entries, None)):
        connection = connection_of(entry.engine, entry.base_url, base_url)
    else:
        connection = chosen_connection(engine or ("openai" if base_url else "local"), base_url)
    job = connection.run(partial(job_of_id, job_id))
    key = connection.key_for(job.engine, job.base_url)
    return job.with_api_key(key) if key else job


def chosen_connection(engine: str, base_url: str | None, prefix: str = "--") -> Connection:
    """Return the connection that options such as `--engine` and `--base-url` specify.

    Args:
        engine: Name of the engine.
        base_url: Its address, if given.
        prefix: What the names of both options begin with.
    """
    kind = engine_of(engine)
    if base_url is None and kind.needs_base_url:
        raise typer.BadParameter(f"{prefix}engine {engine} requires {prefix}base-url.")
    if base_url is not None and not kind.takes_base_url:
        raise typer.BadParameter(f"{prefix}engine {engine} does not accept {prefix}base-url.")
    return Connection(engine, base_url and build(partial(_ADDRESS.validate_python, base_url)))


def connection_of(engine: str, address: str, base_url: str | None) -> Connection:
    """Return the connection to the engine of a job, at the address that the ledger has.

    Raises:
        FineTuningError: The key may be for another address, or the engine no longer exists.
    """
    kind = engine_of(engine)
    if not kind.takes_base_url:
        return Connection(engine)
    if not is_for(engine, address) and not (base_url and same_address(address, base_url)):
        raise FineTuningError(
            f"The key for {address} is unknown. Use --base-url {address} if {kind.key_variable} is"
            f" for this address.{_without_key(kind)}"
        )
    return Connection(engine, address)


def _without_key(kind: Engine) -> str:
    from langchain_finetune.engines.loop import LoopEngine  # noqa: PLC0415 - brings the SDK

    if not isinstance(kind, LoopEngine):
        return ""
    return " The embedded engine, which trains it, needs no key for it: give --engine local."


_NAME = "--deployment"
_PANEL = "Deployment, at engines that require one"


@dataclass(frozen=True)
class EngineOptions:
    """Options that only some engines have: values by option, None if not given."""

    given: dict[str, Any]

    def request_fields(self, engine: Engine) -> dict[str, Any]:
        """Return the additional fields of the job's request."""
        own = {option for option, *_ in _deployment_options(engine)} | {*engine.request_options}
        for option, value in self.given.items():
            if value is not None and option not in own:
                owners = [each.name for each in all_engines() if option in each.request_options]
                raise typer.BadParameter(
                    f"{option} is for --engine {', '.join(owners)}."
                    if owners
                    else f"{option} is not for --engine {engine.name}."
                )
        return {
            field: self.given[option]
            for option, (field, _) in engine.request_options.items()
            if self.given[option] is not None
        }

    def deployment(self, engine: Engine) -> Deployment | None:
        """Return how the model is deployed, or None if the engine requires no deployment."""
        if engine.deployment is None or not engine.deploys(self.request_fields(engine)):
            return None
        fields = engine.deployment.model_fields
        values = {name: self.given[option] for option, name, _ in _deployment_options(engine)}
        missing = [
            option
            for option, name, field in sorted(
                _deployment_options(engine), key=lambda each: each[0] != _NAME
            )
            if field.is_required() and not values[name]
        ]
        if missing:
            raise typer.BadParameter(f"--engine {engine.name} requires {', '.join(missing)}.")
        for name, field in fields.items():
            if variable := _extra(field).get("variable"):
                values[name] = os.environ.get(variable, "").strip()
                if not values[name]:
                    raise typer.BadParameter(
                        f"--engine {engine.name} requires {field.description} in {variable}."
                    )
        given = {name: value for name, value in values.items() if value is not None}
        return build(engine.deployment, **given)

    def fine_tune(self, engine: str, **settings: Any) -> FineTune:
        """Return the step that trains at an engine."""
        kind = engine_of(engine)
        return build(
            FineTune,
            engine=engine,
            extra_body=self.request_fields(kind),
            deployment=self.deployment(kind),
            **settings,
        )


def engine_options(**given: Any) -> EngineOptions:
    """Return the options of all engines; the signature is generated from the table of engines."""
    return EngineOptions({f"--{name.replace('_', '-')}": value for name, value in given.items()})


def _deployment_options(engine: Engine) -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield the option, field name and field of each setting of a deployment."""
    fields = engine.deployment.model_fields if engine.deployment else {}
    for name, field in fields.items():
        if "variable" not in _extra(field):
            ending = _extra(field).get("option", name.replace("_", "-"))
            yield _NAME if name == "name" else f"--{engine.name}-{ending}", name, field


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters from which Typer creates the options."""
    types: dict[str, tuple[Any, str | None]] = {
        _NAME: (str, "Name of the deployment, or of the served model.")
    }
    for engine in all_engines():
        for flag, _, field in _deployment_options(engine):
            kind = field.annotation if field.annotation in {int, float} else str
            types.setdefault(flag, (kind, field.description))
    for flag, (kind, text) in types.items():
        yield option_parameter(flag, kind, typer.Option(flag, help=text, rich_help_panel=_PANEL))
    told: dict[str, tuple[list[str], str]] = {}
    for engine in all_engines():
        for flag, (_, text) in engine.request_options.items():
            told.setdefault(flag, ([], text))[0].append(engine.name)
    for flag, (names, text) in told.items():
        help_text = f"At {' and '.join(names)}: {text}"
        yield option_parameter(flag, str, typer.Option(flag, help=help_text))


engine_options.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]
