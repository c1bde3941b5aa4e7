"""Converts chats from OpenAI's format to the input of chat templates, and renders them.

A chat template is a Jinja program that is part of a base model. It expects tool arguments as
objects, contents as strings and no legacy function calls. A model answers well only if prompts
are rendered as in its training, so training and serving share this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.templates.prepare import PRELUDE_END
from langchain_finetune.local.templates.template_probe import (
    OneCallError,
    adapted,
    find_takes,
    raw_render,
)

TemplateMessage = dict[str, Any]
TemplateTool = dict[str, Any]


class RenderingError(ValueError):
    """The message at `index` cannot be represented in a chat template; errors never quote it."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


@dataclass(frozen=True)
class TemplateInput:
    """The input of a chat template.

    Attributes:
        messages: Each with `role` (system, developer, user, assistant or tool) and `content`, a
            string; the assistant's may have `tool_calls`, whose arguments are objects; a tool's
            has `tool_call_id` and, if known, `name`.
        tools: A list of `{"type": "function", "function": {...}}`; may be empty.
    """

    messages: list[TemplateMessage]
    tools: list[TemplateTool]


def to_template_input(body: Mapping[str, Any], *, keep_developer: bool = False) -> TemplateInput:
    """Convert the `messages` and `tools`, or legacy `functions`, of a request or an example.

    The role `developer` becomes `system` unless the template supports it: `keep_developer`.

    Raises:
        RenderingError: A message has parts other than text, or arguments that are not a JSON
            object.

    Example:
        >>> to_template_input({"messages": [{"role": "assistant", "content": None}]}).messages
        [{'role': 'assistant', 'content': ''}]
    """
    messages: list[TemplateMessage] = []
    names: dict[str, str] = {}
    for index, message in enumerate(body["messages"]):
        role = message["role"]
        converted = {"role": role, "content": _text(message, index)}
        if role == "assistant" and (calls := _calls(message, index)):
            names |= {call["id"]: call["function"]["name"] for call in calls}
            converted["tool_calls"] = calls
        elif role in {"tool", "function"}:
            converted = _tool_result(message, converted["content"], names)
        elif role == "developer" and not keep_developer:
            converted["role"] = "system"
        messages.append(converted)
    return TemplateInput(messages, _tools(body))


def with_format(given: TemplateInput, form: Any) -> TemplateInput:
    """Return a chat whose instructions show the JSON schema of a response format, if it has one.

    Instructions are put before a chat without any. Keys are sorted, since traces may lose their
    order.

    Example:
        >>> form = {"json_schema": {"name": "Sum", "schema": {"type": "object"}}}
        >>> print(with_format(TemplateInput([], []), form).messages[0]["content"])
        # Response format
        <BLANKLINE>
        Sum: {"type": "object"}
    """
    named = form.get("json_schema") if isinstance(form, Mapping) else None
    if not isinstance(named, Mapping) or not isinstance(named.get("schema"), Mapping):
        return given
    schema = json.dumps(named["schema"], ensure_ascii=False, sort_keys=True)
    shown = f"# Response format\n\n{named.get('name')}: {schema}"
    first, rest = given.messages[:1], given.messages[1:]
    if first and first[0]["role"] in ("system", "developer"):
        told = {**first[0], "content": f"{first[0]['content']}\n\n{shown}"}
        return TemplateInput([told, *rest], given.tools)
    return TemplateInput([{"role": "system", "content": shown}, *given.messages], given.tools)


SHOWS_FORMAT = "shows_response_format"
"""Key of a tokenizer's configuration: the model was trained with `with_format`."""


def supports_developer(chat_template: str | None) -> bool:
    """Return whether a chat template supports the role `developer`."""
    # The prelude knows the role, whether or not the template behind it does.
    return "developer" in (chat_template or "").rpartition(PRELUDE_END)[2]


def render(tokenizer: Any, given: TemplateInput, *, add_generation_prompt: bool) -> str:
    """Return the rendered chat, which is the input of the model.

    Raises:
        RenderingError: The last answer has several calls, and the template writes one only.
        jinja2.TemplateError: The template rejects the chat, for example because of two
            consecutive user messages.
    """
    try:
        messages = adapted(given.messages, find_takes(tokenizer))
    except OneCallError as error:
        raise RenderingError(
            "This model's chat template writes one call per answer, and this one has several: put"
            " each into an answer of its own, followed by its result.",
            error.index,
        ) from error
    try:
        return raw_render(tokenizer)(messages, given.tools, asks=add_generation_prompt)
    except (TypeError, LookupError, AttributeError) as error:
        # Of the extra `local`: clients without it import this module for the plan of a job.
        from jinja2 import TemplateError  # noqa: PLC0415

        # A template is a program, which may trip over a chat that it does not expect.
        raise TemplateError(type(error).__name__) from error


def _text(message: Mapping[str, Any], index: int) -> str:
    content = message.get("content")
    if content is None:
        return message.get("refusal") or ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise RenderingError("A message's content must be text or a list of text parts.", index)
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get(kind) if kind in {"text", "refusal"} else None
        if not isinstance(text, str):
            raise RenderingError("This engine reads text parts only.", index)
        texts.append(text)
    return "".join(texts)


def _calls(message: Mapping[str, Any], index: int) -> list[dict[str, Any]]:
    calls = [
        {"id": call["id"], "type": "function", "function": _function(call["function"], index)}
        for call in message.get("tool_calls") or ()
    ]
    if call := message.get("function_call"):
        calls.append(
            {"id": _legacy_id(call["name"]), "type": "function", "function": _function(call, index)}
        )
    return calls


def _function(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    try:
        arguments = json.loads(call["arguments"])
    except (TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        raise RenderingError("A call's arguments must be a JSON object.", index)
    return {"name": call["name"], "arguments": arguments}


def _tool_result(
    message: Mapping[str, Any], content: str, names: Mapping[str, str]
) -> TemplateMessage:
    if message["role"] == "function":
        name = message.get("name") or ""
        call_id = _legacy_id(name)
    else:
        call_id = message["tool_call_id"]
        name = message.get("name") or names.get(call_id) or ""
    converted = {"role": "tool", "content": content, "tool_call_id": call_id}
    # Some templates render the name of the tool; others ignore it.
    return converted | ({"name": name} if name else {})


def _legacy_id(name: str) -> str:
    """Return an id for a legacy call, which has none; its result refers to the function's name."""
    return f"call_{name}"


def _tools(body: Mapping[str, Any]) -> list[TemplateTool]:
    functions = [tool["function"] for tool in body.get("tools") or ()]
    functions += body.get("functions") or ()
    return [{"type": "function", "function": _definition(function)} for function in functions]


def _definition(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields in a fixed order: clients differ in it, and templates preserve it."""
    first = {key: function[key] for key in ("name", "description", "parameters") if key in function}
    # `strict` only affects OpenAI's sampling, not the model.
    return first | {key: function[key] for key in function if key not in {*first, "strict"}}
