"""How a model's chat template renders an answer: markers around its text and tool calls.

It is found by rendering an invented answer and locating its parts in the text. So a constrained
answer reads like those that the model was trained on, whatever the template.
"""

import json
from dataclasses import dataclass
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

    Attributes:
        before: What opens the first call, such as `<tool_call>` and `{"name": "`.
        between: What stands between a call's name and its arguments.
        joint: What stands between two calls; None where there can be one only.
        after: What closes the last call.
        separators: Between the items of a JSON document, and between a key and its value.
    """

    before: str
    between: str
    joint: str | None
    after: str
    separators: tuple[str, str]


@dataclass(frozen=True)
class AnswerFrame:
    """What a template puts around an answer.

    Attributes:
        opening: What it writes before any answer, such as an empty thought; often nothing.
        call: The text around calls; None where the template does not write them as JSON.
    """

    opening: str
    call: CallFrame | None


def answer_frame(tokenizer: Any, ends: list[str]) -> AnswerFrame:
    """Find out how a tokenizer's template writes answers.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template.
        ends: Texts of the tokens that end an answer.
    """
    written = _answer(tokenizer, {"role": "assistant", "content": _TEXT}) or ""
    opening, found, _ = written.partition(_TEXT)
    opening = opening if found else ""
    two = _answer(tokenizer, _calling(*_NAMES)) or ""
    call = _call_frame(two, ends, two=True)
    if call is None:
        one = _answer(tokenizer, _calling(_NAMES[0])) or ""
        call = _call_frame(one, ends, two=False)
    if call is None:
        return AnswerFrame(opening, None)
    if not call.before.startswith(opening):
        opening = ""
    before = call.before.removeprefix(opening)
    return AnswerFrame(
        opening, CallFrame(before, call.between, call.joint, call.after, call.separators)
    )


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


def _answer(tokenizer: Any, message: dict[str, Any]) -> str | None:
    """Return the rendered answer; None if the template rejects it."""
    try:
        prompt = render(tokenizer, TemplateInput([_QUESTION], []), add_generation_prompt=True)
        chat = TemplateInput([_QUESTION, message], [])
        whole = render(tokenizer, chat, add_generation_prompt=False)
    except (TemplateError, KeyError, TypeError, ValueError):
        return None
    return whole.removeprefix(prompt) if whole.startswith(prompt) else None


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
