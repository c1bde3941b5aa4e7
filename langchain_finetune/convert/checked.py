"""The step that lets only fit examples through."""

from collections.abc import Iterator

from langchain_finetune.convert.methods import CHECKS, Method
from langchain_finetune.convert.rows import Outcome, Row


def checked_rows(
    rows: Iterator[Row], outcome: Outcome, method: Method = "supervised"
) -> Iterator[Row]:
    """Yield the rows whose examples break no rule; note the first that each other breaks.

    Args:
        rows: The rows.
        outcome: Notes what is rejected.
        method: Whose rules count.
    """
    check = CHECKS[method]
    for row in rows:
        finding = next(check(row.example), None)
        if finding is None:
            yield row
        else:
            place = "" if finding.index is None else f" (message {finding.index})"
            outcome.reject(row.id, finding.code, finding.message + place)
