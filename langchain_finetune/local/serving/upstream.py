"""Passes requests to another server of OpenAI's API, such as vLLM on a machine with GPUs.

LoRA adapters that the engine has trained are brought to an upstream that can load them. It follows
vLLM's documentation, "Dynamically serving LoRA Adapters": `POST /v1/load_lora_adapter` with a name
and a folder that the upstream can read, which is there when it was started with `--enable-lora` and
`VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from starlette.responses import Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_reference import in_four_bits
from langchain_finetune.local.models import Adapter
from langchain_finetune.local.serving.protocol import invalid, missing, model_not_found
from langchain_finetune.local.serving.relay import (
    SOON,
    Relay,
    passed_on,
    read_object,
    upstream_failed,
    whole,
)
from langchain_finetune.local.serving.settings import UpstreamSettings

logger = logging.getLogger(__name__)

_HINT = (
    " (The engine hands answers to its upstream, which must serve this model; if it has another"
    " name there, start the engine with --upstream-model NAME=THEIRS.)"
)


class Upstream:
    """Passes requests to an upstream, and its answers back; brings it the engine's adapters."""

    def __init__(
        self, settings: UpstreamSettings, find_adapter: Callable[[str], Adapter | None]
    ) -> None:
        self._names = settings.models
        self._relay = Relay(settings)
        self._find_adapter = find_adapter
        self._loaded: set[str] = set()
        self._turn = asyncio.Lock()

    def create(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer `POST /v1/chat/completions` as the upstream does, errors too.

        All but the request's `model` is passed on as it is. Leaving the context ends the
        upstream's work.

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
        """Log a warning if the upstream does not answer."""
        try:
            await self._list_models()
        except ApiError as error:
            logger.warning("%s", error.message)

    async def unload(self, model: str) -> None:
        """Unload an adapter from the upstream, also one that an earlier engine has loaded there."""
        if model in self._names:
            return
        async with self._turn:
            self._loaded.discard(model)
            try:
                if any(card["id"] == model for card in await self._list_models()):
                    await self._post("unload_lora_adapter", {"lora_name": model}, timeouts=SOON)
            except ApiError as error:
                logger.warning("The upstream has not unloaded an adapter: %s", error.code)

    async def cards(self) -> list[dict[str, Any]]:
        """Return the upstream's models in OpenAI's shape, and those that have a name here.

        The list is empty where it does not answer: the engine's own models are listed without it.
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
            await self._ensure_adapter(name)
            answer = await stack.enter_async_context(self._relay.sent("POST", path, sent))
            unknown = answer.status_code == httpx2.codes.NOT_FOUND
            if unknown and name in self._loaded:
                # The upstream was started again meanwhile.
                self._loaded.discard(name)
                await stack.aclose()
                await self._ensure_adapter(name)
                answer = await stack.enter_async_context(self._relay.sent("POST", path, sent))
            yield await passed_on(answer, hint=_HINT if unknown else "")

    async def _ensure_adapter(self, name: str) -> None:
        """Load a model's adapter at the upstream, if it is one of the engine's models.

        Models that have a name of their own at the upstream are left to it. So are those that were
        trained on their base in 4 bits, since on the upstream's base they would be other models.

        Raises:
            ApiError: 404 where the upstream does not serve its base, or can't load adapters;
                502 where it refuses this one; and as `Relay.sent`.
        """
        if name in self._loaded or name in self._names:
            return
        adapter = await asyncio.to_thread(self._find_adapter, name)
        if adapter is None or in_four_bits(adapter.folder):
            return
        async with self._turn:
            if name not in self._loaded:
                await self._load_adapter(name, adapter)
                self._loaded.add(name)

    async def _list_models(self) -> list[dict[str, Any]]:
        async with self._relay.sent("GET", "models", timeouts=SOON) as answer:
            listed = read_object(await whole(answer)) or {}
        cards = listed.get("data")
        if not answer.is_success or not isinstance(cards, list):
            raise upstream_failed(
                f"The upstream does not list its models (status {answer.status_code}): is its "
                "address the one of an API like OpenAI's, such as http://gpu-box:8000/v1?"
            )
        return [
            {"object": "model", "created": 0, "owned_by": "upstream"} | card
            for card in cards
            if isinstance(card, dict) and isinstance(card.get("id"), str)
        ]

    async def _load_adapter(self, name: str, adapter: Adapter) -> None:
        cards = await self._list_models()
        if any(card["id"] == name for card in cards):
            return
        base = self._names.get(adapter.base, adapter.base)
        if not any(base in {card["id"], card.get("root")} for card in cards):
            raise _not_served(
                name,
                f"it serves neither this model nor its base '{base}'; if the base has another "
                f"name there, start the engine with --upstream-model '{adapter.base}=NAME'",
            )
        status = await self._post(
            "load_lora_adapter", {"lora_name": name, "lora_path": str(adapter.folder)}
        )
        if status in {httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED}:
            raise _not_served(
                name,
                "and it can't load its adapter: start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, where it can read the engine's home",
            )
        if status != httpx2.codes.OK:
            raise upstream_failed(
                f"The upstream refused the adapter of '{name}' with status {status}: its log says "
                "why (the rank may be above its --max-lora-rank).",
                param="model",
            )

    async def _post(self, path: str, body: Mapping[str, str], **options: Any) -> int:
        async with self._relay.sent("POST", path, body, **options) as answer:
            await whole(answer)
            return answer.status_code


def _not_served(name: str, reason: str) -> ApiError:
    return model_not_found(f"The upstream does not serve '{name}': {reason}.")
