"""The conditions of the list of runs: a form's fields in, a query of the store out."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import any_of
from langchain_finetune.local.store.run_queries import RunSearch, v1_query

PAGE = 25
"""Runs on one page."""

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
STATES = {"": "Any", "success": "Succeeded", "error": "Failed", "pending": "Not ended"}

_SHOWN = ["inputs", "outputs", "extra", "feedback_stats"]
_MODEL = "ls_model_name"
"""Where LangChain's tracer and langsmith's wrappers note the model."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class RunFilter(BaseModel):
    """What the form of the list asks for; empty fields ask for nothing.

    Attributes:
        project: Id of a project.
        kind: One of `KINDS`.
        name: A part of the run's name.
        model: A part of the model's name; of a whole trace, of any of its calls.
        status: One of `STATES`.
        feedback_key: The run, or the root of its trace, has feedback of this key.
        at_least: The score of that feedback is this or greater.
        at_most: It is this or less.
        filter: A condition in LangSmith's filter language.
        after: The cursor that the page before gave.
    """

    model_config = ConfigDict(extra="ignore")

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
        """Whether nothing narrows the list but project and kind."""
        return not any(
            value
            for name, value in self.model_dump().items()
            if name not in {"project", "kind", "after"}
        )

    def address(self, **changes: str) -> str:
        """Return the address of the list with these fields, some of them changed."""
        fields = {**self.model_dump(), **changes}
        given = {name: value for name, value in fields.items() if value}
        return "/?" + urlencode(given)

    def query(self, project_ids: Sequence[str]) -> RunSearch:
        """Return the store's query.

        Args:
            project_ids: All projects.

        Raises:
            FieldFaultError: A field is not what it should be.
        """
        body: dict[str, Any] = {
            "session": [self.project] if self.project else list(project_ids),
            "limit": PAGE,
            "select": _SHOWN,
        }
        if self.kind == TRACES:
            body["is_root"] = True
        elif self.kind != ANY:
            body["run_type"] = self.kind
        if self.after:
            body["cursor"] = self.after
        if self.model:
            model = (
                f"and(eq(metadata_key, {_quoted(_MODEL)}), {_has('metadata_value', self.model)})"
            )
            # Of a trace, the model stands at the calls inside.
            body["filter" if self.kind == "llm" else "tree_filter"] = model
        if self.filter:
            _asked({**body, "filter": self.filter}, "filter")
        conditions = [body.pop("filter", ""), *self._conditions(), self.filter]
        said = self._feedback()
        # What users say lies at the root of a trace, or at the run itself.
        places = [
            _asked({**body, "filter": _all([*conditions, said])}),
            *([_asked({**body, "filter": _all(conditions), "trace_filter": said})] if said else []),
        ]
        return dataclasses.replace(places[0], where=any_of(place.where for place in places))

    def _conditions(self) -> Iterator[str]:
        if self.name:
            yield _has("name", self.name)
        if self.status:
            yield f"eq(status, {_quoted(self.status)})"

    def _feedback(self) -> str:
        """Return the condition on feedback; all of it is asked of the same one."""
        conditions = (
            [f"eq(feedback_key, {_quoted(self.feedback_key)})"] if self.feedback_key else []
        )
        for name, comparator in (("at_least", "gte"), ("at_most", "lte")):
            if text := getattr(self, name):
                conditions.append(f"{comparator}(feedback_score, {_number(text, name)})")
        return _all(conditions)


class FieldFaultError(Exception):
    """A field of a form is not right; the message says what, `field` which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _asked(body: dict[str, Any], field: str = "") -> RunSearch:
    given = {name: value for name, value in body.items() if value != ""}
    try:
        return v1_query(given)
    except ApiError as error:
        raise FieldFaultError(field, error.message) from None


def _all(conditions: Sequence[str]) -> str:
    held = [condition for condition in conditions if condition]
    return held[0] if len(held) == 1 else f"and({', '.join(held)})" if held else ""


def _has(field: str, text: str) -> str:
    return f"search({field}, {_quoted(text)})"


def _quoted(text: str) -> str:
    # JSON's texts are the language's own, but for escapes of what can't be printed.
    return orjson.dumps("".join(filter(str.isprintable, text))).decode()


def _number(text: str, field: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FieldFaultError(field, "The score must be a number.")
    return number
