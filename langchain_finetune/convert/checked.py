"""The step that lets only fit examples through."""

from collections.abc import Iterator

from langchain_finetune.convert.checks import check_example
from langchain_finetune.convert.rows import Outcome, Row


def checked_rows(rows: Iterator[Row], outcome: Outcome) -> Iterator[Row]:
    """Yield the rows whose examples break no rule; note the first that each other breaks."""
    for row in rows:
        finding = None if row.fit else next(check_example(row.example), None)
        if finding is None:
            yield row
        else:
            place = "" if finding.index is None else f" (message {finding.index})"
            outcome.reject(row.id, finding.code, finding.message + place)
