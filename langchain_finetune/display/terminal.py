"""Tables in a terminal. Texts from outside are neither markup nor control characters there."""

from collections.abc import Iterable

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

_RUN_ID = 36
"""Characters of a UUID."""


def make_table(title: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table; columns whose heading ends in `>` are aligned to the right."""
    table = Table(title=plain(title), title_justify="left", title_style="bold")
    cells = [list(map(plain, row)) for row in rows]
    # Ids are not cut off, and those of runs stay whole, so that they can be copied.
    whole = all(len(row[0]) <= _RUN_ID for row in cells)
    for heading in headings:
        justify: JustifyMethod = "right" if ">" in heading else "left"
        name = plain(heading.rstrip(">"))
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole)
        whole = False
    for row in cells:
        table.add_row(*row)
    return table


def plain(text: str, style: str = "") -> Text:
    """Return a text such that brackets are not markup and `:two:` is not an emoji."""
    return Text(printable(text), style=style)


def printable(text: str) -> str:
    """Return a text without control characters, since it is untrusted."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
