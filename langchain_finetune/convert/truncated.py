"""The step that leaves out answers that were cut off, by a token limit or a filter.

Learnt as whole, they would teach the model to stop in the middle.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from langchain_finetune.checks import Finding
from langchain_finetune.convert.rows import Outcome, Row

Truncated = Literal["reject", "keep"]
"""How to handle an answer that was cut off."""


def whole_rows(rows: Iterable[Row], outcome: Outcome, action: Truncated) -> Iterator[Row]:
    """Yield the rows whose answer is whole, as far as its source says; reject or report others."""
    for row in rows:
        reason = row.source.get("finish_reason")
        if reason is None:
            yield row
            continue
        told = f"The answer was cut off ({reason})."
        rejects = action == "reject"
        finding = Finding("truncated_answer", told, severity="error" if rejects else "warning")
        outcome.add(finding, row)
        if rejects:
            outcome.reject_for(finding, row)
        else:
            yield row
