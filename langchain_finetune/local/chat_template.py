"""From OpenAI's wire format to what chat templates take; training and serving share it.

A chat template is a Jinja program that a base model brings along. It wants tool arguments as
objects, contents as strings and no legacy function calls. The model answers well only if the
prompts it gets look like those it was trained on, so both sides render through this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TemplateMessage = dict[str, Any]
TemplateTool = dict[str, Any]


class RenderingError(ValueError):
    """A message that can't be put into a chat template.

    Args:
        message: One sentence; it never quotes the message.
        index: Position of the message at fault, counted from 0.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


@dataclass(frozen=True)
class TemplateInput:
    """What a chat template takes.

    Attributes:
        messages: Each with `role` (system, developer, user, assistant or tool) and `content`, a
            string; the assistant's may have `tool_calls`, whose arguments are objects; a tool's
            has `tool_call_id` and, where known, `name`.
        tools: `{"type": "function", "function": {...}}` each; empty where there are none.
    """

    messages: list[TemplateMessage]
    tools: list[TemplateTool]


def to_template_input(body: Mapping[str, Any], *, keep_developer: bool = False) -> TemplateInput:
    """Turn the messages and tools of a request, or of a training line, into a template's input.

    Args:
        body: Has `messages` and maybe `tools` or, in the older form, `functions`.
        keep_developer: The template knows the role `developer`; else it becomes `system`.

    Raises:
        RenderingError: A message has parts other than text, or arguments that are no JSON object.

    Example:
        >>> to_template_input({"messages": [{"role": "assistant", "content": None}]}).messages
        [{'role': 'assistant', 'content': ''}]
    """
    messages: list[TemplateMessage] = []
    names: dict[str, str] = {}
    for index, message in enumerate(body["messages"]):
        role = message["role"]
        content = _text(message, index)
        if role == "assistant":
            converted = {"role": role, "content": content}
            if calls := _calls(message, index):
                names |= {call["id"]: call["function"]["name"] for call in calls}
                converted["tool_calls"] = calls
        elif role in {"tool", "function"}:
            converted = _tool_result(message, content, names)
        elif role == "developer" and not keep_developer:
            converted = {"role": "system", "content": content}
        else:
            converted = {"role": role, "content": content}
        messages.append(converted)
    return TemplateInput(messages, _tools(body))


def knows_developer(chat_template: str | None) -> bool:
    """Tell whether a chat template has a role `developer` of its own."""
    return "developer" in (chat_template or "")


def render(tokenizer: Any, given: TemplateInput, *, add_generation_prompt: bool) -> str:
    """Return the text that the model sees.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template.
        given: The conversation.
        add_generation_prompt: End with the opening of an assistant's turn.

    Raises:
        jinja2.TemplateError: The template refuses this conversation, such as two user messages
            in a row.
    """
    text: str = tokenizer.apply_chat_template(
        given.messages,
        tools=given.tools or None,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )
    return text


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
    # Some templates open a tool's turn with its name; the others do not look at it.
    return converted | ({"name": name} if name else {})


def _legacy_id(name: str) -> str:
    """Legacy calls have no id; the result that follows names the function instead."""
    return f"call_{name}"


def _tools(body: Mapping[str, Any]) -> list[TemplateTool]:
    functions = [tool["function"] for tool in body.get("tools") or ()]
    functions += body.get("functions") or ()
    return [{"type": "function", "function": _definition(function)} for function in functions]


def _definition(function: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the fields in one order: templates print them as they come, clients differ in it."""
    first = {key: function[key] for key in ("name", "description", "parameters") if key in function}
    # `strict` asks something of OpenAI's sampler; it says nothing to the model.
    return first | {key: function[key] for key in function if key not in {*first, "strict"}}
