"""Fields of filters, and their columns in the store's tables."""

from langchain_finetune.local.store.filter_sql import ENTRY_TEXT, Field, Filterable, Rows


def _entries(column: str, prefix: str) -> Rows:
    return Rows(
        f"json_each({column}) AS entry WHERE TRUE",
        {f"{prefix}_key": Field("entry.key"), f"{prefix}_value": Field(ENTRY_TEXT, "entry")},
        key=f"{prefix}_key",
    )


def _leaves(column: str, prefix: str) -> Rows:
    """Return the values in JSON by paths such as `messages.content`."""
    return Rows(
        f"json_each(leaves({column})) AS leaf WHERE TRUE",
        {
            f"{prefix}_key": Field("json_extract(leaf.value, '$[0]')"),
            f"{prefix}_value": Field("json_extract(leaf.value, '$[1]')", "entry"),
        },
        key=f"{prefix}_key",
    )


RUN_FILTERS = Filterable(
    fields={
        "id": Field("{a}.id"),
        "name": Field("{a}.name"),
        "run_type": Field("{a}.run_type", "lower"),
        "status": Field("{a}.status", "lower"),
        "error": Field("{a}.error"),
        "start_time": Field("{a}.start_time", "time"),
        "end_time": Field("{a}.end_time", "time"),
        "first_token_time": Field("{a}.first_token_time", "time"),
        "latency": Field("({a}.end_time - {a}.start_time)", "duration"),
        "total_tokens": Field("{a}.total_tokens", "number"),
        "prompt_tokens": Field("{a}.prompt_tokens", "number"),
        "completion_tokens": Field("{a}.completion_tokens", "number"),
        "is_root": Field("({a}.parent_run_id IS NULL)", "flag"),
        "trace_id": Field("{a}.trace_id"),
        "parent_run_id": Field("{a}.parent_run_id"),
        "thread_id": Field("{a}.thread_id"),
        "session_id": Field("{a}.project_id"),
        "reference_example_id": Field("{a}.reference_example_id"),
        "dotted_order": Field("{a}.dotted_order"),
        "inputs": Field("{a}.inputs", "json"),
        "outputs": Field("{a}.outputs", "json"),
    },
    rows={
        "tags": Rows(
            "json_each({a}.tags) AS tag WHERE TRUE",
            {"tags": Field("tag.value", "tag")},
            joint=False,
        ),
        "metadata": _entries("{a}.metadata", "metadata"),
        "inputs": _leaves("{a}.inputs", "input"),
        "outputs": _leaves("{a}.outputs", "output"),
        "feedback": Rows(
            "feedback AS f WHERE f.run_id = {a}.id",
            {
                "feedback_key": Field("f.key"),
                "feedback_score": Field("f.score", "number"),
                "feedback_value": Field("f.value"),
                "feedback_comment": Field("f.comment"),
                "feedback_source": Field("f.source"),
            },
            key="feedback_key",
        ),
    },
    metadata="{a}.metadata",
    signed=True,
)
"""Filters on runs. What isn't here is refused, so that no condition is quietly dropped."""

EXAMPLE_FILTERS = Filterable(
    fields={
        "id": Field("{a}.id"),
        "created_at": Field("{a}.created_at", "time"),
        "modified_at": Field("{a}.valid_from", "time"),
        "inputs": Field("{a}.inputs", "json"),
        "outputs": Field("{a}.outputs", "json"),
    },
    rows={"metadata": _entries("{a}.metadata", "metadata")},
    metadata="{a}.metadata",
)
"""Filters on the examples of a dataset."""
