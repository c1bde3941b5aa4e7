"""A server of the part of Phoenix' REST API that `PhoenixChatLoader` reads, in small pages.

Shapes: Phoenix 20, `GET /v1/projects/{project}/spans`, `.../span_annotations` and
`.../trace_annotations`; `tests/stores/test_servers.py` reads a real server by the same loader.
"""

import datetime as dt
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request

KEY = "phoenix-test-key"


class PhoenixServer:
    """The server's state; `app` serves it.

    Attributes:
        spans: The spans of the project `app`, newest first.
        annotations: Those on spans have a `span_id`, those on traces a `trace_id`.
    """

    def __init__(self, page_limit=3):
        self.page_limit = page_limit
        self.spans, self.annotations = [], []
        self.requests = []
        self.app = FastAPI()
        self.app.get("/v1/projects/{project}/spans")(self.find_spans)
        self.app.get("/v1/projects/{project}/{kind}_annotations")(self.find_annotations)

    def annotate(self, name, *, score=None, label=None, **on):
        result = {"score": score, "label": label, "explanation": None}
        given = {"name": name, "result": result, "updated_at": "2026-11-30T10:00:00+00:00"}
        self.annotations.append(given | on)

    def find_spans(
        self,
        request: Request,
        project: str,
        trace_id: Annotated[list[str] | None, Query()] = None,
        parent_id: str | None = None,
        span_kind: str | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
    ):
        def is_wanted(span):
            began = dt.datetime.fromisoformat(span["start_time"])
            return (
                (trace_id is None or span["context"]["trace_id"] in trace_id)
                and (parent_id != "null" or span["parent_id"] is None)
                and (span_kind is None or span["span_kind"] == span_kind)
                and (start_time is None or began >= start_time)
                and (end_time is None or began < end_time)
            )

        return self._page(request, project, [span for span in self.spans if is_wanted(span)])

    def find_annotations(
        self,
        request: Request,
        project: str,
        kind: str,
        include_annotation_names: Annotated[list[str], Query()],
        span_ids: Annotated[list[str] | None, Query()] = None,
        trace_ids: Annotated[list[str] | None, Query()] = None,
    ):
        asked = {"span": span_ids, "trace": trace_ids}[kind]
        found = [
            each
            for each in self.annotations
            if each["name"] in include_annotation_names and each.get(f"{kind}_id") in asked
        ]
        return self._page(request, project, found)

    def _page(self, request, project, found):
        self.requests.append(str(request.url))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise HTTPException(401)
        if project != "app":
            raise HTTPException(404)
        limit = min(self.page_limit, int(request.query_params["limit"]))
        start = int(request.query_params.get("cursor", 0))
        more = str(start + limit) if start + limit < len(found) else None
        return {"data": found[start : start + limit], "next_cursor": more}
