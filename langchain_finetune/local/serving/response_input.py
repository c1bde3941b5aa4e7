"""From the input items of the Responses API to the messages of a chat."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.fields import invalid, unsupported

Message = dict[str, Any]

_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


def read_input(given: Any) -> list[Message]:
    """Return the messages that a request's `input` stands for.

    Args:
        given: A text, or a list of messages, function calls and their outputs.

    Raises:
        ApiError: 400; an item is malformed, or of a kind that this engine can't read.

    Example:
        >>> read_input("hello")
        [{'role': 'user', 'content': 'hello'}]
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise invalid("input", "must be a string or a list of items")
    messages: list[Message] = []
    for index, item in enumerate(given):
        place = f"input[{index}]"
        if not isinstance(item, Mapping):
            raise invalid(place, "must be an object")
        match item.get("type", "message"):
            case "message":
                messages.append(_message(item, place))
            case "function_call":
                _add_call(messages, item, place)
            case "function_call_output":
                messages.append(_result(item, place))
            case "reasoning":
                # Chat templates leave out what was thought before earlier answers.
                continue
            case kind:
                raise unsupported(place, f"this engine can't read items of the type {kind!r}")
    return messages


def _message(item: Mapping[str, Any], place: str) -> Message:
    role = item.get("role")
    if not isinstance(role, str):
        raise invalid(f"{place}.role", "must be a string")
    return {"role": role, "content": _text(item.get("content"), f"{place}.content")}


def _add_call(messages: list[Message], item: Mapping[str, Any], place: str) -> None:
    """Add a call to the assistant's message before it, where there is one."""
    call = {
        "id": _string(item, "call_id", place),
        "type": "function",
        "function": {
            "name": _string(item, "name", place),
            "arguments": _string(item, "arguments", place),
        },
    }
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _result(item: Mapping[str, Any], place: str) -> Message:
    return {
        "role": "tool",
        "tool_call_id": _string(item, "call_id", place),
        "content": _text(item.get("output"), f"{place}.output"),
    }


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(place, "must be a string or a list of parts")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("refusal" if kind == "refusal" else "text") if kind else None
        if kind not in _TEXT_PARTS | {"refusal"} or not isinstance(text, str):
            raise ApiError(
                400, "This engine reads text parts only.", code="invalid_value", param=place
            )
        texts.append(text)
    return "".join(texts)


def _string(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise invalid(f"{place}.{name}", "must be a string")
    return value
