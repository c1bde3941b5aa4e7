"""Reads the calls that a model has written, by the form of its template."""

import ast
import json
import re
from typing import Any

from langchain_finetune.local.templates.call_form import (
    ID,
    INDEX,
    NAME,
    CallForm,
    FieldArguments,
    JsonArguments,
)

ReadCall = tuple[str, Any]
"""A name, and arguments: for a sound call an object."""

_NAME = r"(?P<name>[\w.:/-]+?)"
_MARK = re.compile(r"<[^<>\s{}\"]+>|\[/?[A-Z_]+\]")
"""What sets a part of an answer off: a special token, or what looks like one."""

_DECODER = json.JSONDecoder(strict=False)


def pattern_of(text: str) -> str:
    """Return a form's text as a pattern; white space in it may be any, or none.

    Example:
        >>> pattern_of("a b").replace(chr(92), "/")
        'a/s*b'
    """
    parts = []
    for part in re.split(rf"(\s+|[{ID}{INDEX}{NAME}])", text):
        if part in (ID, INDEX, NAME):
            parts.append({ID: r"[\w-]*", INDEX: r"\d*", NAME: r"(?P=name)"}[part])
        elif part:
            parts.append(re.escape(part) if part.strip() else r"\s*")
    return "".join(parts)


class CallReader:
    """Reads calls in a form.

    `start` is a pattern of what calls begin with; `end` of what they end with, which is empty where
    they go on to the end of the answer.
    """

    def __init__(self, form: CallForm) -> None:
        self._form = form
        self._keys = _json_keys(form)
        opening = (form.opening + form.before).lstrip()
        # Without a mark, a call is known by all that stands around its name.
        self._mark = pattern_of(_first_mark(opening))
        self.start = self._mark or (
            pattern_of(opening) + r"[\w.:/-]+?" + pattern_of(_through_mark(form.between))
        )
        ends = _MARK.findall(form.closing) or _MARK.findall(form.after)
        self.end = pattern_of(ends[-1]) if ends else ""

    def read(self, text: str) -> list[ReadCall] | None:
        """Return the calls in a text, which begins with `start`; None if they are malformed."""
        try:
            if self._keys:
                return self._from_json(text)
            return self._in_turn(text)
        except (ValueError, SyntaxError, RecursionError):
            return None

    def read_all(self, answer: str) -> list[ReadCall] | None:
        """Return all calls in an answer; None if some are malformed."""
        calls: list[ReadCall] = []
        while found := re.search(self.start, answer):
            end = re.compile(self.end).search(answer, found.end()) if self.end else None
            stop = end.end() if end else len(answer)
            read = self.read(answer[found.start() : stop])
            if read is None:
                return None
            calls += read
            answer = answer[stop:]
        return calls

    def _from_json(self, text: str) -> list[ReadCall] | None:
        """Read whole objects: a model may write their fields in another order."""
        assert self._keys
        name, arguments = self._keys
        calls: list[ReadCall] = []
        mark = re.match(self._mark, text)
        place = mark.end() if mark else 0
        while (begin := re.compile(r"[\[{]").search(text, place)) is not None:
            value, place = _DECODER.raw_decode(text, begin.start())
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, dict):
                    return None
                if name is None:
                    calls += each.items()
                elif name in each:
                    calls.append((each[name], each.get(arguments, each.get("arguments"))))
                else:
                    return None
        return calls or None

    def _in_turn(self, text: str) -> list[ReadCall] | None:
        form, calls, place = self._form, [], 0
        opening = re.compile(pattern_of(form.opening))
        if opened := opening.match(text):
            place = opened.end()
        head = re.compile(rf"\s*{pattern_of(form.before.lstrip())}{_NAME}{_head(form)}")
        joint = re.compile(r"\s*" + pattern_of((form.joint or "").strip()))
        tail = re.compile(r"\s*" + pattern_of(form.after.strip()))
        while found := head.match(text, place):
            place = found.end()
            if isinstance(form.arguments, JsonArguments):
                arguments, place = _json_at(text, place)
            else:
                arguments, place = _fields_at(form, text, place)
            calls.append((found["name"], arguments))
            if closed := tail.match(text, place):
                place = closed.end()
            if joined := joint.match(text, place):
                place = joined.end()
        return calls or None


def _head(form: CallForm) -> str:
    between = pattern_of(form.between)
    # An empty call may lack the white space, so a name must end somewhere.
    return between or r"(?![\w.:/-])"


def _json_at(text: str, place: int) -> tuple[Any, int]:
    begin = re.compile(r"\s*").match(text, place)
    assert begin
    return _DECODER.raw_decode(text, begin.end())


def _fields_at(form: CallForm, text: str, place: int) -> tuple[dict[str, Any], int]:
    fields = form.arguments
    assert isinstance(fields, FieldArguments)
    prefix = "|".join(
        sorted({pattern_of(each) for each in fields.prefixes.values()}, key=len)[::-1]
    )
    separator = r"\s*" + pattern_of(fields.separator.strip())
    key = re.compile(rf"\s*{pattern_of(fields.opening.lstrip())}(?P<key>[\w.$-]+)(?:{prefix})")
    found: dict[str, Any] = {}
    while entry := key.match(text, place):
        found[entry["key"]], place = _value_at(form, fields, text, entry.end())
        if between := re.compile(separator).match(text, place):
            place = between.end()
    return found, place


def _value_at(form: CallForm, fields: FieldArguments, text: str, place: int) -> tuple[Any, int]:
    opened, closed = fields.quotes
    close = pattern_of(fields.closing)
    if opened and text.startswith(opened, place):
        # The quote may stand in the text, too; what ends it is followed by the next thing.
        follows = pattern_of(fields.separator.strip()) or close
        after = rf"(?=\s*(?:{follows}|{pattern_of(form.after.strip())}))"
        inside = r"(?:[^\\]|\\.)*?" if fields.escapes else ".*?"
        ending = re.compile(rf"(?P<value>{inside}){re.escape(closed)}{after}{close}", re.DOTALL)
        if not (match := ending.match(text, place + len(opened))):
            raise ValueError
        value = match["value"]
        return _unescaped(value) if fields.escapes else value, match.end()
    if opened:
        value, place = _bare_at(fields, text, place)
        if closing := re.compile(close).match(text, place):
            place = closing.end()
        return value, place
    if not (match := re.compile(rf"(?P<value>.*?){close}", re.DOTALL).match(text, place)):
        raise ValueError
    return _literal(match["value"], fields), match.end()


def _unescaped(text: str) -> str:
    escapes = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), text)


def _bare_at(fields: FieldArguments, text: str, place: int) -> tuple[Any, int]:
    """Read a value that is not text: a bracket that is balanced, or up to the next separator."""
    depth, begin = 0, place
    while place < len(text):
        for opened, closed in (fields.quotes, ('"', '"'), ("'", "'")):
            if depth and text.startswith(opened, place):
                place = text.index(closed, place + len(opened)) + len(closed) - 1
                break
        else:
            letter = text[place]
            if letter in "[{(":
                depth += 1
            elif depth and letter in "]})":
                depth -= 1
                if not depth:
                    place += 1
                    break
            elif not depth and letter in ",)}]<":
                break
        place += 1
    raw = text[begin:place]
    if fields.nested == "own" and raw[:1] in "[{":
        return _own(raw, fields), place
    return _literal(raw, fields), place


def _own(raw: str, fields: FieldArguments) -> Any:
    """Read a value whose texts stand between quotes of the form's own, and whose keys in none."""
    opened, closed = fields.quotes
    parts = re.split(f"{re.escape(opened)}(.*?){re.escape(closed)}", raw, flags=re.DOTALL)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = json.dumps(part)
        else:
            keyed = re.sub(r"(?<=[{,])\s*([\w.$-]+)\s*:", r'"\1":', part)
            parts[place] = re.sub(r"\bNone\b", "null", keyed)
    return json.loads("".join(parts))


def _literal(raw: str, fields: FieldArguments) -> Any:
    """Return a written value; a text where the schema of the tool has to say what it is."""
    stripped = raw.strip()
    if stripped[:1] in ("[", "{"):
        try:
            return json.loads(stripped)
        except ValueError:
            if fields.nested == "python":
                try:
                    return ast.literal_eval(stripped)
                except (ValueError, SyntaxError):
                    return raw
    return raw


def _first_mark(text: str) -> str:
    """Return a text up to the end of the mark that it begins with; nothing if it begins with none.

    Example:
        >>> _first_mark('<tool_call>{"name": "')
        '<tool_call>'
    """
    found = _MARK.match(text)
    return found.group() if found else ""


def _through_mark(text: str) -> str:
    found = _MARK.search(text)
    return text[: found.end()] if found else text


def _json_keys(form: CallForm) -> tuple[str | None, str] | None:
    """Return the keys of name and arguments where calls are whole JSON objects.

    The first is None where the name is itself the key of the arguments.
    """
    if not isinstance(form.arguments, JsonArguments) or "{" not in form.before:
        return None
    if re.search(r'\{\s*"$', form.before):
        return None, ""
    name = re.search(r'"(\w+)"\s*:\s*"$', form.before)
    arguments = re.search(r'"(\w+)"\s*:\s*$', form.between)
    return (name[1], arguments[1]) if name and arguments else None
