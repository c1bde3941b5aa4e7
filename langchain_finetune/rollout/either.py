"""Either of two Runnables for each call, by thread; shadows in the background.

It has no run of its own in a trace: the run is that of the Runnable that answered, so that tokens
count once and training data is read as ever.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
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


class RolloutCall:
    """A call of one of two Runnables, and of the old one also if the new one failed.

    Args:
        policy: Which one answers.
        old: The old Runnable.
        new: The new one.
        config: The config of the call; the chain around it may have set one, too.
    """

    def __init__(
        self, policy: RolloutPolicy, old: Any, new: Any, config: RunnableConfig | None
    ) -> None:
        self.policy, self.old, self.new = policy, old, new
        self.config = ensure_config(config)
        self.told: dict[str, Any] = {"name": policy.rollout}
        if policy.shadow:
            self.config["run_id"] = self.config.get("run_id") or uuid4()

    def turns(self) -> Iterator[tuple[Any, RunnableConfig]]:
        """Yield whom to ask until one answers, with the config of its run."""
        policy = self.policy
        key = _key(self.config, policy.sticky_by)
        if not policy.shadow and is_new(key, policy.rollout, policy.share):
            yield self.new, self._config_of("new")
        yield self.old, self._config_of("old")

    def _config_of(self, side: RolloutSide) -> RunnableConfig:
        self.told["side"] = side
        metadata = {ROLLOUT_KEY: self.policy.rollout, SIDE_KEY: side}
        if self.told.get("fallback"):
            metadata["rollout_fallback"] = "true"
        return merge_configs(self.config, {"metadata": metadata})

    @contextmanager
    def falling_back(self) -> Iterator[None]:
        """Go on after this block if the new one fails in it, so that the old one is asked."""
        try:
            yield
        except self.policy.fall_back_on as error:
            if self.told["side"] == "old":
                raise
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

    def shadow(self, asked: LanguageModelInput, kwargs: Mapping[str, Any]) -> None:
        """Ask the new one too, in a thread, if it is a shadow."""
        if self.policy.shadow:
            config = self._shadow_config()
            self.policy.background.submit(lambda: self.new.invoke(asked, config, **kwargs))

    def ashadow(self, asked: LanguageModelInput, kwargs: Mapping[str, Any]) -> None:
        """Ask the new one too, in a task, if it is a shadow."""
        if self.policy.shadow:
            config = self._shadow_config()
            self.policy.background.start(lambda: self.new.ainvoke(asked, config, **kwargs))

    def _shadow_config(self) -> RunnableConfig:
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


class AnsweredByEither(ABC):
    """The calls of a Runnable that hands each on to one of two others."""

    @abstractmethod
    def _begun(self, config: RunnableConfig | None) -> RolloutCall:
        """Return a call with its config."""

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self._begun(config)
        for model, turn in call.turns():
            with call.falling_back():
                answer = model.invoke(input, turn, **kwargs)
                break
        call.shadow(input, kwargs)
        return call.marked(answer)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self._begun(config)
        for model, turn in call.turns():
            with call.falling_back():
                answer = await model.ainvoke(input, turn, **kwargs)
                break
        call.ashadow(input, kwargs)
        return call.marked(answer)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self._begun(config)
        for model, turn in call.turns():
            with call.falling_back():
                chunks = model.stream(input, turn, **kwargs)
                first = next(chunks, _END)
                break
        if first is not _END:
            yield call.marked(first)
        yield from chunks
        call.shadow(input, kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self._begun(config)
        async with AsyncExitStack() as stack:
            for model, turn in call.turns():
                with call.falling_back():
                    asked = aclosing(model.astream(input, turn, **kwargs))
                    chunks = await stack.enter_async_context(asked)
                    first = await anext(chunks, _END)
                    break
            if first is not _END:
                yield call.marked(first)
            async for chunk in chunks:
                yield chunk
        call.ashadow(input, kwargs)


class RolledOut(AnsweredByEither, RunnableSerializable[LanguageModelInput, Any]):
    """Either of two Runnables for each call: models with tools, or with a parser."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    old: Runnable[LanguageModelInput, Any]
    new: Runnable[LanguageModelInput, Any]
    policy: InstanceOf[RolloutPolicy]

    def _begun(self, config: RunnableConfig | None) -> RolloutCall:
        return RolloutCall(self.policy, self.old, self.new, config)
