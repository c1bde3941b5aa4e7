"""What a chat template takes, found by rendering invented chats, and chats put into that form.

Templates differ in what they want a call to look like: arguments as an object or as JSON, ids of a
fixed form, a missing content. `Takes` says which; it is found once for each template.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

QUESTION = "Question?"
ANSWER = "Änswer"
"""Begins unlike any marker, so that what a template writes before an answer ends there."""

Message = dict[str, Any]


class RenderChat(Protocol):
    """Renders messages with tools; whether it asks for an answer is up to `asks`."""

    def __call__(self, messages: list[Message], tools: list[dict[str, Any]], *, asks: bool) -> str:
        """Return the text."""


_IDS = ("own", "nine digits", "functions.name:index")


@dataclass(frozen=True)
class Takes:
    """What a template takes of an assistant's calls.

    `ids` is one of "own" (any), "nine digits" and "functions.name:index"; `empty` stands in for the
    text of an answer that only calls. With `one_call`, an answer can have one call only; without
    `text_beside`, the template leaves out text beside calls.
    """

    json_arguments: bool = False
    ids: str = "own"
    empty: str | None = ""
    one_call: bool = False
    text_beside: bool = True


class OneCallError(ValueError):
    """The message at `index` has several calls, and the template writes one an answer."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def rejections() -> tuple[type[Exception], ...]:
    """Return what templates raise on chats that they do not take: Jinja's errors, and Python's."""
    # Of the extra `local`: clients without it import this module for the plan of a job.
    from jinja2 import TemplateError  # noqa: PLC0415

    return (TemplateError, TypeError, ValueError, LookupError, AttributeError)


def question() -> Message:
    """Return the question of an invented chat."""
    return {"role": "user", "content": QUESTION}


def calling(*calls: tuple[str, dict[str, Any]], text: str = "") -> Message:
    """Return an invented answer with calls, in the common form."""
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for index, (name, arguments) in enumerate(calls)
        ],
    }


def offering(*names: str) -> list[dict[str, Any]]:
    """Return the definitions of invented tools."""
    schema = {"type": "string", "description": "A value."}
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "A tool.",
                "parameters": {"type": "object", "properties": {"keya": schema}},
            },
        }
        for name in names
    ]


def adapted(messages: Sequence[Message], takes: Takes) -> list[Message]:
    """Return a chat in the form that a template takes.

    Raises:
        OneCallError: The last answer has more calls than the template writes.
    """
    if takes.one_call:
        messages = _one_by_one(messages)
    found, ids = [], dict[str, str]()
    for message in messages:
        changed = dict(message)
        if calls := message.get("tool_calls"):
            changed["content"] = message.get("content") or takes.empty
            changed["tool_calls"] = [_call(each, n, ids, takes) for n, each in enumerate(calls)]
        elif "tool_call_id" in message:
            changed["tool_call_id"] = ids.get(message["tool_call_id"], message["tool_call_id"])
        found.append(changed)
    return found


def _call(call: Message, place: int, ids: dict[str, str], takes: Takes) -> Message:
    function = call["function"]
    match takes.ids:
        case "nine digits":
            ids[call["id"]] = f"{len(ids):09}"
        case "functions.name:index":
            ids[call["id"]] = f"functions.{function['name']}:{place}"
    if takes.json_arguments:
        function = function | {"arguments": json.dumps(function["arguments"], ensure_ascii=False)}
    return call | {"id": ids.get(call["id"], call["id"]), "function": function}


def _one_by_one(messages: Sequence[Message]) -> list[Message]:
    """Put each of several calls into an answer of its own, followed by its result."""
    found: list[Message] = []
    moved = set[int]()
    for index, message in enumerate(messages):
        calls = message.get("tool_calls") or ()
        if len(calls) < 2:  # noqa: PLR2004
            found += [message] if index not in moved else []
            continue
        places = {}
        for place in range(index + 1, len(messages)):
            if messages[place]["role"] != "tool":
                break
            places[messages[place]["tool_call_id"]] = place
        if not all(call["id"] in places for call in calls):
            raise OneCallError(index)
        for number, call in enumerate(calls):
            text = "" if number else message["content"]
            alone = {**message, "content": text, "tool_calls": [call]}
            found += [alone, messages[places[call["id"]]]]
            moved.add(places[call["id"]])
    return found


def find_takes(tokenizer: Any) -> Takes:
    """Find out what a tokenizer's template takes; remembered for the next time."""
    key = (str(tokenizer.chat_template), tokenizer.bos_token, tokenizer.eos_token)
    if key not in _FOUND:
        _FOUND[key] = _find(tokenizer)
    return _FOUND[key]


_FOUND: dict[tuple[str, str | None, str | None], Takes] = {}


def _find(tokenizer: Any) -> Takes:
    render = raw_render(tokenizer)
    tools = offering("first_name", "second_name")
    one = ("first_name", {"keya": "valuea"})
    fitting = ((ids, as_json) for ids in _IDS for as_json in (False, True))
    found: list[tuple[str, Takes]] = []
    while not found and (way := next(fitting, None)):
        for empty in ("", None):
            takes = Takes(way[1], way[0], empty)
            text = _answered(render, calling(one), takes, tools)
            # Arguments that are JSON in JSON would be read as a text.
            if "first_name" in text and re.search(r"\bkeya\b[^\\]*valuea", text):
                found.append((text, takes))
    if not found:
        return Takes()
    text, takes = min(found, key=lambda each: len(each[0]))
    if takes.ids == "own" and "call_0" in text:
        # An id that the model has to write had better be one that it can learn.
        takes = Takes(takes.json_arguments, "nine digits", takes.empty)
    two = _answered(render, calling(one, ("second_name", {"keya": "valueb"})), takes, tools)
    beside = _answered(render, calling(one, text=ANSWER), takes, tools)
    return Takes(
        takes.json_arguments,
        takes.ids,
        takes.empty,
        one_call=not ("first_name" in two and "second_name" in two),
        text_beside=ANSWER in beside,
    )


def raw_render(tokenizer: Any) -> RenderChat:
    """Return a function that renders messages, with tools, as they are."""

    def render(messages: list[Message], tools: list[dict[str, Any]], *, asks: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, add_generation_prompt=asks
        )
        return text

    return render


def _answered(
    render: RenderChat, answer: Message, takes: Takes, tools: list[dict[str, Any]]
) -> str:
    """Return what a template writes for an answer; nothing if it rejects it."""
    try:
        asked = render([question()], tools, asks=False)
        return render(adapted([question(), answer], takes), tools, asks=False).removeprefix(asked)
    except rejections():
        return ""
