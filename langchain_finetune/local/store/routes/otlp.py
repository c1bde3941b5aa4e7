"""The route that takes in OpenTelemetry's spans, as LangSmith's does, and answers in their form."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Request, Response
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import RawBody
from langchain_finetune.local.store.otlp import otlp_form, read_spans
from langchain_finetune.local.store.store import RunStore

_PATH = "/otel/v1/traces"


def create_otlp_router(store: RunStore) -> APIRouter:
    """Return the route that writes spans; it responds once they are stored."""
    router = APIRouter()

    @router.post(_PATH)
    def take_spans(
        body: RawBody,
        content_type: Annotated[str, Header()] = "",
        project: Annotated[str | None, Header(alias="Langsmith-Project")] = None,
    ) -> Response:
        form = otlp_form(content_type)
        if form is None:
            message = "Content-Type must be application/x-protobuf or application/json."
            raise ApiError(415, message)
        found = read_spans(body(), form, project)
        store.spans.apply(found.runs)
        if form == "json":
            partial = {"rejectedSpans": str(found.rejected), "errorMessage": found.reason}
            return Response(
                orjson.dumps({"partialSuccess": partial} if found.rejected else {}),
                media_type="application/json",
            )
        answer = ExportTraceServiceResponse()
        if found.rejected:
            answer.partial_success.rejected_spans = found.rejected
            answer.partial_success.error_message = found.reason
        return Response(answer.SerializeToString(), media_type="application/x-protobuf")

    return router


def otlp_error(request: Request, error: ApiError) -> Response | None:
    """Return an error as OTLP wants it, a `google.rpc.Status`; None for any other route's."""
    if not request.url.path.endswith(_PATH):
        return None
    if otlp_form(request.headers.get("content-type", "")) == "json":
        return Response(
            orjson.dumps({"message": error.message}), error.status, media_type="application/json"
        )
    status = Status(message=error.message).SerializeToString()
    return Response(status, error.status, media_type="application/x-protobuf")
