"""Spans as runs of the store: each gets its place in its trace, in whatever order they come.

The root of a trace has the trace's id as its run id, as runs of LangSmith's own tracer have. The
children of a root mostly come before it, so they are moved below it once it is there.
"""

from collections.abc import Iterable, Iterator

from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.otlp import SpanRun, run_id_of
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT, RunChange, is_deepest
from langchain_finetune.local.store.runs import Runs
from langchain_finetune.local.store.values import micros


class Spans:
    """Takes spans into the runs of a store."""

    def __init__(self, database: StoreDatabase, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    def apply(self, spans: Iterable[SpanRun]) -> None:
        """Take in spans, all or none; one that is there already is not doubled.

        Raises:
            ApiError: 507 if the disk is full.
        """
        # Those above come first, as far as they are in the same request.
        ordered = sorted(
            spans, key=lambda span: (span.parent_span_id is not None, span.body["start_time"] or "")
        )
        with self._database.transaction():
            changes = list(self._changes(ordered))
            self._runs.apply(change for _, change in changes)
            for span, change in changes:
                if change.run_id == span.trace_id:
                    self._database.run(
                        "UPDATE runs SET parent_run_id = ? WHERE parent_run_id = ?",
                        (change.run_id, run_id_of(span.trace_id, span.span_id)),
                    )
            for _, change in changes:
                self._place_below(change.run_id)

    def _changes(self, spans: list[SpanRun]) -> Iterator[tuple[SpanRun, RunChange]]:
        roots: dict[str, str | None] = {}
        for span in spans:
            trace = span.trace_id
            if span.from_langsmith and self._came_by_langsmiths_api(span):
                continue
            if trace not in roots:
                roots[trace] = self._root_span(trace)
            if span.parent_span_id is None and roots[trace] is None:
                roots[trace] = span.span_id
            ids = [
                trace if each == roots[trace] else run_id_of(trace, each)
                for each in (span.span_id, span.parent_span_id)
                if each
            ]
            yield span, span.change(ids[0], ids[1] if len(ids) > 1 else None)

    def _root_span(self, trace_id: str) -> str | None:
        """Return the span of the run that has the trace's id; "" if it was never a span."""
        row = self._database.row(
            "SELECT json_extract(extra, '$.otel.span_id') AS span FROM runs WHERE id = ?",
            (trace_id,),
        )
        return None if row is None else str(row["span"] or "")

    def _came_by_langsmiths_api(self, span: SpanRun) -> bool:
        """Return whether the run is there, since the SDK sends each in both ways (`hybrid`)."""
        start = micros(span.body["start_time"]) or 0
        return bool(
            self._database.rows(
                "SELECT 1 FROM runs AS r JOIN projects AS p ON p.id = r.project_id "
                # The span's time went through a floating-point number.
                "WHERE p.name = ? AND r.start_time BETWEEN ? AND ? AND r.name = ? "
                "AND json_extract(r.extra, '$.otel') IS NULL LIMIT 1",
                (
                    span.body["session_name"] or DEFAULT_PROJECT,
                    start - 1,
                    start + 1,
                    span.body["name"],
                ),
            )
        )

    def _place_below(self, run_id: str) -> None:
        """Put the runs below a run after it in its order, and those below them."""
        above = [run_id]
        while above:
            parent_id = above.pop()
            parent = self._database.row("SELECT dotted_order FROM runs WHERE id = ?", (parent_id,))
            order = (parent or {}).get("dotted_order") or ""
            if not order or is_deepest(order):
                continue
            children = self._database.rows(
                "SELECT id, dotted_order FROM runs "
                "WHERE parent_run_id = ? AND dotted_order IS NOT NULL",
                (parent_id,),
            )
            for child in children:
                is_placed = child["dotted_order"].startswith(f"{order}.")
                # Spans that are each above the other have no order.
                if not is_placed and child["id"] not in order:
                    own = child["dotted_order"].rpartition(".")[2]
                    self._database.run(
                        "UPDATE runs SET dotted_order = ? WHERE id = ?",
                        (f"{order}.{own}", child["id"]),
                    )
                    above.append(child["id"])
