"""Conversion between LangChain's messages and OpenAI's wire form.

The wire form is what `langchain-openai` sends (a test compares the two). It is the canonical form
of a chat here, because it is what the app sent, what is trained on and what is served.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call as make_invalid_call
from langchain_core.messages.tool import tool_call as make_tool_call

from langchain_finetune.content import (
    UnreadableChatError,
    content_calls,
    join_text,
    mapping,
    reasoning_text,
    wire_call,
    wire_content,
)

__all__ = [
    "UnreadableChatError",
    "WireMessage",
    "WireMessages",
    "fields_to_wire",
    "message_to_wire",
    "same_json",
    "wire_to_message",
]

WireMessage = dict[str, Any]
"""One message of OpenAI's chat-completions API: `{"role": ..., "content": ..., ...}`."""

_ROLES = {
    name: {"Human": "user", "AI": "assistant", "Chat": ""}.get(kind, kind.lower())
    for kind in ("Human", "AI", "System", "Tool", "Function", "Chat")
    for name in (kind.lower(), f"{kind}Message", f"{kind}MessageChunk")
}
"""Roles by LangChain's names of message types; a chat message has its own role."""


class WireMessages(Sequence[BaseMessage]):
    """A chat in wire form that reads as a sequence of LangChain messages.

    The messages are created on access, so a chat that only passes through costs nothing.

    Attributes:
        wire: The chat in wire form, as in a training file.

    Example:
        >>> WireMessages([{"role": "user", "content": "Hi"}])[0].content
        'Hi'
    """

    def __init__(self, wire: list[WireMessage]) -> None:
        self.wire = wire

    def __len__(self) -> int:
        return len(self.wire)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [wire_to_message(message) for message in self.wire[index]]
        return wire_to_message(self.wire[index])

    def __iter__(self) -> Iterator[BaseMessage]:
        return map(wire_to_message, self.wire)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, WireMessages):
            return self.wire == other.wire
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Without text: a repr ends up in logs and traces.
        return f"WireMessages({len(self.wire)} messages)"


def message_to_wire(message: BaseMessage) -> WireMessage:
    """Return a LangChain message in wire form.

    Raises:
        UnreadableChatError: It cannot be represented in the wire form.

    Example:
        >>> message_to_wire(HumanMessage("Hi"))
        {'role': 'user', 'content': 'Hi'}
    """
    return fields_to_wire(type(message).__name__, message.__dict__ | {"type": message.type})


def fields_to_wire(
    kind: str,
    fields: Mapping[str, Any],
    *,
    joined: bool = False,
    as_written: bool = True,
    reasoning: list[str] | None = None,
) -> WireMessage:
    """Return the wire form of a LangChain message given as plain data.

    Args:
        kind: The class, such as `AIMessageChunk`; if it is unknown, `fields["type"]` is used.
        fields: Its fields as LangChain's tracer writes them; empty ones may be missing.
        joined: Whether to join an assistant's text parts to one string.
        as_written: Whether to keep the text of a call's arguments as the model wrote it, if it is
            known. LangChain serializes the arguments of a history again.
        reasoning: List to which the texts of the message's reasoning are added; without it they
            are left out, as in langchain-openai.

    Raises:
        UnreadableChatError: It cannot be represented in the wire form.
    """
    role = _ROLES.get(kind, _ROLES.get(str(fields.get("type"))))
    if role is None:
        raise UnreadableChatError("unknown_message_type", "A message of an unknown type.")
    extra = mapping(fields.get("additional_kwargs"))
    if role == "":
        role = str(fields.get("role") or "")
    elif role == "system":
        role = str(extra.get("__openai_role__") or "system")
    content = wire_content(fields.get("content"), answer=role == "assistant", reasoning=reasoning)
    wire: WireMessage = {"role": role, "content": content}
    name = fields.get("name") or extra.get("name")
    if name is not None and role != "tool":
        wire["name"] = name
    if role == "tool":
        wire["tool_call_id"] = fields.get("tool_call_id")
    if role == "assistant":
        calls = _calls(fields, extra, as_written=as_written)
        _add_answer(wire, calls, extra, joined=joined)
        if reasoning is not None:
            reasoning += _hidden_reasoning(extra)
    return wire


def _add_answer(
    wire: WireMessage,
    calls: list[dict[str, Any]],
    extra: Mapping[str, Any],
    *,
    joined: bool,
) -> None:
    """Add the fields that only an assistant's message has."""
    if extra.get("tool_outputs") or extra.get("audio"):
        raise UnreadableChatError(
            "builtin_tool_call", "The answer contains more than text and calls of the app's tools."
        )
    if joined:
        join_text(wire)
    if calls:
        wire["tool_calls"] = calls
    elif extra.get("function_call"):
        wire["function_call"] = dict(mapping(extra["function_call"]))
    if "tool_calls" in wire or "function_call" in wire:
        # With calls, OpenAI's content is null; LangChain writes an empty string.
        wire["content"] = wire["content"] or None
    if extra.get("refusal"):
        wire["refusal"] = extra["refusal"]


def _hidden_reasoning(extra: Mapping[str, Any]) -> list[str]:
    """Return the reasoning that LangChain keeps in `additional_kwargs`."""
    blocks = [extra[key] for key in ("reasoning_content", "reasoning") if extra.get(key)]
    return [reasoning_text({"content": block, **mapping(block)}) for block in blocks]


def wire_to_message(wire: Mapping[str, Any]) -> BaseMessage:
    """Return the LangChain message of a wire message; arguments that don't parse stay text."""
    role = wire.get("role")
    content = wire.get("content") or ""
    name = wire.get("name")
    if role == "user":
        return HumanMessage(content=content, name=name)
    if role == "system":
        return SystemMessage(content=content, name=name)
    if role == "developer":
        extra = {"__openai_role__": "developer"}
        return SystemMessage(content=content, name=name, additional_kwargs=extra)
    if role == "function":
        return FunctionMessage(content=content, name=name or "")
    if role == "tool":
        return ToolMessage(content=content, tool_call_id=wire.get("tool_call_id") or "", name=name)
    if role == "assistant":
        return _assistant(wire, content, name)
    return ChatMessage(content=content, role=str(role))


def _assistant(wire: Mapping[str, Any], content: Any, name: str | None) -> AIMessage:
    calls, invalid = [], []
    for call in wire.get("tool_calls") or ():
        function = call.get("function") or {}
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, dict):
            calls.append(make_tool_call(name=function["name"], args=arguments, id=call.get("id")))
        else:
            text = function.get("arguments")
            bad = make_invalid_call(name=function.get("name"), args=text, id=call.get("id"))
            invalid.append(bad)
    known = ("function_call", "refusal", "reasoning_content")
    extra = {key: wire[key] for key in known if wire.get(key)}
    return AIMessage(
        content=content,
        name=name,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=extra,
    )


def _calls(
    fields: Mapping[str, Any], extra: Mapping[str, Any], *, as_written: bool
) -> list[dict[str, Any]]:
    """Return the tool calls of an answer, from whichever of LangChain's fields has them."""
    in_content = content_calls(fields.get("content"))
    written = {}
    if as_written:
        # The text of the parsed arguments is in the content, in the streamed chunks, or (2023,
        # LangChain.js) in the provider's own calls.
        texts = [*in_content, *(extra.get("tool_calls") or ())]
        written = {call["id"]: call["function"]["arguments"] for call in texts}
        for chunk in fields.get("tool_call_chunks") or ():
            if chunk.get("id"):
                written[chunk["id"]] = chunk.get("args")
    calls = []
    for call in fields.get("tool_calls") or ():
        text = written.get(call.get("id"))
        arguments = text if same_json(text, call["args"]) else call["args"]
        calls.append(wire_call(call.get("id"), call.get("name"), arguments))
    # Calls that did not parse are kept as they are.
    calls += [
        wire_call(call.get("id"), call.get("name"), call.get("args"))
        for call in fields.get("invalid_tool_calls") or ()
    ]
    if not calls:
        known = ("id", "type", "function")
        old = extra.get("tool_calls") or ()
        calls = [{key: call[key] for key in known if key in call} for call in old]
    return calls or in_content


def same_json(text: Any, value: Any) -> bool:
    """Return whether a text is the JSON of a value."""
    try:
        return isinstance(text, str) and bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False
