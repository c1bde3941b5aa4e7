"""Routes of feedback."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.store.feedback_configs import FeedbackConfigs
from langchain_finetune.local.store.routes.shared import (
    Json,
    PageRange,
    PublicJson,
    Root,
    Texts,
    answer,
    known_only,
)
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text

_LISTED_BY = ("run", "key", "source", "comparative_experiment_id", "limit", "offset")


def create_feedback_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_feedback`, `list_feedback` and their kin."""
    router = APIRouter()

    @router.post("/feedback")
    def create_feedback(body: Json) -> Response:
        with store.together():
            made = store.feedback.add([body])[0]
            _configure(store.feedback_configs, made["key"], body.get("feedback_config"))
        return answer(made)

    @router.get("/feedback", dependencies=[known_only(*_LISTED_BY)])
    def list_feedback(
        page: PageRange,
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

    _add_tokens(router, store)
    _add_configs(router, store.feedback_configs)

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


def _add_tokens(router: APIRouter, store: RunStore) -> None:
    tokens = store.feedback_tokens

    @router.post("/feedback/tokens")
    def create_tokens(body: Json, root: Root) -> Response:
        if isinstance(body, list):
            with store.together():
                made = [tokens.create(each, root) for each in body]
            return answer(made)
        return answer(tokens.create(body, root))

    @router.get("/feedback/tokens", dependencies=[known_only("run_id", "limit", "offset")])
    def list_tokens(run_id: str, page: PageRange, root: Root) -> Response:
        run = uuid_text(run_id, "run_id") or ""
        return answer(tokens.all(run, root, limit=page.limit, offset=page.offset))

    @router.post("/feedback/tokens/{token}")
    def use_token(token: str, body: PublicJson) -> Response:
        tokens.use(uuid_text(token, "token") or "", body)
        return answer({"message": "Feedback created"})

    @router.get(
        "/feedback/tokens/{token}",
        dependencies=[known_only("score", "value", "comment", "correction")],
    )
    def use_token_by_link(
        token: str,
        score: float | None = None,
        value: str | None = None,
        comment: str | None = None,
        correction: str | None = None,
    ) -> Response:
        said = {"score": score, "value": value, "comment": comment, "correction": correction}
        tokens.use(uuid_text(token, "token") or "", said)
        return answer({"message": "Feedback created"})


def _add_configs(router: APIRouter, configs: FeedbackConfigs) -> None:
    @router.post("/feedback-configs")
    def create_config(body: Json) -> Response:
        return answer(configs.create(body))

    @router.get(
        "/feedback-configs", dependencies=[known_only("key", "name_contains", "limit", "offset")]
    )
    def list_configs(
        page: PageRange, *, key: Texts = None, name_contains: str | None = None
    ) -> Response:
        found = configs.all(
            keys=key or [], name_contains=name_contains, limit=page.limit, offset=page.offset
        )
        return answer(found)

    @router.patch("/feedback-configs")
    def change_config(body: Json) -> Response:
        return answer(configs.change(body))

    @router.delete("/feedback-configs")
    def delete_config(feedback_key: str) -> Response:
        configs.delete(feedback_key)
        return answer({"message": "Feedback configuration deleted"})


def _configure(configs: FeedbackConfigs, key: str, config: Any) -> None:
    """Keep the configuration that came with a key's first feedback."""
    if config is not None and not configs.all(keys=[key]):
        configs.create({"feedback_key": key, "feedback_config": config})
