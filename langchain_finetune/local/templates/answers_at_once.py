"""The answers of a chat in one rendering of it, for templates that only append.

Of such a template every prefix of a chat is a prefix of the chat's text. What opens and what ends
an answer are control tokens, which no text of a chat contains, so they tell where answers are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.templates.answer_form import AnswerForm
from langchain_finetune.local.templates.template_probe import Message, calling, offering, question

_LOOKS_AHEAD = re.compile(
    r"loop\.(?:last|nextitem|revindex|length)|loop\.index0?\s*\+|\[\s*-|::|reverse"
    r"|\b(?:length|last|count|sort|groupby|batch)\b"
)
"""What a template needs to render a message by what follows it."""


@dataclass(frozen=True)
class AnswerFinder:
    """Finds answers in a rendered chat: `opening` begins each, one of `ends` ends it."""

    opening: str
    ends: tuple[str, ...]
    form: AnswerForm

    @classmethod
    def of(
        cls, template: str, opening: str, form: AnswerForm, control: re.Pattern[str]
    ) -> "AnswerFinder | None":
        """Return what finds the answers of a template; None if it may not only append."""
        ends = tuple(form.ends)
        if (
            _LOOKS_AHEAD.search(template)
            or form.takes.one_call
            or not control.search(opening)
            or not ends
            or not all(control.fullmatch(end) for end in ends)
        ):
            return None
        return cls(opening, ends, form)

    def places(
        self, text: str, messages: Sequence[dict[str, Any]], wanted: Sequence[int]
    ) -> list[tuple[int, int]] | None:
        """Return where the wanted messages begin and end in a chat's text; None if not certain."""
        answers = [n for n, each in enumerate(messages) if each["role"] == "assistant"]
        starts = [at + len(self.opening) for at in _finds(text, self.opening)]
        if len(starts) != len(answers):
            return None
        found = []
        for index, start, after in zip(answers, starts, [*starts[1:], len(text)], strict=True):
            if index not in wanted:
                continue
            ended = [(at, end) for end in self.ends if (at := text.find(end, start, after)) >= 0]
            if not ended:
                return None
            at, end = min(ended)
            turn = text[start : at + len(end)]
            if self.form.until_end(turn, messages[index]) != turn:
                return None
            found.append((start, at + len(end)))
        return found


def _finds(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def probes() -> Iterator[tuple[list[Message], list[Message]]]:
    """Yield invented chats, with which a template has to append, and their tools."""
    said = {"role": "assistant", "content": "Some-answer"}
    call = calling(("first_name", {"keya": "valuea"}))
    two = calling(("first_name", {"keya": "a"}), ("second_name", {"keya": "b"}))
    beside = {**call, "content": "Some-text"}
    results = [
        {"role": "tool", "tool_call_id": f"call_{n}", "name": f"{name}_name", "content": "It-is"}
        for n, name in enumerate(("first", "second"))
    ]
    one = results[:1]
    rules = {"role": "system", "content": "Some-rules"}
    asked = question()
    for tools in ([], offering("first_name", "second_name")):
        for start in ([asked], [rules, asked], [said, asked]):
            chats = [
                [*start, said, asked, said, asked, said],
                [*start, call, *one, said, asked, beside, *one, call, *one, said],
                [*start, two, *results, said, rules, asked, said],
                [*start, said, asked, call],
            ]
            for messages in chats:
                yield messages, tools
