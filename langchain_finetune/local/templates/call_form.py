r"""How a chat template writes tool calls, found by rendering invented ones.

A form is text around a name and its arguments: `<tool_call>\n{"name": "` name `", "arguments": `
arguments `}\n</tool_call>`. Training, forced answers and the parser all go by it, so that a model
is asked for, and read in, the form that it was trained in, whatever its family.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from langchain_finetune.local.templates.template_probe import calling
from langchain_finetune.local.templates.turns import common_start, shared_start

ID, INDEX, NAME = "\ue000", "\ue001", "\ue002"
"""Stand in a form's texts for an id, for a running number, and for the name once more."""

NAMES = ("first_name", "second_name")
_SAMPLE: dict[str, Any] = {"keya": "välu/e", "keyb": 5, "keyc": [1, "x"], "keyd": {"k": True}}
_NINE_DIGITS = re.compile(r"(?<!\d)0000000\d\d(?!\d)")
_SEPARATORS = ((", ", ": "), (",", ":"))
_TYPES: dict[str, Any] = {
    "string": "valuea",
    "number": 7541,
    "boolean": True,
    "null": None,
    "array": ["itema", True],
    "object": {"keyo": "itemo"},
}


@dataclass(frozen=True)
class JsonArguments:
    """Arguments written as a JSON object, with these texts between items, and after a key."""

    item: str
    key: str


@dataclass(frozen=True)
class FieldArguments:
    """Arguments written one by one: `opening` key `prefixes[type]` value `closing`.

    `separator` stands between two. A text stands between `quotes`, which are often empty; with
    `escapes`, a backslash stands before a quote, or a backslash, in it. `words` has what is written
    for true, false and null. Arrays and objects are written as `nested`: "json", "python" or
    "own", which is this form again. Some templates put the keys in order: `sorted`.
    """

    opening: str
    prefixes: dict[str, str]
    closing: str
    separator: str
    quotes: tuple[str, str]
    escapes: bool
    words: tuple[str, str, str]
    nested: str
    sorted: bool


@dataclass(frozen=True)
class CallForm:
    """Calls are `opening`, then each `before` name `between` arguments `after`, then `closing`.

    `joint` stands between two calls; None where there can be one only.
    """

    opening: str
    before: str
    between: str
    arguments: JsonArguments | FieldArguments
    after: str
    joint: str | None
    closing: str

    @property
    def closings(self) -> list[str]:
        """What ends all calls, or a text in an argument that JSON's quotes are not around."""
        fields = self.arguments
        texts = [] if isinstance(fields, JsonArguments) else [fields.quotes[1], fields.closing]
        # White space before a mark may have been written by then.
        return [text for text in (self.closing, self.closing.lstrip(), *texts) if text]


Written = Callable[[dict[str, Any]], str]
"""Renders an invented answer; nothing where the template rejects it."""


def find_call_form(written: Written, ends: list[str], *, one_call: bool) -> CallForm | None:
    """Find the form of calls in what a template writes; `ends` has the texts that end answers."""

    def text_of(*calls: tuple[str, dict[str, Any]]) -> str:
        return _NINE_DIGITS.sub(ID, _until_end(written(calling(*calls)), ends))

    single = text_of((NAMES[0], _SAMPLE))
    before, found, _ = single.partition(NAMES[0])
    if not found:
        return None
    form = _json_form(single, before) or _field_form(text_of)
    if form is None or not form.opening.strip():
        return None
    if one_call:
        return replace(form, opening="", before=form.opening, after=form.closing, closing="")
    sample = _SAMPLE if isinstance(form.arguments, JsonArguments) else {"keya": 7541}
    double = text_of((NAMES[0], sample), (NAMES[1], sample))
    return _with_joint(form, text_of((NAMES[0], sample)), double)


def _json_form(text: str, before: str) -> CallForm | None:
    for item, key in _SEPARATORS:
        for ascii_only in (False, True):
            written = json.dumps(_SAMPLE, separators=(item, key), ensure_ascii=ascii_only)
            head, found, after = text.partition(written)
            if found and len(head) > len(before):
                between = head[len(before) + len(NAMES[0]) :].replace(NAMES[0], NAME)
                return CallForm(before, "", between, JsonArguments(item, key), "", None, after)
    return None


def _field_form(written: Callable[..., str]) -> CallForm | None:
    def text_of(arguments: dict[str, Any]) -> str:
        return written((NAMES[0], arguments))

    two = _split(text_of({"keya": 7541, "keyb": 7542}), NAMES[0], "keya", "7541", "keyb", "7542")
    if two is None:
        return None
    before, head, prefix, middle, again, tail = two
    if prefix != again:
        return None
    opening = _common_end(head, middle)
    middle = middle.removesuffix(opening)
    closing = shared_start(middle, tail)
    separator = middle.removeprefix(closing)
    head = head.removesuffix(opening)
    tail = tail.removeprefix(closing)
    start = f"{before}{NAMES[0]}{head}{opening}keya"
    shown = {}
    for kind, value in _TYPES.items():
        text = text_of({"keya": value})
        if not text.startswith(start) or not text.endswith(closing + tail):
            # Such as a null that the template leaves out.
            continue
        shown[kind] = text[len(start) : len(text) - len(closing + tail)]
    if not {"string", "number", "boolean", "array"} <= shown.keys():
        return None
    string = _split(shown["string"], "valuea")
    boolean = re.search("true", shown["boolean"], re.IGNORECASE)
    if string is None or boolean is None:
        return None
    quotes, prefixes = _quotes(shown["number"].removesuffix("7541"), *string)
    null = re.search("(null|none)$", shown.get("null", "null"), re.IGNORECASE)
    words = ("True", "False") if boolean.group() == "True" else ("true", "false")
    ordered = text_of({"keyb": 1, "keya": 2})
    fields = FieldArguments(
        opening,
        {
            **prefixes,
            "boolean": shown["boolean"][: boolean.start()],
            "null": shown["null"][: null.start()] if null and "null" in shown else prefix,
            "array": shown["array"].partition("[")[0],
            "object": shown.get("object", "{").partition("{")[0]
            or shown["array"].partition("[")[0],
        },
        closing,
        separator,
        quotes,
        f"\\{quotes[1]}" in text_of({"keya": f"a{quotes[1]}a"}) if quotes[1] else False,
        (*words, null.group() if null else "null"),
        _nesting(shown["array"], quotes),
        sorted=ordered.find("keya") < ordered.find("keyb"),
    )
    if fields.nested == "unknown":
        return None
    between = head.replace(NAMES[0], NAME)
    return CallForm(before, "", between, fields, "", None, tail)


def _quotes(number: str, before: str, after: str) -> tuple[tuple[str, str], dict[str, str]]:
    """Return what stands around texts, and what stands before texts and numbers."""
    if after and before.startswith(number):
        return (before.removeprefix(number), after), {"string": number, "number": number}
    return ("", ""), {"string": before, "number": number}


def _nesting(array: str, quotes: tuple[str, str]) -> str:
    text = array[array.find("[") :]
    if re.fullmatch(r'\["itema", ?true\]', text):
        return "json"
    if text == "['itema', True]":
        return "python"
    if re.fullmatch(re.escape(f"[{quotes[0]}itema{quotes[1]},") + r" ?true\]", text) and quotes[0]:
        return "own"
    return "unknown"


def _with_joint(form: CallForm, alone: str, double: str) -> CallForm | None:
    """Split what stands around two calls into what each has, and what both have together."""
    body_at = len(form.opening)
    body = alone[body_at + len(NAMES[0]) : len(alone) - len(form.closing)]
    before, _, rest = double.partition(NAMES[0])
    joint, _, rest = rest.partition(NAMES[1])
    between = form.between.replace(NAME, NAMES[0])
    first, second = body, body.replace(NAMES[0], NAMES[1])
    if before != form.opening:
        return None
    for low in (None, 0, 1):
        if low is None:
            expected = second
        else:
            # A running number between name and arguments.
            form = replace(form, between=_numbered(between, low).replace(NAMES[0], NAME))
            expected = _numbered(second, low).replace(INDEX, str(low + 1), 1)
        if joint.startswith(first) and rest.startswith(expected):
            break
    else:
        return None
    joint, after = joint.removeprefix(first), rest.removeprefix(expected)
    before, joint, after = _with_indexes(before, joint, after)
    each = _common_end(before, joint)
    joint = joint.removesuffix(each)
    close = shared_start(joint, after)
    return replace(
        form,
        opening=before.removesuffix(each),
        before=each,
        after=close,
        joint=joint.removeprefix(close),
        closing=after.removeprefix(close),
    )


def _with_indexes(before: str, joint: str, after: str) -> tuple[str, str, str]:
    """Find running numbers before names: they are what makes two calls differ."""
    for low in (0, 1):
        found = _numbered(before, low), _numbered(joint, low + 1), after
        if len(_common_end(found[0], found[1])) > len(_common_end(before, joint)):
            return found
    return before, joint, after


def _numbered(text: str, number: int) -> str:
    return re.sub(rf"(?<!\d){number}(?!\d)", INDEX, text)


def _split(text: str, *marks: str) -> list[str] | None:
    """Return the parts of a text around marks that stand in it in this order."""
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found:
            return None
        parts.append(part)
    return [*parts, text]


def _common_end(one: str, other: str) -> str:
    """Return how two texts end alike, without the end of a mark at its beginning."""
    return re.sub(r"^[^<>\s\"]*>", "", common_start(one[::-1], other[::-1])[::-1])


def _until_end(text: str, ends: list[str]) -> str:
    """Return what comes before the token that ends the answer."""
    places = [place for end in ends if end and (place := text.find(end)) >= 0]
    return text[: min(places)] if places else text.rstrip()
