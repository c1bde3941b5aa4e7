"""Routes of feedback, and of its tokens and configurations."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import Json, PublicJson, Root, answer
from langchain_finetune.local.store.feedback import FeedbackConfigs
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import ClientQuery, Id, PageQuery


class _ListedFeedback(PageQuery):
    run_ids: list[Id] = Field(default=[], alias="run")
    keys: list[str] = Field(default=[], alias="key")
    sources: list[str] = Field(default=[], alias="source")
    comparative_experiment_id: Id | None = None


class _ListedTokens(PageQuery):
    run_id: Id


class _TokenLink(ClientQuery):
    score: float | None = None
    value: str | None = None
    comment: str | None = None
    correction: str | None = None


class _ListedConfigs(PageQuery):
    ids: list[str] = Field(default=[], alias="key")
    name_contains: str | None = None


class _DeletedConfig(ClientQuery):
    feedback_key: str | None = None
    id: Id | None = None


def create_feedback_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_feedback`, `list_feedback` and their kin."""
    router = APIRouter()
    feedback = store.feedback

    @router.post("/feedback")
    def create_feedback(body: Json) -> Response:
        with store.together():
            made = feedback.add([body])[0]
            _configure(store.feedback_configs, made["key"], body.get("feedback_config"))
        return answer(made)

    @router.get("/feedback")
    def list_feedback(asked: Annotated[_ListedFeedback, Query()]) -> Response:
        return answer(feedback.all(**vars(asked)))

    _add_tokens(router, store)
    _add_configs(router, store.feedback_configs)

    @router.get("/feedback/{feedback_id}")
    def read_feedback(feedback_id: Id) -> Response:
        return answer(feedback.get(feedback_id))

    @router.patch("/feedback/{feedback_id}")
    def update_feedback(feedback_id: Id, body: Json) -> Response:
        return answer(feedback.change(feedback_id, body))

    @router.delete("/feedback/{feedback_id}")
    def delete_feedback(feedback_id: Id) -> Response:
        feedback.delete(feedback_id)
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

    @router.get("/feedback/tokens")
    def list_tokens(asked: Annotated[_ListedTokens, Query()], root: Root) -> Response:
        return answer(tokens.all(root=root, **vars(asked)))

    @router.post("/feedback/tokens/{token}")
    def use_token(token: Id, body: PublicJson) -> Response:
        tokens.use(token, body)
        return answer({"message": "Feedback created"})

    @router.get("/feedback/tokens/{token}")
    def use_token_by_link(token: Id, asked: Annotated[_TokenLink, Query()]) -> Response:
        tokens.use(token, vars(asked))
        return answer({"message": "Feedback created"})


def _add_configs(router: APIRouter, configs: FeedbackConfigs) -> None:
    @router.post("/feedback-configs")
    def create_config(body: Json) -> Response:
        return answer(configs.create(body))

    @router.get("/feedback-configs")
    def list_configs(asked: Annotated[_ListedConfigs, Query()]) -> Response:
        return answer(configs.all(**vars(asked)))

    @router.patch("/feedback-configs")
    def change_config(body: Json) -> Response:
        return answer(configs.change(body))

    @router.delete("/feedback-configs")
    def delete_config(asked: Annotated[_DeletedConfig, Query()]) -> Response:
        if not (asked.feedback_key or asked.id):
            raise ApiError(422, "Give feedback_key or id.", param="feedback_key")
        configs.delete(asked.feedback_key or configs.key_of(str(asked.id)))
        return answer({"message": "Feedback configuration deleted"})


def _configure(configs: FeedbackConfigs, key: str, config: Any) -> None:
    """Keep the configuration that came with a key's first feedback."""
    if config is not None and not configs.all(ids=[key]):
        configs.create({"feedback_key": key, "feedback_config": config})
