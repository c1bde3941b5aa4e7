"""The hyperparameters as options, generated from the model `Hyperparameters`."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from langchain_finetune.cli.options import build, option_parameter
from langchain_finetune.methods import Hyperparameters, read_targets

_OTHER_NAMES = {"n_epochs": ("--epochs", "--n-epochs")}
_TYPES: dict[str, type] = {"integer": int, "number": float, "boolean": bool}


def hyperparameter_options(**given: Any) -> Hyperparameters:
    """Return the hyperparameters that the options set."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if "lora_targets" in chosen:
        chosen["lora_targets"] = read_targets(chosen["lora_targets"])
    return build(Hyperparameters, **chosen)


def _parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters from which Typer creates the options."""
    schema = Hyperparameters.model_json_schema()["properties"]
    for name, field in Hyperparameters.model_fields.items():
        # The first alternative is the value; another is `auto`.
        value = schema[name]["anyOf"][0]
        kind = _TYPES.get(value.get("type"), str)
        flag = f"--{name.replace('_', '-')}"
        names = _OTHER_NAMES.get(name, (flag,))
        if kind is bool:
            names = (f"{flag}/--no-{flag.removeprefix('--')}",)
        settings = typer.Option(
            *names,
            help=field.description,
            min=value.get("minimum"),
            max=value.get("maximum"),
            rich_help_panel="Hyperparameters",
        )
        yield option_parameter(name, kind, settings)


hyperparameter_options.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]
