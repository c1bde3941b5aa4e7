"""Ids of tool calls for traces that have none.

Gemini's API needs no ids, and what LangSmith's wrapper for JavaScript writes of it has none.
"""

from itertools import count
from typing import Any

from langchain_finetune.messages import WireMessage


def complete_ids(wire: list[WireMessage]) -> None:
    """Give calls without an id one, the same each time, and results the id of their call.

    A result without an id answers the first open call of its name, or, if it has no name, the
    first one without an id. A result with an id that no call has gives it to a call without one.

    Example:
        >>> call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
        >>> wire = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "7"}]
        >>> complete_ids(wire)
        >>> wire[1]
        {'role': 'tool', 'content': '7', 'tool_call_id': 'call_1'}
    """
    if all(map(_is_complete, wire)):
        return
    taken = {call.get("id") for message in wire for call in message.get("tool_calls") or ()}
    fresh = (name for number in count(1) if (name := f"call_{number}") not in taken)
    for position, message in enumerate(wire):
        waiting: list[dict[str, Any]] = list(message.get("tool_calls") or ())
        if not waiting:
            continue
        for result in wire[position + 1 :]:
            if result["role"] != "tool":
                break
            call = _answered(result, waiting)
            if call is not None:
                waiting.remove(call)
                call["id"] = call.get("id") or result.get("tool_call_id") or next(fresh)
                result["tool_call_id"] = call["id"]
        for call in waiting:
            call["id"] = call.get("id") or next(fresh)


def _is_complete(message: WireMessage) -> bool:
    if message["role"] == "tool":
        return bool(message.get("tool_call_id"))
    return all(call.get("id") for call in message.get("tool_calls") or ())


def _answered(result: WireMessage, waiting: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the open call that a result answers."""
    given = result.get("tool_call_id")
    name = result.get("name")
    if given:
        same = [call for call in waiting if call.get("id") == given]
        if same:
            return same[0]
    if name:
        named = [call for call in waiting if call["function"].get("name") == name]
        return next((call for call in named if not (given and call.get("id"))), None)
    return next((call for call in waiting if not call.get("id")), None)
