"""Options that several commands share: said once, as the parameters of a function."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer
from pydantic import ValidationError

Command = Callable[..., None]
Made = TypeVar("Made")


def shares(made: Callable[..., Any], into: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the options of a function.

    Args:
        made: Its parameters, keyword-only, are the options.
        into: The parameter of the command that gets what the function returns.

    Example:
        ```python
        @shares(selected, into="loader")
        def run(*, loader: SessionLoader, model: str) -> None: ...
        ```
    """
    shared = inspect.signature(made, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def filled(**options: Any) -> None:
            chosen = {name: options.pop(name) for name in shared}
            command(**{into: made(**chosen)}, **options)

        # Typer reads the options of a command from its signature and its hints.
        own = [each for each in inspect.signature(command).parameters.values() if each.name != into]
        hints = get_type_hints(command, include_extras=True)
        filled.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
        filled.__annotations__ = {
            **{name: option.annotation for name, option in shared.items()},
            **{option.name: hints[option.name] for option in own},
        }
        return filled

    return decorate


def made_of(kind: Callable[..., Made], **settings: Any) -> Made:
    """Return a model of pydantic with settings that came as options.

    Raises:
        typer.BadParameter: They are not right, or don't go together.
    """
    try:
        return kind(**settings)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{place}: {said}" if place else said) from None
