"""Examples of a dataset as lines for OpenAI's fine-tuning. Pure functions.

It knows both shapes of chat examples: LangSmith's chat datasets (`inputs.input`, a list of
`{"type", "data"}`) and key-value datasets with OpenAI's messages (`inputs.messages`).
Source of fact: https://docs.langchain.com/langsmith/dataset-json-types
"""

from typing import Any

import orjson

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
_KEPT = ("name", "tool_call_id")


def openai_line(inputs: Any, outputs: Any) -> dict[str, Any] | None:
    """Return `{"messages": [...], "tools"?: [...], "functions"?: [...]}`, or None for no chat."""
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        return None
    given = inputs.get("input", inputs.get("messages"))
    answer = outputs.get("output", outputs.get("message"))
    if answer is None and isinstance(outputs.get("messages"), list):
        answer = outputs["messages"][-1] if outputs["messages"] else None
    if not isinstance(given, list) or not given:
        return None
    messages = [_message(message) for message in [*given, answer]]
    if None in messages:
        return None
    line: dict[str, Any] = {"messages": messages}
    return line | {name: inputs[name] for name in ("tools", "functions") if inputs.get(name)}


def _message(message: Any) -> dict[str, Any] | None:
    if not isinstance(message, dict):
        return None
    if isinstance(message.get("role"), str):
        return message
    data, kind = message.get("data"), message.get("type")
    if not isinstance(data, dict) or not isinstance(kind, str):
        return None
    extra = data.get("additional_kwargs")
    extra = extra if isinstance(extra, dict) else {}
    role = "function" if kind == "function" else data.get("role") or _ROLES.get(kind)
    if not isinstance(role, str):
        return None
    given = data.get("tool_calls")
    given = given if isinstance(given, list) else []
    calls = [_call(call) for call in given if isinstance(call, dict)] or extra.get("tool_calls")
    return {
        "role": role,
        "content": data.get("content"),
        **{name: data[name] for name in _KEPT if data.get(name)},
        **({"tool_calls": calls} if calls else {}),
        **({"function_call": extra["function_call"]} if extra.get("function_call") else {}),
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {
            "name": call.get("name"),
            "arguments": orjson.dumps(call.get("args") or {}).decode(),
        },
    }
