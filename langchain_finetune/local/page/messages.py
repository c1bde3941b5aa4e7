"""Stored messages as people read them: none is too strange to be shown. Pure functions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.content import entries, mapping

_ROLES = {"human": "user", "ai": "assistant"}
_TEXT = frozenset({"text", "input_text", "output_text"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_IMAGES = frozenset({"image", "image_url", "input_image"})


@dataclass(frozen=True)
class ShownCall:
    """A tool that the model asked for; `arguments` is JSON as text."""

    name: str
    arguments: str
    id: Any = None


@dataclass(frozen=True)
class ShownPart:
    """A piece of a message: its kind (`text`, `image`, `reasoning`, `other`) and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class ShownMessage:
    """A message for the eye.

    Attributes:
        role: `user`, `assistant`, `system`, `tool`, ...
        parts: What it says.
        calls: What tools it asks for.
        name: Who says it, where that is known.
        call_id: Which call it answers, or "".
    """

    role: str
    parts: list[ShownPart]
    calls: list[ShownCall]
    name: str = ""
    call_id: str = ""

    @property
    def text(self) -> str:
        """Its text alone."""
        return "\n".join(part.text for part in self.parts if part.kind == "text")

    @property
    def gist(self) -> str:
        """Its text, or what stands in its place."""
        calls = (f"{call.name}({call.arguments})" for call in self.calls)
        return self.text or ", ".join(calls) or " ".join(part.text for part in self.parts)


def read_message(raw: Any) -> ShownMessage:
    """Return a stored message for the eye; what can't be read is shown as JSON.

    Args:
        raw: A message as LangChain's tracer writes it (`{"lc", "id", "kwargs"}`), as chat
            datasets hold it (`{"type", "data"}`), as a provider takes it (`{"role", ...}`), or an
            item of the Responses API (`{"type": "function_call", ...}`).

    Example:
        >>> read_message({"role": "user", "content": "Hi"}).text
        'Hi'
    """
    if item := _item(mapping(raw)):
        return item
    role, fields = _role_and_fields(raw)
    if not role:
        return ShownMessage("unknown", [ShownPart("other", as_json(raw))], [])
    thought = fields.get("reasoning_content")
    return ShownMessage(
        role,
        [
            *([ShownPart("reasoning", thought)] if thought and isinstance(thought, str) else []),
            *_parts(fields.get("content")),
        ],
        _calls(fields),
        str(fields.get("name") or ""),
        str(fields.get("tool_call_id") or ""),
    )


def _item(raw: Mapping[str, Any]) -> ShownMessage | None:
    """Return an item of the Responses API that is no message; None for all else."""
    kind = raw.get("type")
    if "role" in raw or "data" in raw or "lc" in raw:
        return None
    if kind == "function_call":
        return ShownMessage("assistant", [], [_call(raw)])
    if kind == "function_call_output":
        return ShownMessage("tool", _parts(raw.get("output")), [], call_id=str(raw.get("call_id")))
    if kind == "reasoning":
        summary = raw.get("summary")
        parts = summary if isinstance(summary, list) else []
        texts = [mapping(part).get("text") for part in parts]
        told = "\n\n".join(text for text in texts if isinstance(text, str))
        return ShownMessage("assistant", [ShownPart("reasoning", told or "(hidden)")], [])
    return None


def _role_and_fields(raw: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the role and the fields of a stored message; the role is "" where it is none."""
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
    known = {"user", "assistant", "system", "developer", "tool", "function"}
    role = _ROLES.get(kind, kind)
    return (role if role in known or "content" in fields else ""), fields


def as_json(value: Any) -> str:
    """Return a value as JSON that people read."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _calls(fields: Mapping[str, Any]) -> list[ShownCall]:
    extra = mapping(fields.get("additional_kwargs"))
    found = fields.get("tool_calls") or extra.get("tool_calls")
    given = [*entries(found), *entries(fields.get("invalid_tool_calls"))]
    if not given and isinstance(fields.get("content"), list):
        given = [block for block in fields["content"] if _kind(block) in _CALLS]
    if old := mapping(extra.get("function_call") or fields.get("function_call")):
        given = [*given, {"function": old}]
    return [_call(mapping(call)) for call in given]


def _call(call: Mapping[str, Any]) -> ShownCall:
    function = mapping(call.get("function")) or call
    given = (function.get(name) for name in ("arguments", "args", "input"))
    arguments = next((value for value in given if value is not None), "")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ShownCall(str(function.get("name") or "?"), text, call.get("id"))


def _parts(content: Any) -> list[ShownPart]:
    if content is None or content == "":
        return []
    if not isinstance(content, list):
        return [ShownPart("text", content if isinstance(content, str) else as_json(content))]
    return [_part(block) for block in content if _kind(block) not in _CALLS]


def _kind(block: Any) -> str:
    return str(mapping(block).get("type"))


def _part(block: Any) -> ShownPart:
    if isinstance(block, str):
        return ShownPart("text", block)
    kind = _kind(block)
    if kind in _TEXT:
        return ShownPart("text", str(block.get("text") or ""))
    if kind in _REASONING:
        said = block.get("thinking") or block.get("reasoning") or block.get("text")
        return ShownPart("reasoning", said if isinstance(said, str) else "(hidden)")
    if kind in _IMAGES:
        return ShownPart("image", _image(block))
    return ShownPart("other", as_json(block))


def _image(block: Mapping[str, Any]) -> str:
    """Describe an image; it is not shown, since its address could tell others who looks."""
    found = block.get("image_url")
    url = mapping(found).get("url") if isinstance(found, Mapping) else found or block.get("url")
    source = mapping(block.get("source")) or block
    data = source.get("data") or source.get("base64")
    if isinstance(url, str) and url.startswith("data:"):
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        return f"Image ({kind or 'unknown kind'}, {_size(data)})"
    if isinstance(data, str):
        kind = source.get("media_type") or source.get("mime_type") or "unknown kind"
        return f"Image ({kind}, {_size(data)})"
    return f"Image at {url}" if isinstance(url, str) else "Image"


def _size(data: str) -> str:
    """Return the size of what a text in base64 holds."""
    size = len(data) * 3 // 4
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} bytes"  # noqa: PLR2004
