"""`ComparisonResult`: what a comparison found, with its decision, table and page."""

from collections.abc import Mapping

from rich.console import Group

from langchain_finetune.display.report import Report
from langchain_finetune.evaluation.report.html import sections
from langchain_finetune.evaluation.report.sentences import title
from langchain_finetune.evaluation.report.terminal import tables
from langchain_finetune.evaluation.result import ComparisonData, Decision
from langchain_finetune.evaluation.verdict import decide


class ComparisonResult(Report, ComparisonData):
    """The result of a comparison, with the requests and answers of the worst regressions.

    It can be displayed as tables in a terminal (`print(result)`, in color by `rich.print(result)`),
    as HTML in a notebook, as JSON (`model_dump_json()`) and as an HTML page (`to_html()`).

    Its attributes are those of `ComparisonData`.
    """

    def decide(
        self,
        *,
        at_least: Mapping[str, float] | None = None,
        better: Mapping[str, float] | None = None,
        confidence: float = 0.95,
    ) -> Decision:
        """Decide whether the new model passes: only if each rule is shown.

        Args:
            at_least: By evaluator, the difference that must be exceeded: `{"correct": -0.02}` means
                not worse by more than 0.02. Without any rule, the primary evaluator must not be
                worse by more than 5% of its range.
            better: By evaluator, the gain that must be exceeded, mostly 0.
            confidence: One-sided confidence with which each rule must be shown.

        Raises:
            FineTuningError: There is no such evaluator, or a bound or the confidence is impossible.

        Example:
            ```python
            result.decide(at_least={"correct": -0.02}).verdict  # "pass", "fail" or "too_few"
            ```
        """
        order = [each.evaluator for each in self.differences]
        return decide(
            self.cases, at_least=at_least, better=better, confidence=confidence, order=order
        )

    def _title(self) -> str:
        return title(self)

    def _repr_html_(self) -> str:
        return sections(self)

    def __rich__(self) -> Group:
        return tables(self)

    def __repr__(self) -> str:
        # Tracebacks and logs show it, so it has no texts.
        verdict = f", verdict={self.decision.verdict!r}" if self.decision else ""
        name = type(self).__name__
        return f"{name}(old={self.old!r}, new={self.new!r}, cases={len(self.cases)}{verdict})"
