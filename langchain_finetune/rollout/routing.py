"""Either of two Runnables for each call, by thread; shadows in the background.

It has no run of its own in a trace: the run is that of the Runnable that answered, so that tokens
count once and training data is read as ever.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.prompt_values import PromptValue
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
    first_value,
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


@dataclass
class RolloutCall:
    """A call of one of two Runnables, and of the old one also if the new one failed.

    Attributes:
        policy: Which one answers.
        old: The old Runnable.
        new: The new one.
        asked: The input.
        config: The config of the call and of the chain around it.
        kwargs: Further arguments.
        told: What a message says about who answered.
    """

    policy: RolloutPolicy
    old: Any
    new: Any
    asked: LanguageModelInput
    config: RunnableConfig
    kwargs: dict[str, Any]
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.told["name"] = self.policy.rollout
        if self.policy.shadow:
            self.config["run_id"] = self.config.get("run_id") or uuid4()
            # Apps go on writing into the list of messages that they gave.
            self.asked, self.kwargs = frozen(self.asked), frozen(self.kwargs)

    def turns(self) -> Iterator[tuple[Any, RunnableConfig]]:
        """Yield whom to ask until one answers, with the config of its run."""
        policy = self.policy
        key = self._key(policy.sticky_by)
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
        """Return a message whose `response_metadata` says who answered; all else as it is.

        With `include_raw=True`, the message is the answer's `raw`.
        """
        if isinstance(answer, dict) and "raw" in answer:
            return {**answer, "raw": self.marked(answer["raw"])}
        if not isinstance(answer, AIMessage):
            return answer
        # A copy: the message may also lie in a cache.
        told = answer.response_metadata | {"rollout": dict(self.told)}
        return answer.model_copy(update={"response_metadata": told})

    def shadow(self) -> None:
        """Ask the new one too, in a thread, if it is a shadow."""
        if self.policy.shadow:
            config = self._shadow_config()
            self.policy.background.submit(
                lambda: self.new.invoke(self.asked, config, **self.kwargs)
            )

    def ashadow(self) -> None:
        """Ask the new one too, in a task, if it is a shadow."""
        if self.policy.shadow:
            config = self._shadow_config()
            self.policy.background.start(
                lambda: self.new.ainvoke(self.asked, config, **self.kwargs)
            )

    def _key(self, names: Sequence[str]) -> str | None:
        return first_value(names, self.config["configurable"], self.config["metadata"])

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
        if key := self._key(THREAD_KEYS):
            metadata.setdefault("thread_id", key)
        return RunnableConfig(
            callbacks=list(tracers),
            metadata=metadata,
            tags=list(self.config["tags"]),
            configurable=dict(self.config["configurable"]),
        )


def frozen(value: Any) -> Any:
    """Return a copy that does not change with the lists, dicts and messages of a value.

    Example:
        >>> given = [{"role": "user", "content": ["Hi"]}]
        >>> kept = frozen(given)
        >>> given[0]["content"].append("Bye")
        >>> kept
        [{'role': 'user', 'content': ['Hi']}]
    """
    if isinstance(value, list | tuple):
        copies = map(frozen, value)
        return list(copies) if isinstance(value, list) else tuple(copies)
    if isinstance(value, Mapping):
        return {key: frozen(each) for key, each in value.items()}
    if isinstance(value, BaseMessage | PromptValue):
        return value.model_copy(update={name: frozen(each) for name, each in value})
    return value


class AnsweredByEither(ABC):
    """The calls of a Runnable that hands each on to one of two others."""

    @abstractmethod
    def _call(
        self, asked: LanguageModelInput, config: RunnableConfig, kwargs: dict[str, Any]
    ) -> RolloutCall:
        """Return a call that begins."""

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self._call(input, ensure_config(config), kwargs)
        for model, turn in call.turns():
            with call.falling_back():
                answer = model.invoke(input, turn, **kwargs)
                break
        call.shadow()
        return call.marked(answer)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ask the model whose turn it is."""
        call = self._call(input, ensure_config(config), kwargs)
        for model, turn in call.turns():
            with call.falling_back():
                answer = await model.ainvoke(input, turn, **kwargs)
                break
        call.ashadow()
        return call.marked(answer)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self._call(input, ensure_config(config), kwargs)
        for model, turn in call.turns():
            with call.falling_back():
                chunks = model.stream(input, turn, **kwargs)
                first = next(chunks, _END)
                break
        if first is not _END:
            yield call.marked(first)
        yield from chunks
        call.shadow()

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Stream from the model whose turn it is; it falls back before the first chunk only."""
        call = self._call(input, ensure_config(config), kwargs)
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
        call.ashadow()


class RolledOut(AnsweredByEither, RunnableSerializable[LanguageModelInput, Any]):
    """Either of two Runnables for each call: models with tools, or with a parser."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    old: Runnable[LanguageModelInput, Any]
    new: Runnable[LanguageModelInput, Any]
    policy: InstanceOf[RolloutPolicy]

    def _call(
        self, asked: LanguageModelInput, config: RunnableConfig, kwargs: dict[str, Any]
    ) -> RolloutCall:
        return RolloutCall(self.policy, self.old, self.new, asked, config, kwargs)
