"""Spans of the AI SDK's own telemetry (`experimental_telemetry`).

Each request to the model is a span, such as `ai.generateText.doGenerate` below `ai.generateText`:
`ai.prompt.messages` has its messages as JSON, `ai.prompt.tools` a JSON text for each tool,
`ai.response.text`, `ai.response.object` and `ai.response.toolCalls` the answer. None of them
contains the format that was asked for. Sources: `ai` 4 to 6, and `LegacyOpenTelemetry` of
`@ai-sdk/otel` 1.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.sessions import UNKNOWN_FORMAT
from langchain_finetune.tolerant_json import loads

OPERATION = "ai.operationId"
MESSAGES = "ai.prompt.messages"
CONTENT = (
    *("ai.prompt", "ai.schema", "ai.value", "ai.embedding", "ai.toolCall.args"),
    *("ai.toolCall.result", "ai.response.text", "ai.response.object", "ai.response.toolCalls"),
    *("ai.response.reasoning", "ai.response.files"),
)
"""Beginnings of the names of attributes that hold what went in and came out."""

_TYPES = {"doGenerate": "llm", "doStream": "llm", "doEmbed": "embedding", "toolCall": "tool"}


def run_type(attributes: Mapping[str, Any]) -> str | None:
    """Return the type of the run of one of the SDK's spans; None for another's.

    Example:
        >>> run_type({"ai.operationId": "ai.streamText.doStream"})
        'llm'
    """
    operation = attributes.get(OPERATION)
    if operation is None:
        return None
    return _TYPES.get(str(operation).rpartition(".")[2], "chain")


def values(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the input and output of a span that is not a model call; None if it is another span.

    Example:
        >>> values({"ai.toolCall.args": '{"beds": 2}', "ai.toolCall.result": '"Room 7"'})
        ({'beds': 2}, {'output': 'Room 7'})
    """
    sent = _data(attributes.get("ai.prompt", attributes.get("ai.toolCall.args")))
    if sent is None:
        return None
    came = {
        name: _data(attributes[key])
        for key, name in _ANSWER.items()
        if attributes.get(key) is not None
    }
    return sent if isinstance(sent, dict) else {"input": sent}, came


_ANSWER = {
    "ai.toolCall.result": "output",
    "ai.response.text": "text",
    "ai.response.object": "object",
    "ai.response.toolCalls": "toolCalls",
}


def messages_and_answer(
    attributes: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the inputs and outputs of a model call's run, or None if it isn't the SDK's span."""
    if MESSAGES not in attributes:
        return None
    text = attributes.get("ai.response.text", attributes.get("ai.response.object"))
    calls = entries(_data(attributes.get("ai.response.toolCalls")))
    files = entries(_data(attributes.get("ai.response.files")))
    inputs = {"messages": _data(attributes[MESSAGES])}
    if text is None and not calls and not files:
        return inputs, {}
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": text or ""}, *files] if files else text or None,
        "toolCalls": calls,
        "reasoning": attributes.get("ai.response.reasoning"),
    }
    reason = attributes.get("ai.response.finishReason")
    return inputs, {"choices": [{"message": message, "finish_reason": reason}]}


def settings(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a request that only the SDK's own attributes have."""
    found: dict[str, Any] = {}
    tools = [_data(tool) for tool in entries(_data(attributes.get("ai.prompt.tools")))]
    if tools:
        found["tools"] = tools
        choice = mapping(_data(attributes.get("ai.prompt.toolChoice")))
        if choice:
            found["tool_choice"] = dict(choice)
    if "Object." in str(attributes.get(OPERATION)):
        found["response_format"] = UNKNOWN_FORMAT
    return found


def _data(value: Any) -> Any:
    """Return JSON text parsed, and any other value as it is."""
    try:
        return loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
