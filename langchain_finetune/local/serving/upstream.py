"""Hands generation to another server of OpenAI's API, such as vLLM on a machine with GPUs."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from starlette.responses import Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.models import Adapter
from langchain_finetune.local.serving.adapters import UpstreamAdapters
from langchain_finetune.local.serving.protocol import invalid, missing
from langchain_finetune.local.serving.relay import SOON, Relay, handed_on, read_object, whole
from langchain_finetune.local.serving.settings import UpstreamSettings

logger = logging.getLogger(__name__)

_HINT = (
    " (The engine hands answers to its upstream, which must serve this model; if it has another"
    " name there, start the engine with --upstream-model NAME=THEIRS.)"
)


class Upstream:
    """Answers as an upstream does: the same request goes there, and its answer comes back.

    Args:
        settings: Where the upstream is.
        find_adapter: Finds the LoRA adapter of one of the engine's models.
    """

    def __init__(
        self, settings: UpstreamSettings, find_adapter: Callable[[str], Adapter | None]
    ) -> None:
        self._names = settings.models
        self._relay = Relay(settings)
        self._adapters = UpstreamAdapters(
            self._relay, settings.models, find_adapter, self._list_models
        )

    def create(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer `POST /v1/chat/completions`.

        Leaving the context ends the upstream's work.

        Args:
            body: The request; all but its `model` is passed on as it is.

        Returns:
            The upstream's answer, errors too.

        Raises:
            ApiError: 400 where no model is named; 502 to 504 where the upstream can't answer.
        """
        return self._answered("chat/completions", body)

    def complete(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer `POST /v1/completions`; see `create`."""
        return self._answered("completions", body)

    def respond(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer `POST /v1/responses`; see `create`."""
        return self._answered("responses", body)

    async def warm(self) -> None:
        """Tell in the log whether the upstream answers."""
        try:
            await self._list_models()
        except ApiError as error:
            logger.warning("%s", error.message)

    async def unload(self, model: str) -> None:
        """Let the upstream forget a model's adapter."""
        await self._adapters.unload(model)

    async def cards(self) -> list[dict[str, Any]]:
        """Return the upstream's models in OpenAI's shape, and those that have a name here.

        None where it does not answer: the engine's own models can be listed without it.
        """
        try:
            cards = await self._list_models()
        except ApiError as error:
            logger.warning("The upstream's models are not listed: %s", error.message)
            return []
        by_name = {card["id"]: card for card in cards}
        named = [
            by_name[theirs] | {"id": ours, "root": theirs}
            for ours, theirs in self._names.items()
            if theirs in by_name and ours not in by_name
        ]
        return named + cards

    async def close(self) -> None:
        """Close all connections."""
        await self._relay.close()

    @asynccontextmanager
    async def _answered(self, path: str, body: dict[str, Any]) -> AsyncIterator[Response]:
        name = body.get("model")
        if name is None:
            raise missing("model")
        if not isinstance(name, str):
            raise invalid("model", "must be a string")
        sent = body | {"model": self._names.get(name, name)}
        async with AsyncExitStack() as stack:
            await self._adapters.ensure(name)
            answer = await stack.enter_async_context(self._relay.sent("POST", path, sent))
            unknown = answer.status_code == httpx2.codes.NOT_FOUND
            if unknown and self._adapters.lost(name):
                # The upstream was started again meanwhile.
                await stack.aclose()
                await self._adapters.ensure(name)
                answer = await stack.enter_async_context(self._relay.sent("POST", path, sent))
            yield await handed_on(answer, hint=_HINT if unknown else "")

    async def _list_models(self) -> list[dict[str, Any]]:
        async with self._relay.sent("GET", "models", patience=SOON) as answer:
            listed = read_object(await whole(answer)) or {}
        cards = listed.get("data")
        if not answer.is_success or not isinstance(cards, list):
            raise ApiError(
                502,
                f"The upstream does not list its models (status {answer.status_code}): is its "
                "address the one of an API like OpenAI's, such as http://gpu-box:8000/v1?",
                code="upstream_failed",
            )
        return [
            {"object": "model", "created": 0, "owned_by": "upstream"} | card
            for card in cards
            if isinstance(card, dict) and isinstance(card.get("id"), str)
        ]
