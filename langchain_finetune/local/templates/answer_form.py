"""How a chat template writes answers: text, thoughts, calls, and what ends them.

It is found by rendering invented answers and locating their parts, for whatever template; a base
needs no entry in a list of families.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from langchain_finetune.local.templates.call_form import CallForm, find_call_form
from langchain_finetune.local.templates.call_parser import CallReader, pattern_of
from langchain_finetune.local.templates.template_probe import (
    ANSWER,
    QUESTION,
    Message,
    Takes,
    adapted,
    calling,
    find_takes,
    offering,
    question,
    raw_render,
    rejections,
)
from langchain_finetune.local.templates.turns import (
    answer_turn,
    closing_mark,
    common_start,
    shared_start,
)

_RESULT = "Some-result"
_REASON = "Some-reason"
_REASON_KEYS = ("reasoning_content", "reasoning", "thinking")
_OPENED = re.compile(r"<[\w:|]*think[\w:]*>|\[THINK\]|<\|START_THINKING\|>|<\|channel>thought")
_THOUGHT = ("<think>", "</think>")


@dataclass(frozen=True)
class AnswerForm:
    """How answers are written.

    Attributes:
        opening: What stands before any answer, such as an empty thought; often nothing.
        text: What stands before text, but not before calls; often nothing.
        tail: What stands behind text, before the token that ends it; often nothing.
        call: The form of calls; None where the template has none, or one that can't be read.
        thought: What stands around a thought.
        anchors: What the prompt ends with before an answer.
        ends: Texts of the tokens that end an answer.
        after_text: What ends a text in a chat that goes on, where nothing does in a chat's last
            answer; of some templates the next message's first token.
        after_call: The same after a call.
        takes: What the template takes.
    """

    opening: str
    text: str
    tail: str
    call: CallForm | None
    thought: tuple[str, str]
    anchors: tuple[str, ...]
    ends: tuple[str, ...]
    after_text: str
    after_call: str
    takes: Takes

    @cached_property
    def reader(self) -> CallReader | None:
        """Reads calls in this form."""
        return CallReader(self.call) if self.call else None

    def until_end(self, turn: str, message: Mapping[str, Any]) -> str | None:
        """Cut an answer behind the token that ends it, which is added where the template has none.

        None where the model would have ended the answer before all of it was written.
        """
        text = (message.get("content") or "").strip()
        place = max(turn.rfind(text), 0) + len(text) if text and text in turn else 0
        for call in message.get("tool_calls") or ():
            name = call["function"]["name"]
            place = max(place, turn.rfind(name) + len(name))
        if any(end in turn[:place] for end in self.ends if end not in text):
            return None
        found = [(at, end) for end in self.ends if (at := turn.find(end, place)) >= 0]
        if found:
            at, end = min(found)
            return turn[:at] + end
        called = bool(message.get("tool_calls"))
        return turn.rstrip("\n") + (self.after_call if called else self.after_text)

    def response_template(self) -> dict[str, Any]:
        """Return how transformers' parser finds the parts of an answer.

        See https://huggingface.co/docs/transformers/main/en/chat_response_parsing. Calls come as
        they are written; `reader` reads them.
        """
        ends = "|".join(map(re.escape, sorted(self.ends, key=len, reverse=True)))
        opened, closed = self.thought
        content = {"content": "text"}
        fields: dict[str, Any] = {"content": content}
        if ends:
            content["close_pattern"] = rf"(?:{ends})\s*"
        if opened.strip():
            fields["reasoning_content"] = {
                "open_pattern": pattern_of(opened.strip()),
                "close_pattern": pattern_of(closed.strip()) + r"\s*",
                "content": "text",
            }
        # A field without content: what frames a text is not part of it.
        frames = {self.text.strip(), self.tail.strip(), *map(_header, self.anchors)} - {""}
        fields["frame"] = {"open": sorted(frames), "close_pattern": "", "content": "text"}
        if self.reader:
            close = self.reader.end or rf"(?={ends})|$" if ends else self.reader.end or "$"
            fields["tool_calls"] = {
                "open_pattern": self.reader.start,
                "close_pattern": close,
                "repeats": True,
                "content": "text",
            }
        return {
            "defaults": {"role": "assistant"},
            "start_anchor": list(self.anchors),
            "fields": fields,
        }


def find_answer_form(tokenizer: Any, ends: Sequence[str]) -> AnswerForm:
    """Find out how a tokenizer's template writes answers.

    `ends` has the texts of the tokens that end an answer by the model's configuration; where the
    template does not use them, those that it uses are added.
    """
    return _Probe(tokenizer, [end for end in ends if end]).form()


class _Probe:
    def __init__(self, tokenizer: Any, ends: list[str]) -> None:
        self._render = raw_render(tokenizer)
        self._takes = find_takes(tokenizer)
        self._ends = ends
        self._eos = tokenizer.eos_token or ""
        added = tokenizer.added_tokens_decoder.values()
        named = {*tokenizer.all_special_tokens, *(str(each) for each in added if each.special)}
        self._tokens = sorted(filter(str.strip, named), key=len, reverse=True)

    def form(self) -> AnswerForm:
        answered = {"role": "assistant", "content": ANSWER}
        called = calling(("first_name", {"keya": "valuea"}))
        result = {
            "role": "tool",
            "tool_call_id": "call_0",
            "name": "first_name",
            "content": _RESULT,
        }
        after_text = self._end([answered], ANSWER, [question()])
        after_call = self._end([called], "valuea", [result])
        ends = [*self._ends, *({after_text, after_call} - {*self._ends, ""})]
        opening, _, tail = self._turn(answered).partition(ANSWER)
        tail = tail[: min((at for end in ends if (at := tail.find(end)) >= 0), default=0)]
        call = find_call_form(self._turn, ends, one_call=self._takes.one_call)
        anchors = self._anchors([question(), called, result])
        text = ""
        if call:
            shared = shared_start(opening, call.opening + call.before)
            shared = re.sub(r"[^>\]\s]+$", "", shared)
            opening, text = shared, opening.removeprefix(shared)
            call = _without(call, shared)
            call = call if self._can_be_read(call) else None
        return AnswerForm(
            opening=opening,
            text=_without_thought(text),
            tail=tail,
            call=call,
            thought=self._thought(anchors, opening + text),
            anchors=anchors,
            ends=tuple(ends),
            after_text=after_text,
            after_call=after_call,
            takes=self._takes,
        )

    def _text(self, messages: list[Message], *, asks: bool) -> str:
        try:
            names = ("first_name", "second_name")
            return self._render(adapted(messages, self._takes), offering(*names), asks=asks)
        except rejections():
            return ""

    def _turn(self, answer: Message) -> str:
        prompt = self._text([question()], asks=True)
        whole = self._text([question(), answer], asks=False)
        return (answer_turn(prompt, whole) or "") if prompt and whole else ""

    def _can_be_read(self, call: CallForm) -> bool:
        given: list[tuple[str, dict[str, Any]]] = [
            ("first_name", {"keya": "välu/e, 1", "keyb": 5}),
            ("second_name", {"keya": "v"}),
        ]
        given = given[: 1 if self._takes.one_call else 2]
        turn = self._turn(calling(*given))
        for end in self._ends:
            turn = turn.partition(end)[0]
        return [
            (name, {key: str(value) for key, value in arguments.items()})
            for name, arguments in CallReader(call).read_all(turn) or ()
        ] == [(name, {key: str(v) for key, v in arguments.items()}) for name, arguments in given]

    def _end(self, answer: list[Message], last: str, more: list[Message]) -> str:
        """Return the text of the token that ends an answer which itself ends with `last`."""
        whole = self._text([question(), *answer], asks=False)
        _, found, tail = whole.rpartition(last)
        if not found or any(end in tail for end in self._ends):
            return ""
        if inside := self._in_order(tail):
            return inside[-1]
        going_on = self._text([question(), *answer, *more], asks=False)
        follows = (
            going_on.removeprefix(whole.rstrip()) if going_on.startswith(whole.rstrip()) else ""
        )
        after = self._in_order(follows.partition(more[0]["content"])[0])
        return after[0] if after else self._eos

    def _in_order(self, text: str) -> list[str]:
        """Return the tokens with a name of their own that stand in a text, in order."""
        if not self._tokens:
            return []
        return re.findall("|".join(map(re.escape, self._tokens)), text)

    def _anchors(self, through_result: list[Message]) -> tuple[str, ...]:
        found = []
        for messages, last in (([question()], QUESTION), (through_result, _RESULT)):
            prompt = self._text(messages, asks=True)
            head = _before_thought(prompt.rpartition(last)[2])
            tokens = self._in_order(head)
            head = head[head.index(tokens[0]) :] if tokens else head
            if head.strip() and head not in found:
                found.append(head)
        if len(found) > 1:
            shared = common_start(found[0][::-1], found[1][::-1])[::-1]
            if tokens := self._in_order(shared):
                return (shared[shared.index(tokens[0]) :],)
        return tuple(found) or (QUESTION,)

    def _thought(self, anchors: tuple[str, ...], opening: str) -> tuple[str, str]:
        for key in _REASON_KEYS:
            answer = {"role": "assistant", "content": ANSWER, key: _REASON}
            before, found, after = self._text([question(), answer], asks=False).partition(_REASON)
            opened = before.rpartition(anchors[0])[2].strip()
            between, shown, _ = after.partition(ANSWER)
            if found and shown and opened and between.strip():
                marks = self._in_order(between) or [between.strip()]
                return opened, marks[0]
        prompt = self._text([question()], asks=True).rpartition(QUESTION)[2]
        if mark := _OPENED.search(prompt + opening):
            return mark.group(), closing_mark(mark.group())
        return _THOUGHT


def _before_thought(text: str) -> str:
    found = _OPENED.search(text)
    return text[: found.start()] if found else text


def _header(anchor: str) -> str:
    """Return the part of an anchor from its last mark on, such as `<|im_start|>assistant`."""
    return anchor[max(anchor.rfind("<"), anchor.rfind("["), 0) :].strip()


def _without(call: CallForm, opening: str) -> CallForm:
    if call.opening.startswith(opening):
        return replace(call, opening=call.opening.removeprefix(opening))
    before = (call.opening + call.before).removeprefix(opening)
    # A further call has what the first one shares with the opening.
    shared = call.before.removesuffix(before)
    joint = None if call.joint is None else call.joint + shared
    return replace(call, opening="", before=before, joint=joint)


def _without_thought(text: str) -> str:
    """Leave out an empty thought, which the parser knows by itself."""
    return re.sub(r"\s*<([\w:|]*)think([\w:]*)>\s*</\1think\2>\s*|<\|END_THINKING\|>", "", text)
