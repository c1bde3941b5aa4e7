"""`ComparisonResult`: what a comparison found, with its decision, table and page."""

from langchain_finetune.evaluation.report.comparison_report import ComparisonReport


class ComparisonResult(ComparisonReport):
    """The result of a comparison.

    Its attributes are those of `ComparisonData`.
    """
