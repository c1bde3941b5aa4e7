"""Routes of feedback."""

from fastapi import APIRouter, Response

from langchain_finetune.local.store.routes_shared import Json, Page, Texts, answer, known_only
from langchain_finetune.local.store.run_changes import uuid_text
from langchain_finetune.local.store.store import RunStore

_LISTED_BY = ("run", "key", "source", "comparative_experiment_id", "limit", "offset")


def create_feedback_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_feedback`, `list_feedback` and their kin."""
    router = APIRouter()

    @router.post("/feedback")
    def create_feedback(body: Json) -> Response:
        return answer(store.feedback.add([body])[0])

    @router.get("/feedback", dependencies=[known_only(*_LISTED_BY)])
    def list_feedback(
        page: Page,
        *,
        run: Texts = None,
        key: Texts = None,
        source: Texts = None,
        comparative_experiment_id: str | None = None,
    ) -> Response:
        found = store.feedback.all(
            run_ids=[uuid_text(each, "run") or "" for each in run or []],
            keys=key or [],
            sources=source or [],
            comparative_experiment_id=uuid_text(
                comparative_experiment_id, "comparative_experiment_id"
            ),
            limit=page.limit,
            offset=page.offset,
        )
        return answer(found)

    @router.get("/feedback/{feedback_id}")
    def read_feedback(feedback_id: str) -> Response:
        return answer(store.feedback.get(uuid_text(feedback_id, "feedback_id") or ""))

    @router.patch("/feedback/{feedback_id}")
    def update_feedback(feedback_id: str, body: Json) -> Response:
        return answer(store.feedback.change(uuid_text(feedback_id, "feedback_id") or "", body))

    @router.delete("/feedback/{feedback_id}")
    def delete_feedback(feedback_id: str) -> Response:
        store.feedback.delete(uuid_text(feedback_id, "feedback_id") or "")
        return answer({"message": "Feedback deleted"})

    return router
