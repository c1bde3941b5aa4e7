"""An OpenTelemetry span of a model call as a run, from its `gen_ai.*` attributes.

Three generations of attributes: `gen_ai.prompt` and `gen_ai.completion` with the run's inputs and
outputs as JSON (langsmith's exporter); `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`, ...
(OpenLLMetry); `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions`
and `gen_ai.tool.definitions` as JSON (OpenTelemetry's conventions of 2025).
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.dialects.untrusted import thread_of

_OPERATIONS = frozenset({None, "chat", "text_completion", "generate_content"})
_ERRORS = frozenset({"ERROR", "2", "STATUS_CODE_ERROR"})
_INDEXED = re.compile(r"(gen_ai\.prompt|gen_ai\.completion|llm\.request\.functions)\.(\d+)\.(.+)")
_CALL = re.compile(r"tool_calls\.(\d+)\.(id|name|arguments)")


def is_span(run: Mapping[str, Any]) -> bool:
    """Return whether data is a span, or a run with the attributes of a span."""
    return "generations" not in mapping(run.get("outputs")) and bool(_attributes(run))


def as_run(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span of a model call as a run.

    Raises:
        UnreadableChatError: It is a span of something else, or has no messages.
    """
    attributes = _attributes(span)
    operation = attributes.get("gen_ai.operation.name")
    kind = attributes.get("langsmith.span.kind", "llm")
    context = mapping(span.get("context"))
    status = mapping(span.get("status"))
    code = status.get("status_code", status.get("code", span.get("status")))
    inputs = _json(attributes.get("gen_ai.prompt"))
    outputs = _json(attributes.get("gen_ai.completion"))
    if isinstance(inputs, list):
        inputs = {"messages": inputs}
    if isinstance(outputs, list):
        outputs = {"messages": outputs}
    if not isinstance(inputs, Mapping):
        inputs, outputs = _conventions(attributes) or _indexed(attributes)
    tools = _json(attributes.get("gen_ai.tool.definitions")) or [
        {"type": "function", **tool, "parameters": _json(tool.get("parameters"))}
        for tool in _numbered(attributes, "llm.request.functions")
    ]
    given = mapping(mapping(span.get("extra")).get("invocation_params"))
    return {
        "id": span.get("id") or context.get("span_id") or span.get("spanId"),
        "trace_id": span.get("trace_id") or context.get("trace_id") or span.get("traceId"),
        "thread_id": attributes.get("gen_ai.conversation.id") or thread_of(span),
        "run_type": kind if operation in _OPERATIONS else str(operation),
        "status": "error" if str(code).upper() in _ERRORS else "success",
        "error": span.get("error"),
        "inputs": inputs,
        "outputs": outputs,
        "extra": {"invocation_params": {"tools": tools, **given}},
    }


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span, from any of their places."""
    extra = mapping(span.get("extra"))
    places = [span.get("attributes"), extra.get("attributes"), extra.get("metadata")]
    places += [span.get("inputs"), span.get("outputs")]
    found: dict[str, Any] = {}
    for place in places:
        if isinstance(place, list):  # OTLP: [{"key": ..., "value": {"stringValue": ...}}]
            pairs = [(mapping(entry).get("key"), mapping(entry).get("value")) for entry in place]
            found.update(
                {str(key): next(iter(mapping(value).values()), None) for key, value in pairs}
            )
        else:
            found.update(mapping(place))
    prefixes = (
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
    )
    return found if any(str(key).startswith(prefixes) for key in found) else {}


def _json(value: Any) -> Any:
    """Return a value that may be JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _conventions(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return inputs and outputs by OpenTelemetry's conventions, if the span follows them."""
    sent = entries(_json(attributes.get("gen_ai.input.messages")))
    came = entries(_json(attributes.get("gen_ai.output.messages")))
    if not sent or not came:
        return None
    system = entries(_json(attributes.get("gen_ai.system_instructions")))
    messages = [{"role": "system", "parts": system}] if system else []
    inputs = {"messages": [part for raw in [*messages, *sent] for part in _from_parts(raw)]}
    choices = [{"message": message} for raw in came for message in _from_parts(raw)]
    return inputs, {"choices": choices}


def _from_parts(raw: Any) -> list[dict[str, Any]]:
    """Return a message of the conventions as OpenAI messages."""
    message = mapping(raw)
    content: list[Any] = []
    results: list[dict[str, Any]] = []
    for part in map(mapping, entries(message.get("parts"))):
        kind = part.get("type")
        if kind == "text":
            content.append({"type": "text", "text": part.get("content")})
        elif kind == "tool_call":
            # Arguments are data by the conventions, and text in some instrumentations.
            call = {"call_id": part.get("id"), "name": part.get("name")}
            content.append({**call, "type": "function_call", "arguments": part.get("arguments")})
        elif kind == "tool_call_response":
            given = part.get("response", part.get("result"))
            text = given if isinstance(given, str) else orjson.dumps(given).decode()
            results.append({"role": "tool", "tool_call_id": part.get("id"), "content": text})
        elif kind == "reasoning":
            content.append({"type": "reasoning", "text": part.get("content")})
        else:
            raise UnreadableChatError(
                "unsupported_content", "A part that chat messages cannot represent."
            )
    only = content[0] if len(content) == 1 else {}
    plain = only["text"] if only.get("type") == "text" else content
    converted = {"role": message.get("role"), "content": plain, "name": message.get("name")}
    return results if results and not content else [*results, converted]


def _indexed(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and outputs from attributes with numbered messages."""
    sent = _numbered(attributes, "gen_ai.prompt")
    came = _numbered(attributes, "gen_ai.completion")
    choices = [{"message": {"role": "assistant", **message}} for message in came]
    return {"messages": sent}, {"choices": choices} if choices else {}


def _numbered(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the messages of attributes such as `gen_ai.prompt.0.role`, by their numbers."""
    found: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    for key, value in attributes.items():
        match = _INDEXED.fullmatch(str(key))
        if not match or match[1] != prefix:
            continue
        message = found.setdefault(int(match[2]), {})
        call = _CALL.fullmatch(match[3])
        if call:
            calls.setdefault(int(match[2]), {}).setdefault(int(call[1]), {})[call[2]] = value
        elif match[3] == "content":
            blocks = _json(value)
            message["content"] = blocks if isinstance(blocks, list) else value
        else:
            message[match[3]] = value
    for number, by_number in calls.items():
        found[number]["tool_calls"] = [
            {"id": call.get("id"), "type": "function", "function": {**call}}
            for _, call in sorted(by_number.items())
        ]
    return [message for _, message in sorted(found.items())]
