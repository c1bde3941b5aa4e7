"""The filter of the list of runs: converts a form to a query of the store."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import any_of
from langchain_finetune.local.store.run_queries import RunSearch, v1_query

PAGE = 25
"""Number of runs per page."""

TRACES = "traces"
ANY = "any"
KINDS = {
    TRACES: "Whole traces",
    "llm": "Model calls",
    "chain": "Chains",
    "tool": "Tools",
    "retriever": "Retrievers",
    ANY: "All runs",
}
STATES = {"": "Any", "success": "Succeeded", "error": "Failed", "pending": "Pending"}

_COLUMNS = ["inputs", "outputs", "extra", "feedback_stats"]
_MODEL = '"ls_model_name"'
"""Metadata key of the model, set by LangChain's tracer and langsmith's wrappers."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class RunFilter(BaseModel):
    """Fields of the filter form; empty fields do not filter.

    Feedback is on the run, or on the root of its trace. `filter` is in LangSmith's filter language;
    `after` is the cursor of the previous page.
    """

    project: _Text = ""
    kind: _Text = TRACES
    name: _Text = ""
    model: _Text = ""
    status: _Text = ""
    feedback_key: _Text = ""
    at_least: _Text = ""
    at_most: _Text = ""
    filter: _Text = ""
    after: _Text = ""

    @property
    def is_empty(self) -> bool:
        """Whether there are no conditions other than project and kind."""
        return not any(self.model_dump(exclude={"project", "kind", "after"}).values())

    def address(self, **changes: str) -> str:
        """Return the URL of the list with these fields, some of them changed."""
        fields = {**self.model_dump(), **changes}
        return "/?" + urlencode({name: value for name, value in fields.items() if value})

    def query(self, project_ids: Sequence[str]) -> RunSearch:
        """Return the query of the store, over all these projects unless one is chosen.

        Raises:
            FieldError: A field is invalid.
        """
        body: dict[str, Any] = {
            "session": [self.project] if self.project else list(project_ids),
            "limit": PAGE,
            "select": _COLUMNS,
        }
        if self.kind == TRACES:
            body["is_root"] = True
        elif self.kind != ANY:
            body["run_type"] = self.kind
        if self.after:
            body["cursor"] = self.after
        if self.model:
            model = _all([f"eq(metadata_key, {_MODEL})", _has("metadata_value", self.model)])
            # The model is in the metadata of model calls, not of a trace's root.
            body["filter" if self.kind == "llm" else "tree_filter"] = model
        if self.filter:
            # On its own, to attribute errors to the field.
            _query({**body, "filter": self.filter}, "filter")
        conditions = [
            body.pop("filter", ""),
            _has("name", self.name) if self.name else "",
            f"eq(status, {_quoted(self.status)})" if self.status else "",
            self.filter,
        ]
        feedback = self._feedback()
        queries = [_query({**body, "filter": _all([*conditions, feedback])})]
        if feedback:
            # Users' feedback is on the run itself, or on the root of its trace.
            queries.append(_query({**body, "filter": _all(conditions), "trace_filter": feedback}))
        return dataclasses.replace(queries[0], where=any_of(each.where for each in queries))

    def _feedback(self) -> str:
        """Return the condition on feedback; all parts must hold for the same feedback."""
        key = self.feedback_key
        conditions = [f"eq(feedback_key, {_quoted(key)})"] if key else []
        for name, comparator in (("at_least", "gte"), ("at_most", "lte")):
            if text := getattr(self, name):
                conditions.append(f"{comparator}(feedback_score, {_number(text, name)})")
        return _all(conditions)


class FieldError(Exception):
    """A field of the form is invalid."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _query(body: dict[str, Any], field: str = "") -> RunSearch:
    try:
        return v1_query({name: value for name, value in body.items() if value != ""})
    except ApiError as error:
        raise FieldError(field, error.message) from None


def _all(conditions: Sequence[str]) -> str:
    terms = [condition for condition in conditions if condition]
    return f"and({', '.join(terms)})" if len(terms) > 1 else "".join(terms)


def _has(field: str, text: str) -> str:
    return f"search({field}, {_quoted(text)})"


def _quoted(text: str) -> str:
    # A literal of the language is a JSON string without escapes of unprintable characters.
    return orjson.dumps("".join(filter(str.isprintable, text))).decode()


def _number(text: str, field: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FieldError(field, "The score must be a number.")
    return number
