"""One message as it stands in stored data: LangChain's serialised forms, or OpenAI's own.

The data comes from outside. It is only parsed: no class is imported or made from what it names.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.messages import UnreadableChatError, WireMessage, fields_to_wire

_WIRE_FIELDS = (
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "weight",
)


def read_message(raw: Any) -> WireMessage:
    """Return a stored message in wire form.

    Args:
        raw: One of four shapes:
            `{"lc": 1, "type": "constructor", "id": [..., "AIMessage"], "kwargs": {...}}` (tracer),
            `{"type": "ai", "data": {...}}` (chat datasets),
            `{"type": "ai", "content": ...}` (LangChain's flat form),
            `{"role": "assistant", "content": ...}` (OpenAI).

    Raises:
        UnreadableChatError: It is none of them, or holds what the wire form can't say.

    Example:
        >>> read_message({"type": "human", "data": {"content": "Hi"}})
        {'role': 'user', 'content': 'Hi'}
    """
    if not isinstance(raw, Mapping):
        raise UnreadableChatError("unreadable_message", "A message that is no JSON object.")
    if raw.get("lc") is not None:
        names, fields = raw.get("id"), raw.get("kwargs")
        if raw.get("type") != "constructor" or not names or not isinstance(fields, Mapping):
            raise UnreadableChatError(
                "unreadable_message", "A serialised object that is no message."
            )
        return fields_to_wire(str(names[-1]), fields)
    if isinstance(raw.get("data"), Mapping):
        return fields_to_wire(str(raw.get("type")), raw["data"])
    if "role" in raw:
        wire = {key: raw[key] for key in _WIRE_FIELDS if key in raw}
        wire.setdefault("content", None)
        return wire
    return fields_to_wire(str(raw.get("type")), raw)
