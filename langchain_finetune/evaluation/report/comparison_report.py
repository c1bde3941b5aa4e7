"""The display of a comparison: in a terminal, in a notebook and as an HTML page."""

import io
import os
from pathlib import Path

from rich.console import Console, Group

from langchain_finetune.convert.jsonl import JsonlWriter
from langchain_finetune.evaluation.report.html import page, sections
from langchain_finetune.evaluation.report.terminal import tables
from langchain_finetune.evaluation.result import ComparisonData


class ComparisonReport(ComparisonData):
    """The report of a comparison, with the requests and answers of the worst regressions.

    It can be displayed as tables in a terminal (`print(report)`, in color by `rich.print(report)`),
    as HTML in a notebook, as JSON (`model_dump_json()`) and as an HTML page (`to_html()`).

    Its attributes are those of `ComparisonData`.
    """

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as an HTML page without scripts or external resources.

        Args:
            path: File to write the page to.
        """
        html = page(self)
        if path is not None:
            # It quotes the cases, so only its owner may read it.
            with JsonlWriter(Path(path)) as writer:
                writer.write(html.encode())
        return html

    def _repr_html_(self) -> str:
        return sections(self)

    def __rich__(self) -> Group:
        return tables(self)

    def __repr__(self) -> str:
        # Tracebacks and logs show it, so it has no texts.
        verdict = f", verdict={self.decision.verdict!r}" if self.decision else ""
        name = type(self).__name__
        return f"{name}(old={self.old!r}, new={self.new!r}, cases={len(self.cases)}{verdict})"

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), color_system=None)
        with console.capture() as captured:
            console.print(tables(self))
        return captured.get()
