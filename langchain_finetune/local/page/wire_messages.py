"""Stored messages in OpenAI's form, for a dataset's example: exactly, or not at all.

The loaders read more shapes than this: whatever is not certain here is refused with a reason, and
a test holds that what is not refused is what the loaders read of the same run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.page.messages import calls_of, role_and_fields
from langchain_finetune.local.page.traced import mapping

Wire = dict[str, Any]
"""One message of OpenAI's chat API."""

_TEXT = frozenset({"text", "input_text", "output_text"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call"})
_KEPT = ("name", "tool_call_id", "function_call", "refusal", "weight")


class NoExampleError(Exception):
    """A run makes no example; the message is the reason, without training text."""


@dataclass(frozen=True)
class Manner:
    """How a request's messages were sent.

    Attributes:
        joined: An assistant's parts of text were one text.
        as_written: A call's arguments were sent as the model wrote them.
        named: The API takes names.
        developer: The system's role is `developer`.
    """

    joined: bool = False
    as_written: bool = False
    named: bool = True
    developer: bool = False


ANSWERED = Manner(joined=True, as_written=True)
"""How the answer itself is read."""


def wire_message(raw: Any, manner: Manner) -> Wire:
    """Return a stored message in OpenAI's form.

    Raises:
        NoExampleError: It is no message, or holds what this can't say for certain.
    """
    role, fields = role_and_fields(raw)
    if "lc" in mapping(raw) and not _is_message(raw):
        raise NoExampleError("it holds objects that are no messages")
    if role not in {"user", "assistant", "system", "developer", "tool", "function"}:
        raise NoExampleError("it holds a message of another role than OpenAI's")
    wire: Wire = {"role": role}
    content = _content(fields, is_answer=role == "assistant")
    if "lc" not in mapping(raw) and "role" in fields:
        wire["content"] = None if role == "assistant" and fields.get("content") is None else content
        wire |= {name: fields[name] for name in _KEPT if fields.get(name) is not None}
    else:
        wire["content"] = content
        wire |= _langchain_fields(role, fields, manner)
    if role == "assistant":
        _settle_answer(wire, fields, manner)
    if wire["role"] == "system" and manner.developer:
        wire["role"] = "developer"
    return wire


def _is_message(raw: Any) -> bool:
    names = raw.get("id")
    is_one = isinstance(names, list) and str(names[-1:]).rstrip("']").endswith(("Message", "Chunk"))
    return is_one and raw.get("type") == "constructor" and isinstance(raw.get("kwargs"), Mapping)


def _langchain_fields(role: str, fields: Mapping[str, Any], manner: Manner) -> Wire:
    extra = mapping(fields.get("additional_kwargs"))
    found: Wire = {}
    if role == "system" and extra.get("__openai_role__"):
        found["role"] = extra["__openai_role__"]
    name = fields.get("name") or extra.get("name")
    if name is not None and role != "tool" and (manner.named or role == "function"):
        found["name"] = name
    if role == "tool":
        found["tool_call_id"] = fields.get("tool_call_id")
    if role == "assistant":
        if extra.get("tool_outputs") or extra.get("audio"):
            raise NoExampleError("its answer holds more than text and calls of the app's tools")
        found |= {key: extra[key] for key in ("function_call", "refusal") if extra.get(key)}
    return found


def _settle_answer(wire: Wire, fields: Mapping[str, Any], manner: Manner) -> None:
    content = wire["content"]
    if (
        manner.joined
        and isinstance(content, list)
        and all(part["type"] == "text" for part in content)
    ):
        wire["content"] = "".join(part["text"] for part in content)
    if fields.get("audio"):
        raise NoExampleError("its answer was spoken")
    calls = _calls(fields, manner)
    if calls:
        wire.pop("function_call", None)
        wire["tool_calls"] = calls
    if calls or wire.get("function_call"):
        # OpenAI answers calls with null; the empty text is LangChain's.
        wire["content"] = wire["content"] or None


def _content(fields: Mapping[str, Any], *, is_answer: bool) -> Any:
    content = fields.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise NoExampleError("the content of a message is no text and no list")
    parts = []
    for block in content:
        part = {"type": "text", "text": block} if isinstance(block, str) else mapping(block)
        kind = str(part.get("type"))
        if is_answer and kind in _CALLS and fields.get("tool_calls"):
            continue  # It stands among the calls, too.
        if is_answer and kind in _REASONING:
            continue  # As the loaders leave it out.
        if kind in _TEXT and isinstance(part.get("text"), str):
            parts.append({"type": "text", "text": part["text"]})
        elif kind == "image_url" and part.get("image_url"):
            parts.append({key: value for key, value in part.items() if key != "index"})
        else:
            raise NoExampleError("a message holds parts other than text and images")
    return parts


def _calls(fields: Mapping[str, Any], manner: Manner) -> list[Wire]:
    extra = mapping(fields.get("additional_kwargs"))
    listed = [fields.get(name) for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks")]
    if any(each and not isinstance(each, list) for each in [*listed, extra.get("tool_calls")]):
        raise NoExampleError("its calls are no list")
    written = _written(fields) if manner.as_written else {}
    calls = []
    for raw in [*calls_of(fields), *(fields.get("invalid_tool_calls") or ())]:
        call = mapping(raw)
        function = mapping(call.get("function"))
        if function:
            text = function.get("arguments")
            name = function.get("name")
        elif "args" in call:
            text, name = call["args"], call.get("name")
            if _says(written.get(str(call.get("id"))), text):
                text = written[str(call.get("id"))]
        else:
            raise NoExampleError("it holds a call of another kind than a function's")
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False) if text is not None else ""
        calls.append(
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": name, "arguments": text},
            }
        )
    return calls


def _written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as the model wrote them, by the call's id."""
    extra = mapping(fields.get("additional_kwargs"))
    content = fields.get("content")
    blocks = [mapping(block) for block in content] if isinstance(content, list) else []
    found = {
        str(block.get("call_id")): block.get("arguments")
        for block in blocks
        if block.get("type") == "function_call"
    }
    found |= {
        str(block.get("id")): block.get("partial_json")
        for block in blocks
        if block.get("type") == "tool_use" and block.get("partial_json")
    }
    for call in extra.get("tool_calls") or ():
        found[str(mapping(call).get("id"))] = mapping(mapping(call).get("function")).get(
            "arguments"
        )
    for chunk in fields.get("tool_call_chunks") or ():
        if mapping(chunk).get("id"):
            found[str(chunk["id"])] = chunk.get("args")
    return found


def _says(text: Any, value: Any) -> bool:
    try:
        return isinstance(text, str) and bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False
