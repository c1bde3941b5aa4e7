"""The chat of an `llm` run of OpenAI's Responses API, converted to the chat API's format.

Format (`wrap_openai`, openai-agents, LiteLLM): `inputs = {"input": text or items,
"instructions": text, "tools": [flat], ...}`, `outputs = {"output": items, ...}`; openai-agents has
the request's fields in `extra.invocation_params`, as repeated by the response, and LiteLLM has its
input as `messages`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import (
    UnreadableChatError,
    entries,
    mapping,
    reasoning_text,
    wire_call,
    wire_content,
)
from langchain_finetune.dialects.messages import add_reasoning, mark_cut_off, read_messages
from langchain_finetune.dialects.request_settings import RequestSettings
from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession

_ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})
_MESSAGE_TYPES = frozenset({"ai", "AIMessage", "AIMessageChunk", "constructor"})
_ELSEWHERE = ("previous_response_id", "conversation")
"""Fields that refer to turns or texts stored only at the provider."""


def is_responses(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Return whether inputs and outputs are those of the API: a list of items with a type."""
    items = outputs.get("output")
    if not isinstance(items, list) or not all(map(_is_item, items)):
        return False
    return "input" in inputs or outputs.get("object") == "response"


def _is_item(value: Any) -> bool:
    item = mapping(value)
    # LangChain's messages have types, too.
    return "type" in item and "data" not in item and item["type"] not in _MESSAGE_TYPES


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield the chat of a run: the request, the answer, and the tools.

    Raises:
        UnreadableChatError: The run has no chat that the wire form can represent.
    """
    inputs = mapping(run.get("inputs"))
    outputs = mapping(run.get("outputs"))
    extra = mapping(run.get("extra"))
    metadata = mapping(extra.get("metadata"))
    repeated = dict(mapping(extra.get("invocation_params")))
    if repeated.get("parallel_tool_calls") is True:
        # The response has it whether the request set it or not.
        del repeated["parallel_tool_calls"]
    consumed = ("input",) if inputs.get("input") else ("messages",)  # The latter is LiteLLM's.
    settings = RequestSettings(
        inputs, {**extra, "invocation_params": repeated}, (*consumed, *_ELSEWHERE, "prompt")
    )
    settings.require_hidden_nothing()
    prompt = mapping(inputs.get("prompt")) or metadata.get("prompt")
    if prompt or any(inputs.get(key) or metadata.get(key) for key in _ELSEWHERE):
        raise UnreadableChatError(
            "hidden_history", "Earlier turns are stored only at the provider."
        )
    if outputs.get("status") == "failed":
        raise UnreadableChatError("errored_run", "The run ended with an error.")
    given = inputs.get(consumed[0])
    items = [{"role": "user", "content": given}] if isinstance(given, str) else entries(given)
    if not items:
        raise UnreadableChatError("no_chat", "The run has no input.")
    wire = settings.with_system(_read_items(items))
    answer = _answer(_read_items(entries(outputs.get("output"))))
    # openai-agents writes the response's other fields into the metadata.
    mark_cut_off(answer, outputs, metadata)
    wire.append(answer)
    session: FineTuningSession = {"messages": WireMessages(wire)}
    settings.add_to(session)
    settings.require_read(session, wire)
    yield session


def _read_items(items: list[Any]) -> list[WireMessage]:
    """Return items as messages; consecutive items of the assistant become one message."""
    wire: list[WireMessage] = []
    for raw in items:
        item = mapping(raw)
        kind = item.get("type", "message")
        if kind not in _ITEMS:
            code = "hidden_history" if kind == "item_reference" else "builtin_tool_call"
            raise UnreadableChatError(code, "An item that chat messages cannot represent.")
        if kind == "function_call_output":
            content = wire_content(item.get("output"))
            call_id = item.get("call_id")
            wire.append({"role": "tool", "content": content, "tool_call_id": call_id})
            continue
        if kind == "message":
            [message] = read_messages([raw], joined=True)
            turn = wire[-1] if wire else {}
            if message["role"] == turn.get("role") == "assistant" and turn["content"] is None:
                turn.update(message)
            else:
                wire.append(message)
            continue
        if not wire or wire[-1]["role"] != "assistant":
            wire.append({"role": "assistant", "content": None})
        if kind == "reasoning":
            add_reasoning(wire[-1], [reasoning_text(item)])
        else:
            call = wire_call(item.get("call_id"), item.get("name"), item.get("arguments"))
            wire[-1].setdefault("tool_calls", []).append(call)
    return wire


def _answer(messages: list[WireMessage]) -> WireMessage:
    """Return the answer as one message; its texts are joined, as in the SDK."""
    if not messages or any(message["role"] != "assistant" for message in messages):
        raise UnreadableChatError("no_answer", "The run's output is not an assistant's answer.")
    answer, *more = messages
    for message in more:
        if not isinstance(answer["content"], str) or not isinstance(message["content"], str):
            raise UnreadableChatError("unsupported_content", "An answer of several messages.")
        answer["content"] += message["content"]
        if "tool_calls" in message:
            answer["tool_calls"] = [*answer.get("tool_calls", ()), *message["tool_calls"]]
    return answer
