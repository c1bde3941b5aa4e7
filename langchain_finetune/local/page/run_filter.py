"""The filter of the list of runs: converts a form to a query of the store."""

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, any_of
from langchain_finetune.local.store.run_queries import RunSearch, cursor_after, v1_query

SIZES = (25, 50, 100)
"""Numbers of runs per page."""

MOST_COUNTED = 10_000
"""Matches are counted up to here: counting millions would take longer than anyone waits."""

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

_CURSORS = frozenset({"after", "before"})
_PAGING = _CURSORS | {"size"}

_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class RunFilter(BaseModel):
    """Fields of the filter form; empty fields do not filter.

    Feedback is on the run, or on the root of its trace. `filter` is in LangSmith's filter language;
    dates are days in UTC, both included. `after` is the cursor of the page before, whose runs are
    newer, and `before` that of the page after.
    """

    project: _Text = ""
    kind: _Text = TRACES
    text: _Text = ""
    tag: _Text = ""
    since: _Text = ""
    until: _Text = ""
    name: _Text = ""
    model: _Text = ""
    status: _Text = ""
    feedback_key: _Text = ""
    at_least: _Text = ""
    at_most: _Text = ""
    filter: _Text = ""
    size: _Text = ""
    after: _Text = ""
    before: _Text = ""

    @property
    def is_empty(self) -> bool:
        """Whether there are no conditions other than project and kind."""
        return not any(self.model_dump(exclude={"project", "kind", *_PAGING}).values())

    @property
    def has_more(self) -> bool:
        """Whether there are conditions other than those that are always in sight."""
        return not self.model_copy(update={"text": ""}).is_empty

    @property
    def limit(self) -> int:
        """The number of runs per page."""
        return next((size for size in SIZES if str(size) == self.size), SIZES[0])

    def query_string(self, **changes: str) -> str:
        """Return these fields, some of them changed, as the query of a URL; empty ones left out."""
        fields = {**self.model_dump(), **changes}
        return "?" + urlencode({name: value for name, value in fields.items() if value})

    def page_address(self, **cursors: str) -> str:
        """Return the address of a page of the list: the first, or that of one cursor."""
        return "/" + self.query_string(**{"after": "", "before": ""} | cursors)

    def query(self, project_ids: Sequence[str]) -> RunSearch:
        """Return the query of the store, over all these projects unless one is chosen.

        Raises:
            FieldError: A field is invalid.
        """
        body: dict[str, Any] = {
            "session": [self.project] if self.project else list(project_ids),
            "limit": self.limit,
            "select": _COLUMNS,
            "order": "asc" if self.before else "desc",
            "cursor": self.before or self.after,
            "start_time": self._day("since"),
            "end_time": self._day("until") and f"{self._day('until')}T23:59:59.999999",
        }
        if self.kind == TRACES:
            body["is_root"] = True
        elif self.kind != ANY:
            body["run_type"] = self.kind
        if self.model:
            model = _all([f"eq(metadata_key, {_MODEL})", _has("metadata_value", self.model)])
            # The model is in the metadata of model calls, not of a trace's root.
            body["filter" if self.kind == "llm" else "tree_filter"] = model
        if self.filter:
            # On its own, to attribute errors to the field.
            _query({**body, "filter": self.filter}, "filter")
        conditions = [
            body.pop("filter", ""),
            f"search({_quoted(self.text)})" if self.text else "",
            _has("name", self.name) if self.name else "",
            f"has(tags, {_quoted(self.tag)})" if self.tag else "",
            f"eq(status, {_quoted(self.status)})" if self.status else "",
            self.filter,
        ]
        feedback = self._feedback()
        queries = [_query({**body, "filter": _all([*conditions, feedback])})]
        if feedback:
            # Users' feedback is on the run itself, or on the root of its trace.
            queries.append(_query({**body, "filter": _all(conditions), "trace_filter": feedback}))
        return dataclasses.replace(queries[0], where=any_of(each.where for each in queries))

    def all_matches(self, project_ids: Sequence[str]) -> Where:
        """Return the condition of all pages."""
        return self.model_copy(update=dict.fromkeys(_CURSORS, "")).query(project_ids).where

    def beside(self, project_ids: Sequence[str], run: Mapping[str, Any], side: str) -> RunSearch:
        """Return the query of the match next to a run, which is newer (`before` it) or `after` it.

        Raises:
            FieldError: A field is invalid.
        """
        moved = self.model_copy(update=dict.fromkeys(_CURSORS, "") | {side: cursor_after(run)})
        return dataclasses.replace(moved.query(project_ids), fields=frozenset({"id"}), limit=1)

    def _day(self, field: str) -> str:
        text = str(getattr(self, field))
        try:
            return text and dt.date.fromisoformat(text).isoformat()
        except ValueError:
            raise FieldError(field, "The date must be like 2026-11-29.") from None

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
