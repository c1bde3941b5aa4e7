"""Tables in a terminal. Texts from outside are neither markup nor control characters there."""

from collections.abc import Iterable

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text


def make_table(title: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table; columns whose heading ends in `>` are aligned to the right."""
    table = Table(title=plain(title), title_justify="left", title_style="bold")
    for heading in headings:
        justify: JustifyMethod = "right" if ">" in heading else "left"
        # Ids are not cut off.
        table.add_column(plain(heading.rstrip(">")), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def plain(text: str, style: str = "") -> Text:
    """Return a text such that brackets are not markup and `:two:` is not an emoji."""
    return Text(printable(text), style=style)


def printable(text: str) -> str:
    """Return a text without control characters, since it is untrusted."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
