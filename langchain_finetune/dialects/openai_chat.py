"""The chats of an `llm` run in the format of a provider's messages.

So write LangSmith's wrappers of OpenAI, Anthropic and Gemini, its tracers of openai-agents, the
AI SDK and Google ADK, LiteLLM, and `@traceable`. Formats of the request:
`inputs = {"messages": [...], "tools": [...], ...}`, `{"prompt": [...]}` (AI SDK),
`{"contents": ...}` (Gemini). The answer has one of the forms of `read_answers`; the other fields
of the request stand in one of the places of `RequestSettings`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, kind_of, mapping
from langchain_finetune.dialects import ai_sdk_spans
from langchain_finetune.dialects.answers import read_answers
from langchain_finetune.dialects.messages import read_messages
from langchain_finetune.dialects.request_settings import RequestSettings
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import FineTuningSession

_SENT = ("messages", "input", "prompt", "contents")
_REASONING_MODEL = re.compile(r"o\d|gpt-5(?!-chat)")
"""OpenAI's models to which LangChain.js and the AI SDK send `developer` instead of `system`."""


def is_reasoning_model(model: Any) -> bool:
    """Return whether OpenAI's integrations in JavaScript send it `developer` messages.

    Source: `isReasoningModel` of `@langchain/openai` 1.5, `getOpenAILanguageModelCapabilities` of
    `@ai-sdk/openai`.

    Example:
        >>> [is_reasoning_model(name) for name in ("o3-mini", "gpt-5.1", "gpt-5-chat-latest")]
        [True, True, False]
    """
    return isinstance(model, str) and bool(_REASONING_MODEL.match(model))


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield the chats of a run: the request, one of the answers, and the tools.

    Raises:
        UnreadableChatError: The run has no chat that the wire form can represent.
    """
    inputs = mapping(run.get("inputs"))
    outputs = mapping(run.get("outputs"))
    extra = mapping(run.get("extra"))
    metadata = mapping(extra.get("metadata"))
    sent, consumed = _sent(inputs)
    settings = RequestSettings(inputs, extra, consumed)
    settings.require_hidden_nothing()
    _require_whole(inputs, outputs, settings, metadata)
    # Anthropic's content is a list of blocks; OpenAI's chat format has text and calls.
    by_ai_sdk = "ai_sdk_method" in metadata or ai_sdk_spans.OPERATION in metadata
    joined = metadata.get("ls_provider") == "anthropic" or by_ai_sdk
    wire = settings.with_system(read_messages(sent, joined=joined))
    if _is_ai_sdk_openai(run, metadata):
        model = metadata.get("ls_model_name")
        for message in wire:
            if message["role"] == "system" and is_reasoning_model(model):
                message["role"] = "developer"
    for answer in read_answers(outputs, wire):
        whole = [*map(dict, wire), *answer]
        session: FineTuningSession = {"messages": WireMessages(whole)}
        settings.add_to(session)
        settings.require_read(session, whole)
        if metadata.get("ls_integration") == "openai-agents-sdk" and "tools" not in session:
            # Its spans of the chat API never contain the tools.
            session["source"] = {**session.get("source", {}), "tools_unknown": "1"}
        yield session


def _sent(inputs: Mapping[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
    """Return the messages of a request as they are stored, and which inputs they are."""
    if not inputs:
        raise UnreadableChatError("no_chat", "The inputs are empty or hidden.")
    for key in _SENT:
        sent = inputs.get(key)
        if key == "contents" and sent:
            return _contents(sent), (key,)
        if isinstance(sent, list) and sent and (key != "prompt" or _are_messages(sent)):
            batch = entries(sent[0]) if len(sent) == 1 else []
            return batch if batch and isinstance(batch[0], Mapping) else sent, (key,)
    if "role" in inputs:
        return [inputs], tuple(inputs)  # openai-agents writes a single message like this.
    raise UnreadableChatError("no_chat", "The inputs contain no list of messages.")


def _are_messages(value: list[Any]) -> bool:
    return all(isinstance(each, Mapping) and "role" in each for each in value)


def _contents(contents: Any) -> list[Any]:
    """Return the contents of a request of Gemini's API as messages."""
    found = []
    for content in contents if isinstance(contents, list) else [contents]:
        parts = mapping(content).get("parts")
        if parts is not None:
            role = "user" if content.get("role") in ("function", "tool") else content.get("role")
            only = mapping(parts[0]) if isinstance(parts, list) and len(parts) == 1 else {}
            text = only.get("text") if kind_of(only) == "text" else None
            found.append({"role": role or "user", "content": text or parts})
        elif found and found[-1].get("loose"):
            found[-1]["content"].append(content)
        else:
            # Parts without a role are one message of the user.
            found.append({"role": "user", "content": [content], "loose": True})
    return found


def _require_whole(
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    settings: RequestSettings,
    metadata: Mapping[str, Any],
) -> None:
    """Reject runs in which the tracer is known to leave out a part of the chat.

    Raises:
        UnreadableChatError: A part is missing.
    """
    if inputs.get("call_type") in ("anthropic_messages", "aanthropic_messages"):
        # LiteLLM makes a message of a `system` that is a text, and leaves out one that is blocks.
        first = next(map(mapping, entries(inputs.get("messages"))), {})
        if first.get("role") != "system":
            raise UnreadableChatError(
                "incomplete_trace",
                "LiteLLM may have left out the instructions: of Anthropic's Messages API it records"
                " only those that are a text, not blocks.",
            )
    is_span = "choices" in outputs  # Of another instrumentor than the wrapper.
    if metadata.get("ls_provider") != "google" or "messages" not in inputs or is_span:
        return
    empty = [
        message
        for message in map(mapping, entries(inputs["messages"]))
        if "content" in message and not message["content"] and not message.get("tool_calls")
    ]
    # Of `types.Content` objects the wrapper records only text and images.
    streamed_calls = "role" not in outputs and settings.params.get("tools")
    if empty or streamed_calls:
        raise UnreadableChatError(
            "incomplete_trace", "LangSmith's Gemini wrapper left out calls or results."
        )
    thinking = mapping(settings.params.get("thinking_config"))
    if "role" in outputs and thinking.get("include_thoughts"):
        raise UnreadableChatError(
            "incomplete_trace", "LangSmith's Gemini wrapper joins thoughts and answer."
        )


def _is_ai_sdk_openai(run: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Return whether the AI SDK's provider of OpenAI sent the request; its name is the run's."""
    name = str(run.get("name") or "")
    integration = str(metadata.get("ls_integration") or "")
    if ai_sdk_spans.OPERATION in metadata:
        name, integration = str(metadata.get("ai.model.provider")), "vercel-ai-sdk"
    return integration.startswith("vercel-ai-sdk") and name.startswith(("openai", "azure"))
