"""Routes that take in runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.attachments import Attachment
from langchain_finetune.local.store.bodies import FormPart
from langchain_finetune.local.store.routes.shared import Json, SplitBody, answer
from langchain_finetune.local.store.run_changes import JSON_COLUMNS, RunChange, run_change
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import loads

_LARGE = frozenset({*JSON_COLUMNS, "error"})


@dataclass
class Batch:
    """What one multipart body brought; attachments by the runs that they belong to."""

    changes: list[RunChange] = field(default_factory=list)
    feedback: list[Any] = field(default_factory=list)
    attachments: dict[str, list[Attachment]] = field(default_factory=dict)


def create_ingest_router(store: RunStore) -> APIRouter:
    """Return the routes that write runs; all answer 202 once the runs are kept."""
    router = APIRouter()

    @router.post("/runs/multipart")
    def take_multipart(parts: SplitBody) -> Response:
        batch = read_batch(parts())
        store.runs.apply(batch.changes, batch.attachments, batch.feedback)
        return answer({"message": "Runs accepted"}, 202)

    @router.post("/runs/batch")
    def take_batch(body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, 'The body must be {"post": [...], "patch": [...]}.')
        posts, patches = (_listed(body, kind) for kind in ("post", "patch"))
        changes = [run_change("post", run) for run in posts]
        store.runs.apply(changes + [run_change("patch", run) for run in patches])
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


def read_batch(parts: Iterable[FormPart]) -> Batch:
    """Read the parts of `POST /runs/multipart`.

    Args:
        parts: Named `post.<id>`, `patch.<id>`, `<kind>.<id>.<field>`, `feedback.<id>` and
            `attachment.<id>.<name>`.

    Raises:
        ApiError: 400 where a part is malformed.
    """
    batch = Batch()
    runs: dict[tuple[str, str], dict[str, bytes]] = {}
    for part in parts:
        kind, _, rest = part.name.partition(".")
        run_id, _, name = rest.partition(".")
        if kind == "attachment":
            if not name:
                raise ApiError(400, "An attachment needs a name.")
            file = Attachment(name, part.content_type, part.data)
            batch.attachments.setdefault(run_id, []).append(file)
        elif kind == "feedback" and not name:
            batch.feedback.append(loads(part.data, "feedback"))
        elif kind in {"post", "patch"} and (not name or name in _LARGE):
            runs.setdefault((kind, run_id), {})[name] = part.data
        else:
            raise ApiError(400, "A part's name is none of a run, feedback or an attachment.")
    for (kind, run_id), fields in runs.items():
        body = loads(fields.pop("", b"{}"), "run")
        if not isinstance(body, dict):
            raise ApiError(400, "A run must be a JSON object.")
        change = run_change("post" if kind == "post" else "patch", {**body, "id": run_id}, fields)
        batch.changes.append(change)
    unknown = batch.attachments.keys() - {run_id for _, run_id in runs}
    if unknown:
        raise ApiError(400, "An attachment came without its run.")
    return batch


def _listed(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name) or []
    if not isinstance(value, list):
        raise ApiError(400, f"{name} must be a list.", param=name)
    return value
