"""A stand-in of Langfuse: what its SDK sends and its public API returns, as documented.

`POST /api/public/otel/v1/traces` (protobuf), `POST /api/public/scores`,
`GET /api/public/v2/observations` and `GET /api/public/v3/scores`, both in pages with a cursor.
"""

import base64
import datetime as dt
import gzip
import json
import uuid

from fastapi import FastAPI, Request, Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

GROUPS = {
    "basic": "name level statusMessage version environment userId sessionId isRootObservation",
    "io": "input output",
    "metadata": "metadata",
    "model": "model internalModelId modelParameters",
    "usage": "usageDetails costDetails",
    "trace_context": "tags release traceName",
}
CORE = "id traceId startTime endTime projectId parentObservationId type"
KEYS = ("pk-lf-1", "sk-lf-1")


def iso(nanoseconds):
    return dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC).isoformat()


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def observation(span):
    """An observation of a span of Langfuse's SDK."""
    attributes = {each.key: value_of(each.value) for each in span.attributes}
    own = {
        key.removeprefix("langfuse.observation."): value
        for key, value in attributes.items()
        if key.startswith("langfuse.observation.")
    }
    parent = span.parent_span_id.hex() or None
    return {
        "id": span.span_id.hex(),
        "traceId": span.trace_id.hex(),
        "projectId": "p",
        "parentObservationId": parent,
        "isRootObservation": parent is None,
        "startTime": iso(span.start_time_unix_nano),
        "endTime": iso(span.end_time_unix_nano),
        "type": own.get("type", "span").upper(),
        "name": span.name,
        "level": own.get("level", "DEFAULT"),
        "statusMessage": own.get("status_message"),
        "sessionId": attributes.get("session.id"),
        "input": own.get("input"),
        "output": own.get("output"),
        "metadata": {
            key.removeprefix("metadata."): json.loads(value)
            for key, value in own.items()
            if key.startswith("metadata.")
        },
        "model": own.get("model.name"),
        "modelParameters": json.loads(own.get("model.parameters", "{}")),
        "usageDetails": json.loads(own.get("usage_details", "{}")),
        "tags": list(attributes.get("langfuse.trace.tags") or []),
    }


def page(items, limit, cursor):
    start = int(base64.b64decode(cursor)) if cursor else 0
    end = start + limit
    more = base64.b64encode(str(end).encode()).decode() if end < len(items) else None
    return items[start:end], {"limit": limit} | ({"cursor": more} if more else {})


class LangfuseServer:
    """`observations` and `scores` are what was sent; `requests` the queries; `page` the limit."""

    def __init__(self, page_limit=1000):
        self.observations = {}
        self.scores = []
        self.requests = []
        self.page_limit = page_limit
        self.app = FastAPI()
        self.app.middleware("http")(self.authorize)
        self.app.post("/api/public/otel/v1/traces")(self.ingest)
        self.app.post("/api/public/scores")(self.score)
        self.app.get("/api/public/v2/observations")(self.list_observations)
        self.app.get("/api/public/v3/scores")(self.list_scores)

    async def authorize(self, request: Request, call_next):
        basic = base64.b64encode(":".join(KEYS).encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return Response('{"message": "Invalid credentials"}', 401)
        return await call_next(request)

    async def ingest(self, request: Request):
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    made = observation(span)
                    self.observations[made["id"]] = made
        return Response(
            ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf"
        )

    async def score(self, request: Request):
        body = await request.json()
        given = body if isinstance(body, list) else body.get("scores", [body])
        for each in given:
            self.scores.append({"id": str(uuid.uuid4()), **each})
        return {"message": "Accepted", "errors": []}

    async def list_observations(self, request: Request):
        asked = dict(request.query_params)
        self.requests.append(asked)
        names = CORE.split()
        for group in asked.get("fields", "basic").split(","):
            names += GROUPS.get(group, "").split()
        found = [
            {name: each[name] for name in names if name in each}
            for each in sorted(
                self.observations.values(), key=lambda each: each["startTime"], reverse=True
            )
            if asked.get("type") in (None, each["type"])
            and asked.get("fromStartTime", "") <= each["startTime"].replace("+00:00", "Z")
            and each["startTime"].replace("+00:00", "Z") < asked.get("toStartTime", "9")
        ]
        expanded = asked.get("expandMetadata", "").split(",")
        for each in found:
            each["metadata"] = {
                key: value if key in expanded or not isinstance(value, str) else value[:200]
                for key, value in each.get("metadata", {}).items()
            }
        limit = min(int(asked.get("limit", 50)), self.page_limit)
        data, meta = page(found, limit, asked.get("cursor"))
        return {"data": data, "meta": meta}

    async def list_scores(self, request: Request):
        asked = dict(request.query_params)
        traces, names = (asked.get(key, "").split(",") for key in ("traceId", "name"))
        found = []
        for each in self.scores:
            if each["traceId"] not in traces or each["name"] not in names:
                continue
            on, trace = each.get("observationId"), each["traceId"]
            subject = {"kind": "trace", "id": trace}
            if on:
                subject = {"kind": "observation", "id": on, "traceId": trace}
            value, kind = each["value"], each.get("dataType")
            kind = kind or ("NUMERIC" if isinstance(value, int | float) else "CATEGORICAL")
            now = "2026-11-01T12:00:00Z"
            core = {"id": each["id"], "projectId": "p", "name": each["name"], "source": "API"}
            core |= {"dataType": kind, "value": value, "subject": subject}
            core |= {"environment": "default", "timestamp": now, "createdAt": now, "updatedAt": now}
            found.append(core)
        data, meta = page(found, min(int(asked.get("limit", 50)), 100), asked.get("cursor"))
        return {"data": data, "meta": meta}
