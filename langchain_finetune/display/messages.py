"""Stored messages in any format, as the page shows them. Pure functions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.display.text import indented_json

ROLES = {"human": "user", "ai": "assistant"}
"""LangChain's names of roles, and those of the APIs."""

KNOWN_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function"})

_TEXT = frozenset({"text", "input_text", "output_text"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_IMAGES = frozenset({"image", "image_url", "input_image"})


@dataclass(frozen=True)
class ShownCall:
    """A tool call; `arguments` is JSON text."""

    name: str
    arguments: str
    id: Any = None


@dataclass(frozen=True)
class ShownPart:
    """A part of a message: its kind (`text`, `image`, `reasoning`, `other`) and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class ShownMessage:
    """A message as the page shows it.

    `name` is that of its author, or ""; `answers` is the id of the call whose result it is.
    """

    role: str
    parts: list[ShownPart]
    calls: list[ShownCall]
    name: str = ""
    answers: Any = None

    @property
    def text(self) -> str:
        """The text parts."""
        return "\n".join(part.text for part in self.parts if part.kind == "text")

    @property
    def summary(self) -> str:
        """The text, or otherwise the tool calls or other parts."""
        calls = (f"{call.name}({call.arguments})" for call in self.calls)
        return self.text or ", ".join(calls) or " ".join(part.text for part in self.parts)


def read_message(raw: Any) -> ShownMessage:
    """Return a stored message as the page shows it; unknown formats are shown as JSON.

    Args:
        raw: A message of LangChain's tracer (`{"lc", "id", "kwargs"}`), of a chat dataset
            (`{"type", "data"}`), of a provider's API (`{"role", ...}`), or an item of the
            Responses API (`{"type": "function_call", ...}`).

    Example:
        >>> read_message({"role": "user", "content": "Hi"}).text
        'Hi'
    """
    if item := _item(mapping(raw)):
        return item
    role, fields = _role_and_fields(raw)
    if not role:
        return ShownMessage("unknown", [ShownPart("other", indented_json(raw))], [])
    parts = _parts(fields.get("content"))
    reasoning = fields.get("reasoning_content")
    if reasoning and isinstance(reasoning, str):
        parts = [ShownPart("reasoning", reasoning), *parts]
    name, answers = str(fields.get("name") or ""), fields.get("tool_call_id")
    return ShownMessage(role, parts, _calls(fields), name, answers)


def read_chat(messages: Iterable[Any]) -> list[ShownMessage]:
    """Return stored messages as the page shows them; results of tools have their tool's name.

    Example:
        >>> call = {"id": "c1", "function": {"name": "find_room", "arguments": "{}"}}
        >>> asked = {"role": "assistant", "content": None, "tool_calls": [call]}
        >>> read_chat([asked, {"role": "tool", "tool_call_id": "c1", "content": "7"}])[1].name
        'find_room'
    """
    names: dict[Any, str] = {}
    shown = []
    for each in map(read_message, messages):
        names |= {str(call.id): call.name for call in each.calls}
        name = each.name or names.get(str(each.answers), "")
        shown.append(replace(each, name=name))
    return shown


def _item(raw: Mapping[str, Any]) -> ShownMessage | None:
    """Return an item of the Responses API that is not a message, or None for anything else."""
    kind = raw.get("type")
    if "role" in raw or "data" in raw or "lc" in raw:
        return None
    if kind == "function_call":
        return ShownMessage("assistant", [], [_call(raw)])
    if kind == "function_call_output":
        return ShownMessage("tool", _parts(raw.get("output")), [], answers=raw.get("call_id"))
    if kind == "reasoning":
        texts = [mapping(part).get("text") for part in entries(raw.get("summary"))]
        summary = "\n\n".join(text for text in texts if isinstance(text, str))
        return ShownMessage("assistant", [ShownPart("reasoning", summary or "(hidden)")], [])
    return None


def _role_and_fields(raw: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the role and the fields of a message; the role is "" if it is not a message."""
    raw = mapping(raw)
    kind, fields = raw.get("type"), raw
    if raw.get("lc") is not None:
        names, fields = raw.get("id"), mapping(raw.get("kwargs"))
        name = str(names[-1]) if isinstance(names, list) and names else ""
        kind = name.removesuffix("Chunk").removesuffix("Message").lower()
    elif isinstance(raw.get("data"), Mapping):
        fields = raw["data"]
    elif "role" in raw and kind != "chat":
        kind = raw["role"]
    if kind == "chat":
        kind = fields.get("role")
    kind = str(kind or "")
    if kind.endswith("MessageChunk"):
        kind = kind.removesuffix("MessageChunk").lower()
    role = ROLES.get(kind, kind)
    return (role if role in KNOWN_ROLES or "content" in fields else ""), fields


def _calls(fields: Mapping[str, Any]) -> list[ShownCall]:
    extra = mapping(fields.get("additional_kwargs"))
    found = fields.get("tool_calls") or extra.get("tool_calls")
    calls = [*entries(found), *entries(fields.get("invalid_tool_calls"))]
    if not calls:
        calls = [block for block in entries(fields.get("content")) if _type(block) in _CALLS]
    if legacy := mapping(extra.get("function_call") or fields.get("function_call")):
        calls.append({"function": legacy})
    return [_call(mapping(call)) for call in calls]


def _call(call: Mapping[str, Any]) -> ShownCall:
    function = mapping(call.get("function")) or call
    values = (function.get(name) for name in ("arguments", "args", "input"))
    arguments = next((value for value in values if value is not None), "")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ShownCall(str(function.get("name") or "?"), text, call.get("call_id") or call.get("id"))


def _parts(content: Any) -> list[ShownPart]:
    if content is None or content == "":
        return []
    if not isinstance(content, list):
        return [ShownPart("text", content if isinstance(content, str) else indented_json(content))]
    return [_part(block) for block in content if _type(block) not in _CALLS]


def _type(block: Any) -> str:
    return str(mapping(block).get("type"))


def _part(block: Any) -> ShownPart:
    if isinstance(block, str):
        return ShownPart("text", block)
    block_type = _type(block)
    if block_type in _TEXT:
        return ShownPart("text", str(block.get("text") or ""))
    if block_type in _REASONING:
        text = block.get("thinking") or block.get("reasoning") or block.get("text")
        return ShownPart("reasoning", text if isinstance(text, str) else "(hidden)")
    if block_type in _IMAGES:
        return ShownPart("image", _image(block))
    return ShownPart("other", indented_json(block))


def _image(block: Mapping[str, Any]) -> str:
    """Describe an image, which is not loaded: a request could reveal who views the run."""
    found = block.get("image_url")
    url = mapping(found).get("url") if isinstance(found, Mapping) else found or block.get("url")
    source = mapping(block.get("source")) or block
    data = source.get("data") or source.get("base64")
    if isinstance(url, str) and url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        return f"Image ({media_type or 'unknown type'}, {_size(data)})"
    if isinstance(data, str):
        media_type = source.get("media_type") or source.get("mime_type") or "unknown type"
        return f"Image ({media_type}, {_size(data)})"
    return f"Image at {url}" if isinstance(url, str) else "Image"


def _size(data: str) -> str:
    """Return the size of base64 data."""
    size = len(data) * 3 // 4
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} bytes"  # noqa: PLR2004
