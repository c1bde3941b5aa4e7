"""`ComparisonResult`: what a comparison found, with its decision, table and page."""

from langchain_finetune.evaluation.result import ComparisonData


class ComparisonResult(ComparisonData):
    """The result of a comparison.

    Its attributes are those of `ComparisonData`.
    """
