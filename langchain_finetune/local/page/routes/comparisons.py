"""Comparisons of experiments: the list, their cases, and both answers to a case side by side."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.comparison_views import (
    OUTCOMES,
    CaseFilter,
    ComparedCases,
    answer_of,
    case_texts,
    metadata_of,
)
from langchain_finetune.local.page.render_html import render_page
from langchain_finetune.local.page.run_views import seconds_of
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.values import uuid_text

_PATH = "/ui/comparisons"
_SECTION = "Comparisons"

PAGE = 20
"""Number of comparisons, and of cases, per page."""

Offset = Annotated[int, Query(ge=0, le=2**31)]


class _ShownCases(CaseFilter):
    offset: int = Field(default=0, ge=0, le=2**31)


def create_comparisons_pages(store: RunStore) -> APIRouter:
    """Return the pages of comparisons."""
    router = APIRouter()

    @router.get(_PATH)
    def list_comparisons(request: Request, offset: Offset = 0) -> Response:
        found = store.comparisons.all(limit=PAGE + 1, offset=offset)
        return render_page(
            request,
            "comparisons.html",
            section=_SECTION,
            comparisons=found[:PAGE],
            dataset_names=_dataset_names(store, found[:PAGE]),
            offset=offset,
            previous=max(0, offset - PAGE),
            next=offset + PAGE if len(found) > PAGE else None,
        )

    @router.get(_PATH + "/{comparison_id}")
    def show_comparison(
        request: Request, comparison_id: str, shown: Annotated[_ShownCases, Query()]
    ) -> Response:
        comparison = store.comparisons.get(uuid_text(comparison_id, "comparison_id"))
        cases = ComparedCases(store, comparison)
        key, outcome = _chosen(cases, shown)
        lines = cases.lines(key, outcome)
        page = lines[shown.offset : shown.offset + PAGE]
        answers = cases.answers([line.example_id for line in page])
        return render_page(
            request,
            "comparison.html",
            section=_SECTION,
            comparison=comparison,
            dataset_names=_dataset_names(store, [comparison]),
            metadata=metadata_of(comparison),
            evaluators=cases.evaluators(),
            experiments=cases.experiments(),
            outcomes=OUTCOMES,
            filter=CaseFilter(evaluator=key, outcome=outcome),
            count=len(lines),
            lines=page,
            answers=answers,
            answer_of=answer_of,
            texts=case_texts(store, answers),
            offset=shown.offset,
            previous=max(0, shown.offset - PAGE),
            next=shown.offset + PAGE if len(lines) > shown.offset + PAGE else None,
        )

    @router.get(_PATH + "/{comparison_id}/cases/{example_id}")
    def show_case(
        request: Request,
        comparison_id: str,
        example_id: str,
        chosen: Annotated[CaseFilter, Query()],
    ) -> Response:
        comparison = store.comparisons.get(uuid_text(comparison_id, "comparison_id"))
        example_id = uuid_text(example_id, "example_id")
        cases = ComparedCases(store, comparison)
        key, outcome = _chosen(cases, chosen)
        answers = cases.answers([example_id])
        rows = [row for side in answers[example_id].values() for row in side]
        if not rows:
            raise ApiError(404, "The comparison does not contain this case.")
        order = [line.example_id for line in cases.lines(key, outcome)]
        place = order.index(example_id) if example_id in order else None
        return render_page(
            request,
            "comparison_case.html",
            section=_SECTION,
            comparison=comparison,
            filter=CaseFilter(evaluator=key, outcome=outcome),
            outcomes=OUTCOMES,
            place=place,
            count=len(order),
            previous=order[place - 1] if place else None,
            next=order[place + 1] if place is not None and place + 1 < len(order) else None,
            texts=case_texts(store, answers)[example_id],
            names=cases.names,
            answers=answers[example_id],
            answer_of=answer_of,
            seconds_of=seconds_of,
            feedback=cases.feedback(rows),
            tokens=store.runs.tokens_of([row["trace_id"] for row in rows]),
        )

    return router


def _dataset_names(store: RunStore, comparisons: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the names of the comparisons' datasets; a client may name one that does not exist."""
    dataset_ids = {each["reference_dataset_id"] for each in comparisons}
    found = store.datasets.all(ids=sorted(dataset_ids), limit=PAGE) if dataset_ids else []
    return {each["id"]: each["name"] for each in found}


def _chosen(cases: ComparedCases, chosen: CaseFilter) -> tuple[str, str]:
    """Return the feedback key and the outcome that are shown."""
    keys = cases.keys
    key = chosen.evaluator if chosen.evaluator in keys else next(iter(keys), "")
    return key, chosen.outcome if chosen.outcome in OUTCOMES else ""
