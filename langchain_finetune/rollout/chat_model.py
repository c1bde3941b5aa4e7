"""`RolloutChatModel`: an old and a new chat model of any provider as one, in the app itself."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, PrivateAttr

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.rollout.background import Background
from langchain_finetune.rollout.routing import (
    AnsweredByEither,
    RolledOut,
    RolloutCall,
    RolloutPolicy,
)
from langchain_finetune.rollout.state import THREAD_KEYS, Share


class RolloutChatModel(CheckedArguments, AnsweredByEither, BaseChatModel):
    """An old and a new chat model as one: the new one answers a share of the threads, or none.

    Use it where the app had the old model: it can be called, streamed, given tools and a schema, in
    sync and async code, and each goes to the model whose turn it is. The thread is
    `config["configurable"]["thread_id"]`, as in LangGraph, or that of the run's metadata; a thread
    keeps its model, in every process, also when the share grows. A call without a thread or user is
    drawn at random.

    Where the new model fails, the old one answers. Each answer says in
    `response_metadata["rollout"]` which one it was: `{"name": ..., "side": "new"}`, with
    `"fallback": True` where the old one stood in. The run's metadata has the same as `rollout` and
    `rollout_side`, so that feedback can be compared by it.

    As a shadow, the new model is asked after the old one has answered, in the background and in a
    trace of its own. Nobody sees what it says: only tracers (LangSmith's and `RunRecorder`) get it.
    `rollout_shadow_of` in its metadata is the id of the old one's run. At most 16 shadows are
    pending; more are left out, with a warning in the log. Its failures reach nobody.

    Args:
        old: The model that the app has now.
        new: The model that is tried.
        share: The new model's part of the threads, from 0 to 1.
        mode: `canary`: the new model answers its share. `shadow`: it is asked, and never answers.
        rollout: Name of the rollout, by default that of the new model. Under another name, other
            threads are the first.
        sticky_by: Names of what keeps its model, first in `configurable`, then in the metadata.
        cache: Leave it: each model caches its own answers, if LangChain's cache is set.
        fall_back_on: Errors of the new model after which the old one is asked; a stream only before
            its first chunk.

    Example:
        ```python
        model = RolloutChatModel(
            old=ChatOpenAI(model="gpt-4.1"), new=ChatOpenAI(model="ft:gpt-4.1:acme::abc"), share=0.1
        )
        answer = model.invoke("Hello", {"configurable": {"thread_id": "thread 1"}})
        answer.response_metadata["rollout"]["side"]
        ```
    """

    model_config = ConfigDict(extra="forbid")

    old: BaseChatModel
    new: BaseChatModel
    share: Share = Decimal("0.1")
    mode: Literal["canary", "shadow"] = "canary"
    rollout: str | None = None
    sticky_by: tuple[str, ...] = (*THREAD_KEYS, "user_id")
    fall_back_on: tuple[type[Exception], ...] = (Exception,)
    # Its key in a cache would be that of each other rollout.
    cache: Literal[False] = Field(default=False, exclude=True)

    _background: Background = PrivateAttr(default_factory=Background)

    @property
    def shadows_lost(self) -> int:
        """How many shadows were left out, as too many were pending, or ended with their loop."""
        return self._background.lost

    def finish_shadows(self, timeout_s: float | None = None) -> bool:
        """Wait for the shadows of sync calls; return whether all have ended."""
        return self._background.finish(timeout_s)

    async def afinish_shadows(self, timeout_s: float | None = None) -> bool:
        """Wait for the shadows of this event loop; without it, they end with the loop."""
        return await self._background.afinish(timeout_s)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give both models tools, each in its provider's form."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self._either(lambda model: model.bind_tools(tools, **kwargs))

    def with_structured_output(
        self, schema: Any, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Have both models answer by a schema, each in its provider's way."""
        return self._either(lambda model: model.with_structured_output(schema, **kwargs))

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count tokens as the old model does."""
        return self.old.get_num_tokens_from_messages(messages, tools)

    def _call(
        self, asked: LanguageModelInput, config: RunnableConfig, kwargs: dict[str, Any]
    ) -> RolloutCall:
        return RolloutCall(self._policy(), self.old, self.new, asked, config, kwargs)

    def _either(
        self, made: Callable[[BaseChatModel], Runnable[LanguageModelInput, Any]]
    ) -> RolledOut:
        return RolledOut(old=made(self.old), new=made(self.new), policy=self._policy())

    def _policy(self) -> RolloutPolicy:
        return RolloutPolicy(
            rollout=self._rollout_name(),
            share=self.share,
            shadow=self.mode == "shadow",
            sticky_by=self.sticky_by,
            fall_back_on=self.fall_back_on,
            background=self._background,
        )

    def _rollout_name(self) -> str:
        # The name that the provider knows the model by; LangSmith shows it as well.
        named = self.new._get_ls_params().get("ls_model_name")  # noqa: SLF001
        return self.rollout or named or "rollout"

    @property
    def _llm_type(self) -> str:
        return "rollout"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        params.setdefault("ls_model_name", kwargs.get("model") or self._rollout_name())
        return params

    # Whoever calls `generate`, or streams events of version 3, gets a run around the model's.
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self.invoke(messages, _config_of(run_manager), **_with_stop(stop, kwargs))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = await self.ainvoke(messages, _config_of(run_manager), **_with_stop(stop, kwargs))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        given = _with_stop(stop, kwargs)
        for chunk in self.stream(messages, _config_of(run_manager), **given):
            yield ChatGenerationChunk(message=_as_chunk(chunk))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        given = _with_stop(stop, kwargs)
        async for chunk in self.astream(messages, _config_of(run_manager), **given):
            yield ChatGenerationChunk(message=_as_chunk(chunk))


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    """Return what a model streams as a chunk; one that can't stream yields its whole message."""
    if isinstance(message, AIMessageChunk):
        return message
    return AIMessageChunk(**message.model_dump(exclude={"type"}))


def _config_of(
    run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
) -> RunnableConfig | None:
    if run is None:
        return None
    kind = CallbackManager if isinstance(run, CallbackManagerForLLMRun) else AsyncCallbackManager
    above = kind(run.inheritable_handlers, run.inheritable_handlers, parent_run_id=run.run_id)
    return RunnableConfig(callbacks=above, metadata=dict(run.metadata))


def _with_stop(stop: list[str] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**kwargs} if stop is None else {**kwargs, "stop": stop}
