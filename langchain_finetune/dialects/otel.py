"""The content of OpenTelemetry's spans, from their attributes: messages, answers and settings.

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
from langchain_finetune.dialects import ai_sdk_spans
from langchain_finetune.dialects.numbered_attributes import numbered, openinference_messages
from langchain_finetune.tolerant_json import loads

_MESSAGES = (
    *("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages"),
    *("llm.input_messages", "llm.output_messages", ai_sdk_spans.MESSAGES),
)
_CONTENT = (
    *_MESSAGES,
    *ai_sdk_spans.CONTENT,
    *("gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.tool.call."),
    *("llm.tools", "llm.invocation_parameters", "llm.request.functions", "llm.prompts"),
    *("input.value", "input.mime_type", "output.value", "output.mime_type"),
    *("traceloop.entity.input", "traceloop.entity.output", "events", "all_messages_events"),
    *("model_request_parameters", "pydantic_ai.all_messages", "tool_arguments", "tool_response"),
    *("logfire.json_schema", "metadata", "gen_ai.request.structured_output_schema"),
)
"""Beginnings of the names of attributes that hold what went in and came out, or describe it."""

_VALUES = (
    ("input.value", "output.value"),
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("gen_ai.prompt", "gen_ai.completion"),
    ("gen_ai.input.messages", "gen_ai.output.messages"),
    ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    ("tool_arguments", "tool_response"),
)
"""Attributes with the input and the output of a span that is not a model call."""

_REQUEST = {
    **{
        f"gen_ai.request.{name}": name
        for name in (
            *("temperature", "top_p", "top_k", "max_tokens", "seed"),
            *("frequency_penalty", "presence_penalty", "reasoning_effort"),
        )
    },
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.choice.count": "n",
    "llm.frequency_penalty": "frequency_penalty",
    "llm.presence_penalty": "presence_penalty",
}
"""Attributes of the request's settings, and their names in OpenAI's chat API."""

_SCHEMA = "gen_ai.request.structured_output_schema"
"""OpenLLMetry's."""

Attributes = dict[str, Any]


def holds_messages(attributes: Attributes) -> bool:
    """Return whether attributes contain messages of a model call."""
    return any(str(key).startswith(_MESSAGES) for key in attributes)


def is_content(name: str) -> bool:
    """Return whether an attribute holds what went into a span or came out, or describes it."""
    return name.startswith(_CONTENT) or name in _REQUEST


def span_values(attributes: Attributes) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the inputs and outputs of a span that is not a model call, each as an object."""
    if found := ai_sdk_spans.values(attributes):
        return found
    for names in _VALUES:
        sent, came = (_data(attributes.get(name)) for name in names)
        if sent is not None or came is not None:
            kind = "messages" if names[0] == "gen_ai.input.messages" else ""
            outputs = None if came is None else _object(came, kind or "output")
            return {} if sent is None else _object(sent, kind or "input"), outputs
    return {}, None


def _object(value: Any, name: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else {name: value}


def _data(value: Any) -> Any:
    """Return JSON text parsed, and any other value as it is."""
    found = json_value(value)
    return value if found is None else found


def add_finish_reasons(outputs: Any, attributes: Attributes) -> Any:
    """Return outputs whose answers have the reason why they ended, where only the span has it."""
    reasons = entries(json_value(attributes.get("gen_ai.response.finish_reasons")))
    choices = entries(mapping(outputs).get("choices"))
    if not reasons or len(choices) != len(reasons):
        return outputs
    return {
        **outputs,
        "choices": [
            {**choice, "finish_reason": choice.get("finish_reason") or reason}
            for choice, reason in zip(choices, reasons, strict=True)
        ],
    }


def messages_and_answers(attributes: Attributes) -> tuple[Any, Any]:
    """Return the inputs and outputs of a model call's run.

    Raises:
        UnreadableChatError: A part of a message cannot be represented in the wire form.
    """
    inputs = json_value(attributes.get("gen_ai.prompt"))
    outputs = json_value(attributes.get("gen_ai.completion"))
    if isinstance(inputs, list):
        inputs = {"messages": inputs}
    if isinstance(outputs, list):
        outputs = {"messages": outputs}
    if isinstance(inputs, Mapping):
        return inputs, outputs
    found = (
        _conventions(attributes)
        or ai_sdk_spans.messages_and_answer(attributes)
        or _openinference(attributes)
    )
    if found:
        return found
    sent = numbered(attributes, "gen_ai.prompt")
    came = numbered(attributes, "gen_ai.completion")
    choices = [
        {"finish_reason": message.get("finish_reason"), "message": {"role": "assistant", **message}}
        for message in came
    ]
    return {"messages": sent}, {"choices": choices} if choices else {}


def settings(attributes: Attributes) -> dict[str, Any]:
    """Return the settings of a model call's request."""
    params: dict[str, Any] = {
        name: attributes[key] for key, name in _REQUEST.items() if attributes.get(key) is not None
    }
    params |= dict(mapping(json_value(attributes.get("llm.invocation_parameters"))))
    params.pop("messages", None)
    tools = json_value(attributes.get("gen_ai.tool.definitions"))
    request = mapping(json_value(attributes.get("model_request_parameters")))
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
            {"type": "function", **tool, "parameters": json_value(tool.get("parameters"))}
            for tool in numbered(attributes, "llm.request.functions")
        ] or [
            json_value(tool.get("tool.json_schema")) or tool
            for tool in numbered(attributes, "llm.tools")
        ]
    if tools:
        params["tools"] = tools
    params |= ai_sdk_spans.settings(attributes)
    schema = mapping(json_value(attributes.get(_SCHEMA)))
    if schema:
        json_schema = {"name": schema.get("title") or "response", "schema": schema}
        params["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    form = mapping(request.get("output_object"))
    if request.get("output_mode") == "native" and form.get("json_schema"):
        named = {key: form[key] for key in ("name", "description", "strict") if form.get(key)}
        json_schema = {**named, "schema": form["json_schema"]}
        params["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return params


def json_value(value: Any) -> Any:
    """Return a value that may be JSON text; None for other text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return None


def _openinference(attributes: Attributes) -> tuple[Any, Any] | None:
    """Return inputs and outputs as OpenInference writes them: whole, and as numbered messages."""
    inputs, outputs = (json_value(attributes.get(f"{name}.value")) for name in ("input", "output"))
    known = ("messages", "input", "contents", "prompt")
    if not isinstance(inputs, Mapping) or not any(inputs.get(key) for key in known):
        sent = openinference_messages(attributes, "llm.input_messages")
        inputs = {"messages": sent} if sent else None
    came = openinference_messages(attributes, "llm.output_messages")
    answers = entries(outputs) if attributes.get("output.mime_type") == "application/json" else []
    if answers and all("text" in mapping(each) for each in answers):
        # DSPy's, of whose calls the numbered messages have none.
        came = [{**each, "role": "assistant", "content": each["text"]} for each in answers]
    is_text = any(each.get("content") == attributes.get("output.value") for each in came)
    if is_text or not isinstance(outputs, Mapping):
        reason = attributes.get("llm.finish_reason")
        outputs = {"choices": [{"message": each, "finish_reason": reason} for each in came]}
    return (inputs, outputs) if inputs else None


def _conventions(attributes: Attributes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return inputs and outputs by OpenTelemetry's conventions, if the span follows them."""
    sent = entries(json_value(attributes.get("gen_ai.input.messages")))
    came = entries(json_value(attributes.get("gen_ai.output.messages")))
    if not sent and not came:
        return None
    if not sent:
        return {}, {"messages": came}  # The instrumentor left them out.
    is_pydantic_ai = "logfire.json_schema" in attributes
    messages = [part for raw in sent for part in _from_parts(raw, compact=is_pydantic_ai)]
    system = json_value(attributes.get("gen_ai.system_instructions"))
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
    arguments = json_value(part.get("arguments"))
    return {**part, "arguments": compact_json(arguments)} if arguments is not None else part


def _blocks(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a part of the conventions, or of pydantic-ai's, as a block of `wire_content`."""
    kind = part.get("type")
    text, media = part.get("content"), part.get("mime_type") or part.get("media_type")
    url = part.get("uri") or part.get("url")
    # The AI SDK calls a PDF an image, too: its type says what it is.
    named = media or part.get("modality") or kind
    modality = str(named).split("/")[0].removesuffix("-url")
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
