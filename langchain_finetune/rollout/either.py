"""Either of two Runnables for each call, by thread; shadows in the background.

It has no run of its own in a trace: the run is that of the Runnable that answered, so that tokens
count once and training data is read as ever.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import (
    ensure_config,
    get_callback_manager_for_config,
    merge_configs,
)
from langchain_core.tracers import LangChainTracer
from pydantic import ConfigDict, InstanceOf

from langchain_finetune.recorder import RunRecorder
from langchain_finetune.rollout.background import Background
from langchain_finetune.rollout.state import (
    ROLLOUT_KEY,
    SIDE_KEY,
    THREAD_KEYS,
    RolloutSide,
    is_new,
)

logger = logging.getLogger(__name__)

_END = object()
"""Follows the last chunk."""


@dataclass(frozen=True)
class RolloutPolicy:
    """Which side answers, and what happens to the other."""

    rollout: str
    share: Decimal
    shadow: bool
    sticky_by: tuple[str, ...]
    fall_back_on: tuple[type[Exception], ...]
    background: Background

    def begin(self, config: RunnableConfig | None) -> "RolloutCall":
        """Return a call with its config, which the chain around it may have set."""
        whole = ensure_config(config)
        new = not self.shadow and is_new(_key(whole, self.sticky_by), self.rollout, self.share)
        if self.shadow:
            whole["run_id"] = whole.get("run_id") or uuid4()
        return RolloutCall(self, whole, new=new, asks_old=not new)


@dataclass
class RolloutCall:
    """A call of one of two models."""

    policy: RolloutPolicy
    config: RunnableConfig
    new: bool
    asks_old: bool = False
    told: dict[str, Any] = field(default_factory=dict)

    def config_of(self, side: RolloutSide) -> RunnableConfig:
        """Return the config for a side's run, whose metadata says which side it is."""
        self.told |= {"name": self.policy.rollout, "side": side}
        metadata = {ROLLOUT_KEY: self.policy.rollout, SIDE_KEY: side}
        if self.told.get("fallback"):
            metadata["rollout_fallback"] = "true"
        return merge_configs(self.config, {"metadata": metadata})

    def fall_back(self, error: Exception) -> None:
        """Take note that the new model failed, so that the old one is asked."""
        self.asks_old = True
        self.told["fallback"] = True
        # It was the run of the new model.
        self.config.pop("run_id", None)
        logger.warning(
            "The new model of the rollout %r failed (%s): the old one is asked.",
            self.policy.rollout,
            type(error).__name__,
        )

    def marked(self, answer: Any) -> Any:
        """Return a message whose `response_metadata` says who answered; all else as it is."""
        if not isinstance(answer, AIMessage):
            return answer
        # A copy: the message may also lie in a cache.
        told = answer.response_metadata | {"rollout": dict(self.told)}
        return answer.model_copy(update={"response_metadata": told})

    def shadow_config(self) -> RunnableConfig:
        """Return the config of a trace of its own, which only tracers see.

        Other handlers, such as those that stream to a user, would show the shadow's answer.
        """
        manager = get_callback_manager_for_config(self.config)
        tracers = [
            each for each in manager.handlers if isinstance(each, LangChainTracer | RunRecorder)
        ]
        metadata = self.config["metadata"] | {
            ROLLOUT_KEY: self.policy.rollout,
            SIDE_KEY: "new",
            "rollout_shadow_of": str(self.config.get("run_id")),
        }
        if key := _key(self.config, THREAD_KEYS):
            metadata.setdefault("thread_id", key)
        return RunnableConfig(
            callbacks=list(tracers),
            metadata=metadata,
            tags=list(self.config["tags"]),
            configurable=dict(self.config["configurable"]),
        )


def _key(config: RunnableConfig, names: Sequence[str]) -> str | None:
    """Return the first of some values that is in `configurable` or `metadata`."""
    for name in names:
        for values in (config["configurable"], config["metadata"]):
            if values.get(name):
                return str(values[name])
    return None


class RolledOut(RunnableSerializable[LanguageModelInput, Any]):
    """Either of two Runnables for each call: models, models with tools, or with a parser."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    old: Runnable[LanguageModelInput, Any]
    new: Runnable[LanguageModelInput, Any]
    policy: InstanceOf[RolloutPolicy]

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self.policy.begin(config)
        if call.new:
            try:
                return call.marked(self.new.invoke(input, call.config_of("new"), **kwargs))
            except self.policy.fall_back_on as error:
                call.fall_back(error)
        answer = self.old.invoke(input, call.config_of("old"), **kwargs)
        self._shadow(call, input, kwargs)
        return call.marked(answer)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self.policy.begin(config)
        if call.new:
            try:
                return call.marked(await self.new.ainvoke(input, call.config_of("new"), **kwargs))
            except self.policy.fall_back_on as error:
                call.fall_back(error)
        answer = await self.old.ainvoke(input, call.config_of("old"), **kwargs)
        self._ashadow(call, input, kwargs)
        return call.marked(answer)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self.policy.begin(config)
        first: Any = _END
        chunks: Iterator[Any] = iter(())
        if call.new:
            try:
                chunks = self.new.stream(input, call.config_of("new"), **kwargs)
                first = next(chunks, _END)
            except self.policy.fall_back_on as error:
                call.fall_back(error)
        if call.asks_old:
            chunks = self.old.stream(input, call.config_of("old"), **kwargs)
            first = next(chunks, _END)
        if first is not _END:
            yield call.marked(first)
        yield from chunks
        self._shadow(call, input, kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self.policy.begin(config)
        async with AsyncExitStack() as stack:
            first: Any = _END
            if call.new:
                try:
                    chunks = self.new.astream(input, call.config_of("new"), **kwargs)
                    await stack.enter_async_context(aclosing(cast("AsyncGenerator[Any]", chunks)))
                    first = await anext(chunks, _END)
                except self.policy.fall_back_on as error:
                    call.fall_back(error)
            if call.asks_old:
                chunks = self.old.astream(input, call.config_of("old"), **kwargs)
                await stack.enter_async_context(aclosing(cast("AsyncGenerator[Any]", chunks)))
                first = await anext(chunks, _END)
            if first is not _END:
                yield call.marked(first)
            async for chunk in chunks:
                yield chunk
        self._ashadow(call, input, kwargs)

    def _shadow(
        self, call: RolloutCall, asked: LanguageModelInput, kwargs: Mapping[str, Any]
    ) -> None:
        if self.policy.shadow:
            config = call.shadow_config()
            self.policy.background.submit(lambda: self.new.invoke(asked, config, **kwargs))

    def _ashadow(
        self, call: RolloutCall, asked: LanguageModelInput, kwargs: Mapping[str, Any]
    ) -> None:
        if self.policy.shadow:
            config = call.shadow_config()
            self.policy.background.start(lambda: self.new.ainvoke(asked, config, **kwargs))
