"""Objects that OpenTelemetry's attributes spell out, such as `gen_ai.prompt.0.role`.

OpenLLMetry writes `gen_ai.prompt.0.tool_calls.0.name`; OpenInference writes
`llm.input_messages.0.message.tool_calls.0.tool_call.function.name`.
"""

import re
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.tolerant_json import loads

_CALL = re.compile(r"tool_calls\.(\d+)\.(id|name|arguments)")


def numbered(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the objects of attributes such as `gen_ai.prompt.0.role`, by their numbers.

    Example:
        >>> numbered({"p.1.role": "user", "p.0.role": "system"}, "p")
        [{'role': 'system'}, {'role': 'user'}]
    """
    indexed = re.compile(re.escape(prefix) + r"\.(\d+)\.(.+)")
    found: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    for key, value in attributes.items():
        match = indexed.fullmatch(str(key))
        if not match:
            continue
        message = found.setdefault(int(match[1]), {})
        call = _CALL.fullmatch(match[2])
        if call:
            calls.setdefault(int(match[1]), {}).setdefault(int(call[1]), {})[call[2]] = value
        elif match[2] == "content":
            blocks = _list_of(value)
            message["content"] = value if blocks is None else blocks
        else:
            message[match[2]] = value
    for number, by_number in calls.items():
        found[number]["tool_calls"] = [
            {"id": call.get("id"), "type": "function", "function": {**call}}
            for _, call in sorted(by_number.items())
        ]
    return [message for _, message in sorted(found.items())]


def openinference_messages(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the messages of OpenInference's attributes in OpenAI's form."""
    return [_message(mapping(each)) for each in _nested(attributes, prefix)]


def _nested(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """Return the list that attributes below a prefix spell out."""
    tree: dict[str, Any] = {}
    for key, value in attributes.items():
        if str(key).startswith(f"{prefix}."):
            *path, last = str(key).removeprefix(f"{prefix}.").split(".")
            inner = tree
            for name in path:
                inner = inner.setdefault(name, {})
                if not isinstance(inner, dict):
                    break
            else:
                inner[last] = value
    return entries(_lists(tree))


def _lists(value: Any) -> Any:
    """Return data in which objects whose keys are numbers are lists."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(inner) for key, inner in value.items()}


def _message(given: Mapping[str, Any]) -> dict[str, Any]:
    fields = mapping(given.get("message"))
    message: dict[str, Any] = {"role": fields.get("role"), "content": fields.get("content")}
    if parts := entries(fields.get("contents")):
        blocks = [mapping(mapping(part).get("message_content")) for part in parts]
        message["content"] = [_part(block) for block in blocks]
    for key in ("name", "tool_call_id"):
        if fields.get(key):
            message[key] = fields[key]
    calls = [mapping(mapping(each).get("tool_call")) for each in entries(fields.get("tool_calls"))]
    if calls:
        message["tool_calls"] = [
            {"id": call.get("id"), "type": "function", "function": mapping(call.get("function"))}
            for call in calls
        ]
    return message


def _part(fields: Mapping[str, Any]) -> dict[str, Any]:
    image = mapping(mapping(fields.get("image")).get("image"))
    if image.get("url"):
        return {"type": "image_url", "image_url": {"url": image["url"]}}
    return {"type": fields.get("type"), "text": fields.get("text")}


def _list_of(value: Any) -> list[Any] | None:
    try:
        found = loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return found if isinstance(found, list) else None
