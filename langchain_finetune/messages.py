"""Messages in OpenAI's wire form, and the way there and back from LangChain's messages.

The wire form is what `langchain-openai` sends: a test compares the two. It is the canonical form
of a chat here, because it is what the app sent, what is trained on and what is served.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call as make_tool_call

WireMessage = dict[str, Any]
"""One message of OpenAI's chat-completions API: `{"role": ..., "content": ..., ...}`."""

_ROLES = {
    "human": "user",
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessage": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessage": "tool",
    "ToolMessageChunk": "tool",
    "function": "function",
    "FunctionMessage": "function",
    "FunctionMessageChunk": "function",
    "chat": "",
    "ChatMessage": "",
    "ChatMessageChunk": "",
}
"""LangChain's names of message types; a chat message brings its own role."""

_WIRE_PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_CALL_PARTS = frozenset({"tool_use", "tool_call", "function_call"})


class UnreadableChatError(ValueError):
    """A chat can't be said in OpenAI's wire form, or makes no training example.

    Loaders and `Convert` turn it into a `Skip`.

    Args:
        code: Stable name of the reason, such as `unsupported_content`.
        message: One sentence without training text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WireMessages(Sequence[BaseMessage]):
    """A chat in wire form that reads as a sequence of LangChain messages.

    The messages are made when they are looked at, so a chat that only passes through costs
    nothing.

    Attributes:
        wire: The chat in wire form, as it goes into a training file.

    Example:
        >>> WireMessages([{"role": "user", "content": "Hi"}])[0].content
        'Hi'
    """

    def __init__(self, wire: list[WireMessage]) -> None:
        self.wire = wire

    def __len__(self) -> int:
        return len(self.wire)

    @overload
    def __getitem__(self, index: int) -> BaseMessage: ...
    @overload
    def __getitem__(self, index: slice) -> list[BaseMessage]: ...
    def __getitem__(self, index: int | slice) -> BaseMessage | list[BaseMessage]:
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
        # No text: a repr ends up in logs and traces.
        return f"WireMessages({len(self.wire)} messages)"


def message_to_wire(message: BaseMessage) -> WireMessage:
    """Return a LangChain message in wire form.

    Raises:
        UnreadableChatError: It holds what the wire form can't say.

    Example:
        >>> message_to_wire(HumanMessage("Hi"))
        {'role': 'user', 'content': 'Hi'}
    """
    return fields_to_wire(type(message).__name__, message.__dict__ | {"type": message.type})


def fields_to_wire(kind: str, fields: Mapping[str, Any]) -> WireMessage:
    """Return the wire form of a LangChain message that is given as plain data.

    Args:
        kind: The class, such as `AIMessageChunk`; where it is unknown, `fields["type"]` counts.
        fields: Its fields as LangChain's tracer writes them: `content`, `type`, `tool_calls`,
            `additional_kwargs`, ...; empty ones may be missing.

    Raises:
        UnreadableChatError: It holds what the wire form can't say.
    """
    role = _ROLES.get(kind)
    if role is None:
        role = _ROLES.get(str(fields.get("type")))
    if role is None:
        raise UnreadableChatError("unknown_message_type", "A message of an unknown type.")
    extra = _mapping(fields.get("additional_kwargs"))
    if role == "":
        role = str(fields.get("role") or "")
    elif role == "system":
        role = str(extra.get("__openai_role__") or "system")
    content = _content(fields.get("content"), answer=role == "assistant")
    wire: WireMessage = {"role": role, "content": content}
    name = fields.get("name") or extra.get("name")
    if name is not None and role != "tool":
        wire["name"] = name
    if role == "tool":
        wire["tool_call_id"] = fields.get("tool_call_id")
    if role == "assistant":
        calls = _calls(fields, extra)
        if calls:
            wire["tool_calls"] = calls
        elif extra.get("function_call"):
            wire["function_call"] = dict(_mapping(extra["function_call"]))
        if "tool_calls" in wire or "function_call" in wire:
            # OpenAI answers calls with null content; the empty string is LangChain's.
            wire["content"] = content or None
        if extra.get("refusal"):
            wire["refusal"] = extra["refusal"]
    return wire


def wire_to_message(wire: Mapping[str, Any]) -> BaseMessage:
    """Return the LangChain message of a wire message; arguments that don't parse stay as text."""
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
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            calls.append(make_tool_call(name=function["name"], args=arguments, id=call.get("id")))
        else:
            invalid.append(
                {
                    "type": "invalid_tool_call",
                    "name": function.get("name"),
                    "args": function.get("arguments"),
                    "id": call.get("id"),
                    "error": None,
                }
            )
    extra = {key: wire[key] for key in ("function_call", "refusal") if wire.get(key)}
    return AIMessage(
        content=content,
        name=name,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=extra,
    )


def _content(content: Any, *, answer: bool) -> Any:
    """Return content as OpenAI's API takes it: text, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UnreadableChatError("unsupported_content", "Content is no text and no list.")
    parts = []
    for part in content:
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
            continue
        kind = part.get("type") if isinstance(part, Mapping) else None
        if answer and kind in _CALL_PARTS:
            continue  # They stand in `tool_calls` once more.
        if kind == "image":
            parts.append(_image(part))
        elif kind == "text":
            parts.append({"type": "text", "text": part.get("text", "")})
        elif kind in _WIRE_PARTS:
            parts.append(dict(part))
        else:
            raise UnreadableChatError(
                "unsupported_content", "A content part of a kind that OpenAI's chat API can't take."
            )
    return parts


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image block of LangChain or Anthropic as OpenAI's `image_url`."""
    source = _mapping(part.get("source")) or part
    data = source.get("base64") or source.get("data")
    kind = source.get("mime_type") or source.get("media_type")
    url = f"data:{kind};base64,{data}" if data and kind else source.get("url")
    if not url:
        raise UnreadableChatError("unsupported_content", "An image without its data or address.")
    return {"type": "image_url", "image_url": {"url": url}}


def _calls(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tool calls of an answer, whichever field of LangChain's they stand in."""
    chunks = fields.get("tool_call_chunks") or ()
    streamed = {chunk.get("id"): chunk.get("args") for chunk in chunks if chunk.get("id")}
    calls = []
    for call in fields.get("tool_calls") or ():
        text = streamed.get(call.get("id"))
        if text is None or not _same_json(text, call["args"]):
            text = json.dumps(call["args"], ensure_ascii=False)
        calls.append(_call(call, text))
    # What did not parse was still said: it stays as it was.
    calls += [
        _call(call, call.get("args") or "") for call in fields.get("invalid_tool_calls") or ()
    ]
    if not calls:
        known = ("id", "type", "function")
        old = extra.get("tool_calls") or ()
        calls = [{key: call[key] for key in known if key in call} for call in old]
    return calls


def _call(call: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    function = {"name": call.get("name"), "arguments": arguments}
    return {"id": call.get("id"), "type": "function", "function": function}


def _same_json(text: str, value: Any) -> bool:
    try:
        return bool(json.loads(text) == value)
    except ValueError:
        return False


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
