"""Brings LoRA adapters that the engine has trained to an upstream that can load them (vLLM)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.models import Adapter
from langchain_finetune.local.serving.relay import SOON, Relay, whole

logger = logging.getLogger(__name__)


class UpstreamAdapters:
    """Knows which adapters an upstream has, and lets it load those that it lacks.

    It goes by vLLM's documentation, "Dynamically serving LoRA Adapters": `POST
    /v1/load_lora_adapter` with a name and a folder that the upstream can read, which is there
    when it was started with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.

    Args:
        relay: Asks the upstream.
        models: Its names of models by this engine's, where they are not the same.
        find: Finds the adapter of one of the engine's models; None where it has none.
        list_models: Returns the upstream's models.
    """

    def __init__(
        self,
        relay: Relay,
        models: Mapping[str, str],
        find: Callable[[str], Adapter | None],
        list_models: Callable[[], Any],
    ) -> None:
        self._relay = relay
        self._models = models
        self._find = find
        self._list_models = list_models
        self._there: set[str] = set()
        self._turn = asyncio.Lock()

    async def ensure(self, name: str) -> None:
        """Make sure that the upstream has a model's adapter, where it is one of the engine's.

        A model that was given a name of its own at the upstream is that server's affair.

        Raises:
            ApiError: 404 where the upstream does not serve its base, or can't load adapters;
                502 where it refuses this one; and as `Relay.sent`.
        """
        if name in self._there or name in self._models:
            return
        adapter = await asyncio.to_thread(self._find, name)
        if adapter is None:
            return
        async with self._turn:
            if name not in self._there:
                await self._bring(name, adapter)
                self._there.add(name)

    def lost(self, name: str) -> bool:
        """Take note that the upstream does not know a name; tell whether it was thought to."""
        known = name in self._there
        self._there.discard(name)
        return known

    async def unload(self, name: str) -> None:
        """Let the upstream forget an adapter, also one that an earlier engine has brought there."""
        if name in self._models:
            return
        async with self._turn:
            self._there.discard(name)
            try:
                if any(card["id"] == name for card in await self._list_models()):
                    await self._post("unload_lora_adapter", {"lora_name": name}, patience=SOON)
            except ApiError as error:
                logger.warning("The upstream has not unloaded an adapter: %s", error.code)

    async def _bring(self, name: str, adapter: Adapter) -> None:
        cards = await self._list_models()
        if any(card["id"] == name for card in cards):
            return
        base = self._models.get(adapter.base, adapter.base)
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
            raise ApiError(
                502,
                f"The upstream refused the adapter of '{name}' with status {status}: its log says "
                "why (the rank may be above its --max-lora-rank).",
                code="upstream_failed",
                param="model",
            )

    async def _post(
        self, path: str, body: Mapping[str, str], *, patience: httpx2.Timeout | None = None
    ) -> int:
        async with self._relay.sent("POST", path, body, patience=patience) as answer:
            await whole(answer)
            return answer.status_code


def _not_served(name: str, reason: str) -> ApiError:
    return ApiError(
        404,
        f"The upstream does not serve '{name}': {reason}.",
        code="model_not_found",
        param="model",
    )
