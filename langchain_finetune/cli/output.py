"""Output of the commands: lines, tables and JSON. All of them print through this module.

Texts come from users and servers, so none is markup or an emoji code here, and none holds control
characters: `ft:nano:local:two:1` and `langchain-finetune[local]` are printed as they are.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console, RenderableType

from langchain_finetune.display.terminal import printable

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def console(*, err: bool = False, quiet: bool = False) -> Console:
    """Return a console for what `rich` has to draw, such as a bar or a report."""
    return Console(stderr=err, quiet=quiet, markup=False, emoji=False, highlight=False)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a text as it is, in one line or several; with `err`, on standard error."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=err)


def print_error(error: Exception) -> None:
    """Print on standard error why a command failed."""
    print_line(f"Error: {error}", err=True)


def print_note(text: str) -> None:
    """Print on standard error what is worth knowing beside the result."""
    print_line(f"Note: {text}", err=True)


def print_drawn(drawn: RenderableType) -> None:
    """Print what draws itself, such as a report."""
    console().print(drawn)


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one result: a line for each field that has a value."""
    if as_json:
        print_json(result)
    else:
        print_aligned([(name, text) for name, value in result.items() if (text := _text(value))])


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, none: str) -> None:
    """Print results with the same fields, or `none` if there are no results.

    They are a table where that fits; in a narrower terminal each has a line for each field, so
    that no id is cut or folded.
    """
    if as_json:
        print_json(rows)
        return
    if not rows:
        print_line(none)
        return
    table = _aligned([list(rows[0]), *([_text(value) for value in row.values()] for row in rows)])
    if sys.stdout.isatty() and max(map(cell_len, table)) > shutil.get_terminal_size().columns:
        for number, row in enumerate(rows):
            if number:
                print_line("")
            print_result(row, as_json=False)
        return
    typer.secho(table[0], bold=True)
    for line in table[1:]:
        print_line(line)


def print_aligned(rows: Sequence[Sequence[str]]) -> None:
    """Print rows whose cells begin in the same columns."""
    for line in _aligned(rows):
        print_line(line)


def print_json(result: Any) -> None:
    """Print JSON on standard output."""
    typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines.

    Example:
        >>> _aligned([("job", "state"), ("ftjob-1", "ok")])
        ['job      state', 'ftjob-1  ok']
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in shown
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
