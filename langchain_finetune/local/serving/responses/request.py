"""Reads a request of the Responses API by putting it in the form of a chat completion request.

The engine remembers no responses, so whatever refers to an earlier one is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.chat.request import WITHOUT_EFFECT, ChatRequest
from langchain_finetune.local.serving.request_fields import (
    RequestFields,
    fields_given,
    invalid,
    missing,
    take,
    unsupported,
)

WireChatMessage = dict[str, Any]

_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


def read_input(given: Any) -> list[WireChatMessage]:
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
    messages: list[WireChatMessage] = []
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


def _message(item: Mapping[str, Any], place: str) -> WireChatMessage:
    role = item.get("role")
    if not isinstance(role, str):
        raise invalid(f"{place}.role", "must be a string")
    return {"role": role, "content": _text(item.get("content"), f"{place}.content")}


def _add_call(messages: list[WireChatMessage], item: Mapping[str, Any], place: str) -> None:
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


def _result(item: Mapping[str, Any], place: str) -> WireChatMessage:
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


_ONLY: Mapping[str, tuple[Any, ...]] = {
    # Fields that this engine can't carry out, with the values that ask for nothing special.
    "background": (False,),
    "context_management": ([],),
    "conversation": (),
    "max_tool_calls": (),
    "moderation": (),
    "previous_response_id": (),
    "prompt": (),
    "reasoning": ({},),
    "truncation": ("disabled",),
}

_SAME = ("model", "parallel_tool_calls", "stream", "temperature", "top_p")

_READ = frozenset(
    {
        *_SAME,
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "prompt_cache_options",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)

_LOGPROBS = "message.output_text.logprobs"

_NAMES = {
    # What errors of the chat completion request call by another name here.
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "response_format": "text.format",
}


@dataclass(frozen=True)
class ResponseRequest:
    """A request that can be carried out.

    Attributes:
        chat: The same as a chat completion request.
        echoed: Fields that come back with the response.
    """

    chat: ChatRequest
    echoed: Mapping[str, Any]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "ResponseRequest":
        """Check a request's body.

        Raises:
            ApiError: 400; the field is malformed, unknown, or asks for what is not supported.
        """
        given = fields_given(body, known=_READ | WITHOUT_EFFECT, only=_ONLY)
        chat = {name: given[name] for name in _SAME if name in given}
        chat["messages"] = _messages(given)
        text_format = (take(given, "text", dict) or {}).get("format")
        body = chat | {
            "max_completion_tokens": given.get("max_output_tokens"),
            "response_format": _chat_format(text_format),
            "stream_options": given.get("stream_options"),
            "tool_choice": _chat_choice(given.get("tool_choice")),
            "tools": [_chat_tool(tool) for tool in take(given, "tools", list) or ()],
        }
        return cls(ChatRequest.read(body | _logprobs(given)), _echoed(given, text_format))


@contextmanager
def errors_renamed() -> Iterator[None]:
    """Let errors about the chat completion request speak of the fields of this API."""
    try:
        yield
    except ApiError as error:
        param = error.param or ""
        for theirs, ours in _NAMES.items():
            if param.startswith(theirs):
                message = error.message.replace(theirs, ours)
                raise ApiError(error.status, message, code=error.code, param=ours) from error
        raise


def _messages(given: RequestFields) -> list[dict[str, Any]]:
    if "input" not in given:
        raise missing("input")
    messages = read_input(given["input"])
    instructions = take(given, "instructions", str)
    first = [{"role": "system", "content": instructions}] if instructions else []
    return first + messages


def _chat_format(given: Any) -> Any:
    """`{type, name, schema, strict}` is `{type, json_schema: {...}}` in a chat."""
    if isinstance(given, Mapping) and given.get("type") == "json_schema":
        rest = {name: value for name, value in given.items() if name != "type"}
        return {"type": "json_schema", "json_schema": rest}
    return given


def _chat_choice(given: Any) -> Any:
    match given:
        case {"type": "function", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "mode": mode, "tools": [*tools]}:
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return given


def _chat_tool(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise invalid("tools", "must be a list of objects")
    if given.get("type") != "function":
        raise unsupported("tools", "this engine knows tools of the type 'function' only")
    rest = {name: value for name, value in given.items() if name != "type" and value is not None}
    return {"type": "function", "function": rest}


def _logprobs(given: RequestFields) -> dict[str, Any]:
    include = take(given, "include", list) or []
    if _LOGPROBS not in include:
        return {"top_logprobs": given.get("top_logprobs")}
    return {"logprobs": True, "top_logprobs": given.get("top_logprobs")}


def _echoed(given: RequestFields, text_format: Any) -> dict[str, Any]:
    return {
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "metadata": given.get("metadata") or {},
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "temperature": given.get("temperature"),
        "text": {"format": text_format or {"type": "text"}},
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": [{"strict": None, "parameters": None} | tool for tool in given.get("tools") or ()],
        "top_p": given.get("top_p"),
    }
