"""The runs of a row of a file that another trace store exported."""

from typing import Any

from langchain_finetune.content import mapping
from langchain_finetune.dialects import langfuse, mlflow, opik, phoenix


def runs_of(value: Any) -> list[Any]:
    """Return the runs of a trace or an observation of another store, or the value as the only one.

    A run's `feedback_stats` hold the scores of its trace, too.

    Example:
        >>> runs_of({"inputs": {}}), runs_of("no object")
        ([{'inputs': {}}], ['no object'])
    """
    row = mapping(value)
    if "inputs" in row:
        return [value]  # A run of LangSmith, as nearly all are.
    if mlflow.is_trace(row):
        trace = mlflow.read_trace(row)
    elif langfuse.is_observation(row):
        trace = langfuse.read_observation(row)
    elif opik.is_trace(row):
        trace = opik.read_trace(row)
    elif phoenix.is_span(row):
        trace = phoenix.read_span(row)
    else:
        return [value]
    # Something else than a call of a model is counted by its type.
    return list(trace.rated_runs()) or [{"id": row.get("id"), "run_type": "chain", "inputs": None}]
