"""A run as an example of a dataset. Pure functions.

The shape is LangSmith's chat-model schema, `inputs = {"messages", "tools", ...}` and
`outputs = {"message"}`, or that of a dataset of type chat.
Source of fact: https://docs.langchain.com/langsmith/dataset-json-types
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import convert_to_messages, messages_to_dict

from langchain_finetune.convert.checks import check_example, errors_of
from langchain_finetune.local.page.traced import TracedChat, field_of, mapping, traced_chat
from langchain_finetune.local.page.wire_messages import (
    ANSWERED,
    Manner,
    NoExampleError,
    Wire,
    wire_message,
)

_WRAPPERS = ("message", "output", "answer")
_O_SERIES = re.compile(r"o\d")
_ESCAPE = "__lc_escaped__"
"""Where LangChain's tracer keeps a user's data that looks like its own."""

_SCHEMAS = ("text", "text_format", "output_format", "output_config")


def run_example(row: Mapping[str, Any], correction: Any = None) -> dict[str, Any]:
    """Return `{"inputs", "outputs", "source_run_id"}` of a run.

    Args:
        row: The run's row.
        correction: What the answer should have been, as feedback holds it; None keeps it.

    Raises:
        NoExampleError: It makes none.
    """
    _require_finished(row)
    chat = traced_chat(row)
    if chat is None:
        raise NoExampleError("it holds no chat that the page can read; the loaders read more")
    if chat.items:
        raise NoExampleError("it is of the Responses API, which only the loaders read")
    if _ESCAPE in (row["extra"] or "") or any(
        _is_foreign(each) for each in (chat.sent, chat.answers, chat.settings)
    ):
        raise NoExampleError("it holds objects that the tracer could not write down")
    if len(chat.answers) != 1 or not chat.alone:
        raise NoExampleError("it holds several answers, or none")
    manner = _manner(chat)
    answer = wire_message(chat.answers[0], ANSWERED)
    if correction is not None:
        answer = corrected_answer(correction)
    if answer["role"] != "assistant":
        raise NoExampleError("what came back is no message of an assistant")
    inputs = {
        "messages": [wire_message(message, manner) for message in chat.sent],
        **_settings(chat),
    }
    line = {**inputs, "messages": [*inputs["messages"], answer]}
    if faults := errors_of(check_example(line)):
        raise NoExampleError(f"it can't be learnt from ({faults[0]})")
    return {"inputs": inputs, "outputs": {"message": answer}, "source_run_id": row["id"]}


def as_chat_example(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example in the shape of datasets of type chat."""
    inputs = dict(example["inputs"])
    *sent, answer = _langchain_dicts([*inputs.pop("messages"), example["outputs"]["message"]])
    return {**example, "inputs": {"input": sent, **inputs}, "outputs": {"output": answer}}


def corrected_answer(correction: Any) -> Wire:
    """Return the answer that a correction holds: a text or a message, as it is or wrapped.

    Raises:
        NoExampleError: It holds none.
    """
    if isinstance(correction, str):
        correction = {"role": "assistant", "content": correction}
    correction = mapping(correction)
    for name in _WRAPPERS:
        if name in correction:
            return corrected_answer(correction[name])
    if "role" not in correction and "type" not in correction:
        correction = {"role": "assistant", **correction}
    answer = wire_message(correction, Manner(as_written=True))
    if answer["role"] == "assistant" and (answer["content"] or answer.get("tool_calls")):
        return answer
    raise NoExampleError("its correction holds no answer")


def _langchain_dicts(messages: Sequence[Wire]) -> list[dict[str, Any]]:
    return messages_to_dict(convert_to_messages(messages))


def _require_finished(row: Mapping[str, Any]) -> None:
    if row["run_type"] != "llm":
        raise NoExampleError("it called no model")
    if row["status"] == "error":
        raise NoExampleError("it ended with an error")
    if not field_of(row, "outputs"):
        raise NoExampleError("it has no answer yet")


def _manner(chat: TracedChat) -> Manner:
    """Return how the messages of a request were sent, as LangChain's classes send them."""
    if not chat.by_langchain:
        return Manner(joined=chat.metadata.get("ls_provider") == "anthropic")
    if chat.params.get("previous_response_id"):
        raise NoExampleError("its earlier turns stand only at the provider")
    kind, model = chat.params.get("_type"), chat.params.get("model")
    fields = mapping(mapping(chat.answers[0]).get("kwargs"))
    told = mapping(fields.get("response_metadata"))
    by_responses = told.get("object") == "response" or str(fields.get("id")).startswith("resp_")
    by_chat = kind in {"openai-chat", "azure-openai-chat"} and not by_responses
    names = (mapping(raw).get("id") for raw in chat.sent)
    from_js = any(isinstance(name, list) and name[:1] == ["langchain_core"] for name in names)
    return Manner(
        joined=not by_chat,
        as_written=by_responses or from_js,
        named=not by_responses and kind != "anthropic-chat",
        developer=by_chat
        and kind == "openai-chat"
        and bool(_O_SERIES.match(str(model or chat.params.get("model_name")))),
    )


def _settings(chat: TracedChat) -> dict[str, Any]:
    settings = chat.settings
    if any(chat.params.get(name) for name in _SCHEMAS) or isinstance(
        settings.get("response_format"), str
    ):
        raise NoExampleError(
            "the schema of its answer stands in it in a form that only loaders read"
        )
    if "tools" in settings:
        if not isinstance(settings["tools"], list):
            raise NoExampleError("its tools are no list")
        settings["tools"] = [_tool(mapping(tool)) for tool in settings["tools"]]
    if mapping(chat.params.get("tool_choice")).get("disable_parallel_tool_use") is True:
        settings["parallel_tool_calls"] = False  # Anthropic's name for it.
    return settings


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool in OpenAI's form; its schema stays as it is."""
    if tool.get("type") == "function" and isinstance(tool.get("function"), Mapping):
        return dict(tool)
    schema = "parameters" if tool.get("type") == "function" else "input_schema"
    if isinstance(tool.get("name"), str) and (
        tool.get("type") == "function" or (tool.get("type") in {None, "custom"} and schema in tool)
    ):
        known = ("name", "description", schema, "strict")
        renamed = {"input_schema": "parameters"}
        function = {renamed.get(key, key): value for key, value in tool.items() if key in known}
        return {"type": "function", "function": function}
    raise NoExampleError("it offers tools that OpenAI's chat form can't say")


def _is_foreign(value: Any) -> bool:
    """Tell whether data holds what LangChain's tracer wrote of an object, a secret or an escape."""
    if isinstance(value, Mapping):
        if _ESCAPE in value:
            return True
        if value.get("lc") is not None and value.get("type") != "constructor":
            return True
        return any(map(_is_foreign, value.values()))
    return isinstance(value, list) and any(map(_is_foreign, value))
