"""Output of the commands: tables, or JSON."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one result."""
    if as_json:
        print_json(result)
    else:
        Console().print(dict(result), soft_wrap=True)


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, none: str) -> None:
    """Print results with the same fields as a table, or `none` if there are no results."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    Console().print(table)


def print_json(result: Any) -> None:
    """Print JSON on standard output."""
    typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
