"""How a model's chat template renders an answer: markers around its text and tool calls.

It is found by rendering an invented answer and locating its parts in the text. So a constrained
answer reads like those that the model was trained on, whatever the template.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from langchain_finetune.local.chat_template import TemplateInput, render

_QUESTION = {"role": "user", "content": "Question?"}
_TEXT = "Some-answer"
_NAMES = ("first-name", "second-name")
_ARGUMENTS = {"key-a": "value-a", "key-b": "value-b"}
_SEPARATORS = ((", ", ": "), (",", ":"))


@dataclass(frozen=True)
class CallFrame:
    """The text around calls: `before` name `between` arguments (`joint` ...)* `after`.

    `before` is such as `<tool_call>` and `{"name": "`; `joint` is None where there can be one call
    only. The separators stand between items, and between a key and its value.
    """

    before: str
    between: str
    joint: str | None
    after: str
    separators: tuple[str, str]


@dataclass(frozen=True)
class AnswerFrame:
    """What a template puts around an answer.

    `opening` is what it writes before any answer, such as an empty thought; often nothing. `call`
    is None where the template does not write calls as JSON.
    """

    opening: str
    call: CallFrame | None


def answer_frame(tokenizer: Any, ends: list[str]) -> AnswerFrame:
    """Find out how a tokenizer's template writes answers; `ends` has the texts that end them."""
    written = _answer(tokenizer, {"role": "assistant", "content": _TEXT})
    opening, found, _ = written.partition(_TEXT)
    opening = opening if found else ""
    call = _call_frame(_answer(tokenizer, _calling(*_NAMES)), ends, two=True)
    if call is None:
        call = _call_frame(_answer(tokenizer, _calling(_NAMES[0])), ends, two=False)
    if call is None:
        return AnswerFrame(opening, None)
    if not call.before.startswith(opening):
        opening = ""
    return AnswerFrame(opening, replace(call, before=call.before.removeprefix(opening)))


def _calling(*names: str) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{index}00000",
            "type": "function",
            "function": {"name": name, "arguments": _ARGUMENTS},
        }
        for index, name in enumerate(names)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _answer(tokenizer: Any, message: dict[str, Any]) -> str:
    """Return the rendered answer; nothing if the template rejects it."""
    try:
        prompt = render(tokenizer, TemplateInput([_QUESTION], []), add_generation_prompt=True)
        chat = TemplateInput([_QUESTION, message], [])
        whole = render(tokenizer, chat, add_generation_prompt=False)
    except (TemplateError, KeyError, TypeError, ValueError):
        return ""
    return whole.removeprefix(prompt) if whole.startswith(prompt) else ""


def _call_frame(text: str, ends: list[str], *, two: bool) -> CallFrame | None:
    """Find the markers around two calls, or around one."""
    for separators in _SEPARATORS:
        arguments = json.dumps(_ARGUMENTS, separators=separators)
        before, _, rest = text.partition(_NAMES[0])
        between, found, after = rest.partition(arguments)
        joint = None
        if two:
            joint, _, rest = after.partition(_NAMES[1])
            if not rest.startswith(between + arguments):
                continue
            after = rest.removeprefix(between + arguments)
        if found:
            return CallFrame(before, between, joint, _until_end(after, ends), separators)
    return None


def _until_end(text: str, ends: list[str]) -> str:
    """Return what comes before the token that ends the answer."""
    places = [place for end in ends if (place := text.find(end)) >= 0]
    return text[: min(places)] if places else text.rstrip()
