"""Routes that take in runs."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.attachments import Attachment
from langchain_finetune.local.store.bodies import FormPart, Json, SplitBody, answer
from langchain_finetune.local.store.run_changes import JSON_COLUMNS, RunChange, run_change
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import ClientBody, loads, validated

_LARGE = frozenset({*JSON_COLUMNS, "error"})


class _Batch(ClientBody):
    post: list[Any] = Field(default=[])
    patch: list[Any] = Field(default=[])


def create_ingest_router(store: RunStore) -> APIRouter:
    """Return the routes that write runs; all respond with 202 once the runs are stored."""
    router = APIRouter()

    @router.post("/runs/multipart")
    def take_multipart(parts: SplitBody) -> Response:
        store.runs.apply(*read_batch(parts()))
        return answer({"message": "Runs accepted"}, 202)

    @router.post("/runs/batch")
    def take_batch(body: Json) -> Response:
        asked = validated(_Batch, body)
        posts = [run_change("post", run) for run in asked.post]
        store.runs.apply(posts + [run_change("patch", run) for run in asked.patch])
        return answer({"message": "Runs accepted"}, 202)

    @router.post("/runs")
    def post_run(body: Json) -> Response:
        store.runs.apply([run_change("post", body)])
        return answer({"message": "Run created"}, 202)

    @router.patch("/runs/{run_id}")
    def patch_run(run_id: str, body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, "A run must be a JSON object.")
        store.runs.apply([run_change("patch", {**body, "id": run_id})])
        return answer({"message": "Run updated"}, 202)

    return router


def read_batch(
    parts: Iterable[FormPart],
) -> tuple[list[RunChange], dict[str, list[Attachment]], list[Any]]:
    """Return changes of runs, attachments by run, and feedback of `POST /runs/multipart`.

    Parts are named `post.<id>`, `patch.<id>`, `<kind>.<id>.<field>`, `feedback.<id>` and
    `attachment.<id>.<name>`.
    """
    changes: list[RunChange] = []
    attachments: dict[str, list[Attachment]] = {}
    feedback: list[Any] = []
    runs: dict[tuple[str, str], dict[str, bytes]] = {}
    for part in parts:
        kind, _, rest = part.name.partition(".")
        run_id, _, name = rest.partition(".")
        if kind == "attachment":
            if not name:
                raise ApiError(400, "An attachment needs a name.")
            file = Attachment(name, part.content_type, part.data)
            attachments.setdefault(run_id, []).append(file)
        elif kind == "feedback" and not name:
            feedback.append(loads(part.data, "feedback"))
        elif kind in {"post", "patch"} and (not name or name in _LARGE):
            runs.setdefault((kind, run_id), {})[name] = part.data
        else:
            raise ApiError(400, "A part's name is not that of a run, feedback or an attachment.")
    for (kind, run_id), fields in runs.items():
        body = loads(fields.pop("", b"{}"), "run")
        if not isinstance(body, dict):
            raise ApiError(400, "A run must be a JSON object.")
        change = run_change("post" if kind == "post" else "patch", {**body, "id": run_id}, fields)
        changes.append(change)
    unknown = attachments.keys() - {run_id for _, run_id in runs}
    if unknown:
        raise ApiError(400, "An attachment came without its run.")
    return changes, attachments, feedback
