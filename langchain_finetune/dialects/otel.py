"""An OpenTelemetry span of a model call as a run, from its attributes.

Four generations of attributes: `gen_ai.prompt` and `gen_ai.completion` with the run's inputs and
outputs as JSON (langsmith's exporter); `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`, ...
(OpenLLMetry); `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions`
and `gen_ai.tool.definitions` as JSON (OpenTelemetry's conventions of 2025, pydantic-ai); and
`input.value`, `output.value`, `llm.input_messages.0.message.role`, ... (OpenInference). Messages
may also stand in events, see `otel_events`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, compact_json, entries, mapping
from langchain_finetune.dialects.numbered_attributes import numbered, openinference_messages
from langchain_finetune.dialects.otel_events import (
    content_attributes,
    event_messages,
    events_in,
)
from langchain_finetune.dialects.untrusted import thread_of
from langchain_finetune.tolerant_json import loads

_CHAT = frozenset({"chat", "text_completion", "generate_content"})
_ERRORS = frozenset({"ERROR", "2", "STATUS_CODE_ERROR"})
_THREADS = (
    *("gen_ai.conversation.id", "langsmith.metadata.thread_id", "langsmith.metadata.session_id"),
    *("langsmith.metadata.conversation_id", "langsmith.trace.session_id", "session.id"),
    *("traceloop.association.properties.thread_id", "traceloop.association.properties.session_id"),
)
_CONTENT = (
    *("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages"),
    *("llm.input_messages", "llm.output_messages"),
)
_KINDS = ("langsmith.span.kind", "openinference.span.kind", "traceloop.span.kind")

Attributes = dict[str, Any]


def is_span(run: Mapping[str, Any]) -> bool:
    """Return whether data is a span, or a run with the attributes of a span."""
    if "attributes" in run and "inputs" not in run:
        return True
    return "generations" not in mapping(run.get("outputs")) and bool(_attributes(run))


def spans_of(data: Any) -> list[Any]:
    """Return the spans of a request of OTLP in JSON, or the value as the only one.

    Example:
        >>> spans_of({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "chat"}]}]}]})
        [{'name': 'chat'}]
    """
    request = mapping(data)
    resources = request.get("resourceSpans", request.get("resource_spans"))
    if not isinstance(resources, list):
        return [data]
    found: list[Any] = []
    for resource in map(mapping, resources):
        for key in ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for scope in entries(resource.get(key)):
                found += entries(mapping(scope).get("spans"))
    return found


def run_type(span: Mapping[str, Any]) -> str:
    """Return the type of a span's run: `llm` for a model call, or what it is instead.

    Example:
        >>> run_type({"attributes": {"gen_ai.operation.name": "execute_tool"}})
        'tool'
    """
    attributes = _all_attributes(span)
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        if operation in _CHAT:
            return "llm"
        return {"execute_tool": "tool", "embeddings": "embedding"}.get(str(operation), "chain")
    for name in _KINDS:
        if kind := attributes.get(name):
            return str(kind).lower()
    return "llm" if _holds_messages(attributes) else "chain"


def as_run(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span of a model call as a run.

    Raises:
        UnreadableChatError: It has a part of a message that the wire form cannot represent.
    """
    attributes = _all_attributes(span)
    events = [*_events(span), *events_in(attributes.get("events"))]
    attributes |= content_attributes(events)
    context = mapping(span.get("context"))
    status = mapping(span.get("status"))
    code = status.get("status_code", status.get("code", span.get("status")))
    threads = (attributes.get(name) for name in _THREADS)
    run = {
        "id": span.get("id") or context.get("span_id") or _id(span, "spanId"),
        "trace_id": span.get("trace_id") or context.get("trace_id") or _id(span, "traceId"),
        "thread_id": next((thread for thread in threads if thread), None) or thread_of(span),
        "run_type": run_type(span),
        "status": "error" if str(code).upper() in _ERRORS else "success",
        "error": span.get("error"),
    }
    if run["run_type"] != "llm" or run["status"] == "error":
        return run
    params = _params(attributes)
    given = mapping(mapping(span.get("extra")).get("invocation_params"))
    inputs, outputs = event_messages(events) or _io(attributes)
    finish = _json(attributes.get("gen_ai.response.finish_reasons"))
    if entries(finish) and isinstance(outputs, Mapping):
        choices = entries(outputs.get("choices"))
        if len(choices) == len(finish):
            choices = [
                {**choice, "finish_reason": choice.get("finish_reason") or reason}
                for choice, reason in zip(choices, finish, strict=True)
            ]
            outputs = {**outputs, "choices": choices}
    return run | {
        "inputs": inputs,
        "outputs": outputs,
        "extra": {"invocation_params": {**params, **given}},
    }


def _id(span: Mapping[str, Any], name: str) -> Any:
    return span.get(name) or span.get("span_id" if name == "spanId" else "trace_id")


def _io(attributes: Attributes) -> tuple[Any, Any]:
    """Return the inputs and outputs of a span's run."""
    inputs = _json(attributes.get("gen_ai.prompt"))
    outputs = _json(attributes.get("gen_ai.completion"))
    if isinstance(inputs, list):
        inputs = {"messages": inputs}
    if isinstance(outputs, list):
        outputs = {"messages": outputs}
    if isinstance(inputs, Mapping):
        return inputs, outputs
    found = _conventions(attributes) or _openinference(attributes)
    if found:
        return found
    sent = numbered(attributes, "gen_ai.prompt")
    came = numbered(attributes, "gen_ai.completion")
    choices = [
        {"finish_reason": message.get("finish_reason"), "message": {"role": "assistant", **message}}
        for message in came
    ]
    return {"messages": sent}, {"choices": choices} if choices else {}


def _params(attributes: Attributes) -> dict[str, Any]:
    """Return the settings of the request."""
    params = dict(mapping(_json(attributes.get("llm.invocation_parameters"))))
    params.pop("messages", None)
    tools = _json(attributes.get("gen_ai.tool.definitions"))
    request = mapping(_json(attributes.get("model_request_parameters")))
    # pydantic-ai writes both; only its own form says whether a tool is strict.
    own = [*entries(request.get("function_tools")), *entries(request.get("output_tools"))]
    by_name = {str(mapping(tool).get("name")): mapping(tool) for tool in own}
    if not tools:
        tools = [{"type": "function", **mapping(tool)} for tool in own]
    for tool in map(mapping, entries(tools)):
        strict = by_name.get(str(tool.get("name")), {}).get("strict")
        if isinstance(tool, dict) and isinstance(strict, bool):
            tool["strict"] = strict
    if entries(request.get("native_tools")) or entries(request.get("builtin_tools")):
        tools = [*entries(tools), {"type": "builtin"}]
    if not tools:
        tools = [
            {"type": "function", **tool, "parameters": _json(tool.get("parameters"))}
            for tool in numbered(attributes, "llm.request.functions")
        ] or [
            _json(tool.get("tool.json_schema")) or tool
            for tool in numbered(attributes, "llm.tools")
        ]
    if tools:
        params["tools"] = tools
    form = mapping(request.get("output_object"))
    if request.get("output_mode") == "native" and form.get("json_schema"):
        named = {key: form[key] for key in ("name", "description", "strict") if form.get(key)}
        json_schema = {**named, "schema": form["json_schema"]}
        params["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return params


def _all_attributes(span: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a span, from any of their places."""
    extra = mapping(span.get("extra"))
    places = [span.get("attributes"), extra.get("attributes"), extra.get("metadata")]
    places += [span.get("inputs"), span.get("outputs")]
    found: Attributes = {}
    for place in places:
        if isinstance(place, list):  # OTLP: [{"key": ..., "value": {"stringValue": ...}}]
            pairs = [(mapping(entry).get("key"), mapping(entry).get("value")) for entry in place]
            found.update({str(key): _any_value(value) for key, value in pairs})
        else:
            found.update(mapping(place))
    return found


def _events(span: Mapping[str, Any]) -> Iterator[tuple[str, Attributes]]:
    """Yield the name and the attributes of each event of a span."""
    for event in map(mapping, entries(span.get("events"))):
        if str(event.get("name")).startswith("gen_ai."):
            yield str(event["name"]), _all_attributes({"attributes": event.get("attributes")})


def _any_value(value: Any) -> Any:
    """Return a value of OTLP as data."""
    kind, inner = next(iter(mapping(value).items()), ("", None))
    if kind == "arrayValue":
        return [_any_value(each) for each in entries(mapping(inner).get("values"))]
    if kind == "kvlistValue":
        pairs = map(mapping, entries(mapping(inner).get("values")))
        return {str(pair.get("key")): _any_value(pair.get("value")) for pair in pairs}
    return inner


def _attributes(span: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a span if they contain messages."""
    found = _all_attributes(span)
    return found if _holds_messages(found) else {}


def _holds_messages(attributes: Attributes) -> bool:
    return any(str(key).startswith(_CONTENT) for key in attributes)


def _json(value: Any) -> Any:
    """Return a value that may be JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return None


def _openinference(attributes: Attributes) -> tuple[Any, Any] | None:
    """Return inputs and outputs as OpenInference writes them: whole, and as numbered messages."""
    inputs, outputs = (_json(attributes.get(f"{name}.value")) for name in ("input", "output"))
    known = ("messages", "input", "contents", "prompt")
    if not isinstance(inputs, Mapping) or not any(inputs.get(key) for key in known):
        sent = openinference_messages(attributes, "llm.input_messages")
        inputs = {"messages": sent} if sent else None
    came = openinference_messages(attributes, "llm.output_messages")
    if not isinstance(outputs, Mapping):
        reason = attributes.get("llm.finish_reason")
        outputs = {"choices": [{"message": each, "finish_reason": reason} for each in came]}
    return (inputs, outputs) if inputs else None


def _conventions(attributes: Attributes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return inputs and outputs by OpenTelemetry's conventions, if the span follows them."""
    sent = entries(_json(attributes.get("gen_ai.input.messages")))
    came = entries(_json(attributes.get("gen_ai.output.messages")))
    if not sent and not came:
        return None
    if not sent:
        return {}, {"messages": came}  # The instrumentor left them out.
    is_pydantic_ai = "logfire.json_schema" in attributes
    messages = [part for raw in sent for part in _from_parts(raw, compact=is_pydantic_ai)]
    system = _json(attributes.get("gen_ai.system_instructions"))
    if system is None:
        text = attributes.get("gen_ai.system_instructions")
        system = [{"type": "text", "content": text}] if text else []
    if system:
        place = 0
        if is_pydantic_ai:
            # pydantic-ai sends its instructions after the system prompts.
            roles = [message.get("role") for message in messages]
            place = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
        messages[place:place] = _from_parts({"role": "system", "parts": entries(system)})
    choices = [
        {"message": message, "finish_reason": mapping(raw).get("finish_reason")}
        for raw in came
        for message in _from_parts(raw)
    ]
    return {"messages": messages}, {"choices": choices} if choices else {}


def _from_parts(raw: Any, *, compact: bool = False) -> list[dict[str, Any]]:
    """Return a message of the conventions as OpenAI messages.

    `compact` is for a history whose calls are sent as compact JSON, however they were written.
    """
    message = mapping(raw)
    if "parts" not in message and "content" in message:
        return [dict(message)]
    content: list[Any] = []
    results: list[dict[str, Any]] = []
    for given in entries(message.get("parts")):
        part = {"type": "text", "content": given} if isinstance(given, str) else mapping(given)
        if part.get("type") == "tool_call_response" and not part.get("builtin"):
            found = part.get("response", part.get("result"))
            text = found if isinstance(found, str) else compact_json(found)
            results.append({"role": "tool", "tool_call_id": part.get("id"), "content": text})
        else:
            content += _blocks(_with_compact_json(part) if compact else part)
    only = content[0] if len(content) == 1 else {}
    plain = only["text"] if only.get("type") == "text" else content
    converted = {"role": message.get("role"), "content": plain, "name": message.get("name")}
    return results if results and not content else [*results, converted]


def _with_compact_json(part: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = _json(part.get("arguments"))
    return {**part, "arguments": compact_json(arguments)} if arguments is not None else part


def _blocks(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a part of the conventions, or of pydantic-ai's, as a block of `wire_content`."""
    kind = part.get("type")
    text, media = part.get("content"), part.get("mime_type") or part.get("media_type")
    url = part.get("uri") or part.get("url")
    modality = part.get("modality") or str(media or kind).split("/")[0].removesuffix("-url")
    if part.get("builtin"):
        yield {"type": "builtin_call"}
    elif kind in ("text", "thinking", "reasoning"):
        if kind == "text" and not isinstance(text, str):
            raise UnreadableChatError("hidden_content", "The tracer did not record the text.")
        # The model no longer sees a part that is not visible.
        if part.get("visible") is not False:
            yield {"type": "text" if kind == "text" else "reasoning", "text": text}
    elif kind == "tool_call":
        # Arguments are data by the conventions, and text in some instrumentations.
        call = {"call_id": part.get("id"), "name": part.get("name")}
        yield {**call, "type": "function_call", "arguments": part.get("arguments")}
    elif kind in ("blob", "binary") and modality in ("image", "audio") and text:
        yield {"type": modality, "base64": text, "mime_type": media}
    elif kind in ("blob", "binary") and text and media:
        yield {"type": "file", "base64": text, "mime_type": media}
    elif modality == "image" and url:
        yield {"type": "image", "url": url}
    elif kind == "file" and part.get("file_id"):
        yield {"type": "input_file", "file_id": part["file_id"]}
    else:
        raise UnreadableChatError(
            "unsupported_content", "A part that chat messages cannot represent."
        )
