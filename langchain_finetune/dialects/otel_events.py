"""Messages that older instrumentation writes as events of a span.

OpenTelemetry's conventions of 2024: events `gen_ai.user.message`, `gen_ai.choice`, ...; before
that `gen_ai.content.prompt` and `gen_ai.content.completion`; and since 2025
`gen_ai.client.inference.operation.details`, with the attributes of today. pydantic-ai's first
format has such events as JSON in the attribute `events`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.tolerant_json import loads

_CONTENT = (
    *("gen_ai.content.prompt", "gen_ai.content.completion"),
    "gen_ai.client.inference.operation.details",
)
_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def content_attributes(events: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the attributes of events that contain whole requests and answers."""
    found: dict[str, Any] = {}
    for name, attributes in events:
        if name in _CONTENT:
            found.update(attributes)
    return found


def event_messages(
    events: list[tuple[str, Mapping[str, Any]]],
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return inputs and outputs of events with one message each, or None if there is none.

    Example:
        >>> event_messages([("gen_ai.user.message", {"content": "Hi"})])
        ({'messages': [{'role': 'user', 'content': 'Hi'}]}, {})
    """
    sent = [_message(body, _ROLES[name]) for name, body in events if name in _ROLES]
    choices = [
        {
            "finish_reason": body.get("finish_reason"),
            "message": _message({**body, **mapping(_data(body.get("message")))}, "assistant"),
        }
        for name, body in events
        if name == "gen_ai.choice"
    ]
    if not sent and not choices:
        return None
    return {"messages": sent} if sent else {}, {"choices": choices} if choices else {}


def events_in(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the body of each event in pydantic-ai's attribute."""
    for event in map(mapping, entries(_data(value))):
        yield str(event.get("event.name")), event


def _message(body: Mapping[str, Any], role: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": body.get("role") or role, "content": body.get("content")}
    if calls := entries(_data(body.get("tool_calls"))):
        message["tool_calls"] = calls
    if message["role"] == "tool":
        message["tool_call_id"] = body.get("id") or body.get("tool_call_id")
    return message


def _data(value: Any) -> Any:
    """Return a value that may be JSON text."""
    try:
        return loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
