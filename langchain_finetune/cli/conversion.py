"""How a command makes examples of chats: the same options for all commands."""

from functools import partial
from typing import Annotated, Any, Literal

import typer

from langchain_finetune.checks import RulesName
from langchain_finetune.convert.duplicates import Duplicates
from langchain_finetune.convert.secrets import SecretAction
from langchain_finetune.convert.too_long import TooLong

_option = partial(typer.Option, rich_help_panel="Conversion")


def conversion(
    *,
    targets: Annotated[
        Literal["all", "last"], _option(help="Which answers of a chat are learnt.")
    ] = "all",
    rules: Annotated[
        RulesName | None, _option(help="Whose rules; by default those of the engine.")
    ] = None,
    mend: Annotated[bool, _option("--mend", help="Put right what needs no guessing.")] = False,
    strict: Annotated[bool, _option("--strict", help="Fail if a chat had to be left out.")] = False,
    secrets: Annotated[
        SecretAction, _option(help="What to do about API keys and the like.")
    ] = "report",
    duplicates: Annotated[
        Duplicates, _option(help="What to do about chats that come more than once.")
    ] = "keep",
    too_long: Annotated[
        TooLong, _option(help="What to do about chats that the model can't take.")
    ] = "reject",
    max_example_tokens: Annotated[
        int | None, _option(min=1, help="Limit of your own, instead of the model's.")
    ] = None,
    validation: Annotated[
        float, _option(min=0.0, max=1.0, help="Share of the conversations that validates.")
    ] = 0.0,
    test: Annotated[
        float, _option(min=0.0, max=1.0, help="Share that tests; it is never sent.")
    ] = 0.0,
    split_by: Annotated[
        Literal["auto", "thread", "trace"] | None,
        _option(help="What stays together in one part; auto by default."),
    ] = None,
    split_seed: Annotated[int | None, _option(help="Draws other conversations.")] = None,
) -> dict[str, Any]:
    """Return the arguments of `Convert` that the options describe.

    Raises:
        typer.BadParameter: They don't go together.
    """
    shares = {"validation": validation, "test": test}
    drawn = {"by": split_by, "seed": split_seed}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    if drawn and not any(shares.values()):
        raise typer.BadParameter("--split-by and --split-seed need --validation or --test.")
    return {
        "targets": targets,
        "rules": rules,
        "mend": mend,
        "strict": strict,
        "secrets": secrets,
        "duplicates": duplicates,
        "too_long": too_long,
        "max_example_tokens": max_example_tokens,
        "split": {**shares, **drawn} if any(shares.values()) else None,
    }
