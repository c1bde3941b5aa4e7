"""`ComparisonResult`: what a comparison found, with its decision, table and page."""

from collections.abc import Mapping

from langchain_finetune.evaluation.report.comparison_report import ComparisonReport
from langchain_finetune.evaluation.result import Decision
from langchain_finetune.evaluation.verdict import decide


class ComparisonResult(ComparisonReport):
    """The result of a comparison.

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
