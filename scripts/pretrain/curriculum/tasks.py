"""Tasks: an invented tool together with a way to ask for it.

A task can be asked again and again, with new numbers each time, so that one chat can
hold several questions about the same tools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from . import arithmetic
from .chat import Json
from .concepts import concept
from .schemas import Property, tool
from .words import ENGLISH, LANGUAGES, SYMBOLS, description, identifier, invent, number, word

Question = tuple[str, str, Json]
"""What the user writes, the tool to call, and its arguments."""


@dataclass
class Task:
    """One or more tools and a source of questions about them."""

    tools: list[Json]
    ask: Callable[[], Question]
    language: str


def value(text: str) -> int | float:
    """Read a number as JSON would."""
    return float(text) if "." in text else int(text)


def _names(rng: Random, count: int, operands: int) -> list[str]:
    """Draw different names, the operands often numbered or paired."""
    while True:
        names = [identifier(rng) for _ in range(count)]
        if operands == 2 and rng.random() < 0.5:
            base = rng.choice([word(rng), word(rng), rng.choice("abcdnpqxyv")])
            joint = rng.choice(["", "", "_"])
            ends = rng.choice([("1", "2"), ("1", "2"), ("a", "b"), ("A", "B"), ("x", "y")])
            names[:2] = [base + joint + end for end in ends]
        if len({n.lower() for n in names}) == count:
            return names


def _operator_tool(
    rng: Random, enum: list[str], text: str | None, language: str
) -> tuple[Json, list[str]]:
    """Write a tool of two numbers and an operator.

    Returns:
        The tool, and the names of the first number, the second number and the operator.
    """
    names = _names(rng, 3, 2)
    kind = rng.choice(["number", "number", "number", "integer"])
    properties = [Property(names[0], kind), Property(names[1], kind)]
    operator = Property(names[2], "string", enum, text)
    properties.insert(2 if rng.random() < 0.8 else rng.randint(0, 1), operator)
    return tool(rng, properties, language=language if rng.random() < 0.2 else "en"), names


def _arguments(definition: Json, given: dict[str, Any]) -> Json:
    """Put arguments in the order of the schema."""
    return {n: given[n] for n in definition["function"]["parameters"]["properties"] if n in given}


def sum_task(rng: Random, language: str, *, polish: bool = False) -> Task:
    """A tool of two numbers and an arithmetic operator, asked for in natural sentences.

    Args:
        rng: Source of chance.
        language: The language of most questions.
        polish: Ask half of the main operators by commands and stories.
    """
    values = arithmetic.enum_values(rng)
    text = None
    if rng.random() < 0.1:
        text = ", ".join(
            f"{v}: {rng.choice(arithmetic.VALUES['noun'][o])}" for o, v in values.items()
        )
    definition, (first, second, operator) = _operator_tool(
        rng, list(values.values()), text, language
    )

    def ask() -> Question:
        name = rng.choice(list(values))
        a, b = number(rng), number(rng)
        here = language if rng.random() < 0.85 else rng.choice(LANGUAGES)
        if polish and name in arithmetic.MAIN and rng.random() < 0.5:
            question = arithmetic.ask_polish(rng, language, name, a, b)
            given = {first: value(a), second: value(b), operator: values[name]}
            return question, definition["function"]["name"], _arguments(definition, given)
        as_is = values[name] if rng.random() < 0.12 and not values[name].isalpha() else ""
        question = arithmetic.ask(rng, here, name, a, b, as_is)
        given = {first: value(a), second: value(b), operator: values[name]}
        return question, definition["function"]["name"], _arguments(definition, given)

    return Task([definition], ask, language)


def sum_tools_task(rng: Random, language: str) -> Task:
    """Two or three tools, one for each arithmetic operator."""
    operators = rng.sample(arithmetic.MAIN, 2)
    style = rng.choice(["verb", "noun", "short"])
    names = {o: rng.choice(arithmetic.VALUES[style][o]) for o in operators}
    if len(set(names.values())) < len(names):
        return sum_tools_task(rng, language)
    first, second = _names(rng, 2, 2)
    definitions = [
        tool(
            rng,
            [Property(first, "number"), Property(second, "number")],
            name=names[o].capitalize() if style == "noun" else names[o],
            text=rng.choice([f"{o.capitalize()} two numbers.", description(rng)]),
        )
        for o in operators
    ]
    called = dict(zip(operators, (d["function"]["name"] for d in definitions), strict=True))

    def ask() -> Question:
        name = rng.choice(operators)
        a, b = number(rng), number(rng)
        question = arithmetic.ask(rng, language, name, a, b)
        return question, called[name], {first: value(a), second: value(b)}

    return Task(definitions, ask, language)


def _sentence(rng: Random, language: str, a: str, b: str, key: str) -> str:
    """Combine two numbers and a keyword in a random order."""
    gap = rng.choice(["", " "]) if language in ("zh", "ja") or not key[0].isalpha() else " "
    order = rng.choice(
        [f"{a}{gap}{key}{gap}{b}"] * 4 + [f"{key} {a} {b}", f"{a} {b} {key}", f"{key}: {a}, {b}"]
    )
    before = " ".join(word(rng, language) for _ in range(rng.choice([0, 0, 0, 1, 2])))
    after = " ".join(word(rng, language) for _ in range(rng.choice([0, 0, 0, 1, 2])))
    if language == "ko" and rng.random() < 0.4:
        order = rng.choice([f"{a}에 {b}를 {key}", f"{a}를 {b}로 {key}", f"{a}와 {b} {key}"])
    text = f"{before}{gap if before else ''}{order}{gap if after else ''}{after}"
    return text + rng.choice(["?", "", ".", "？" if language in ("zh", "ja") else "?"])


def keyword_task(rng: Random, language: str) -> Task:
    """A tool of two numbers and an enum that a key word in the question selects.

    The key word is the value itself, or a word with a fixed meaning, or an invented word that
    the description of the property explains.
    """
    kind = rng.random()
    text = None
    if kind < 0.35:
        pool: list[str] = (
            list(SYMBOLS) if rng.random() < 0.6 else [word(rng, language) for _ in range(6)]
        )
        enum = rng.sample(sorted(set(pool)), rng.randint(2, 5))
        keys = {v: v for v in enum}
    elif kind < 0.65:
        keys, enum = concept(rng, language)
    else:
        pool = list(SYMBOLS) if rng.random() < 0.6 else ENGLISH
        enum = rng.sample(pool, rng.randint(2, 4))
        words: set[str] = set()
        while len(words) < len(enum):
            words.add(invent(rng, language))
        keys = dict(zip(enum, sorted(words), strict=True))
        shape = rng.choice(["{k}: {v}", "{k} = {v}", "{v} {k}", "{k} -> {v}", "{v} ({k})"])
        text = ", ".join(shape.format(k=keys[v], v=v) for v in rng.sample(enum, len(enum)))
    definition, (first, second, operator) = _operator_tool(rng, enum, text, language)

    def ask() -> Question:
        a, b, chosen = number(rng), number(rng), rng.choice(enum)
        question = _sentence(rng, language, a, b, keys[chosen])
        given = {first: value(a), second: value(b), operator: chosen}
        return question, definition["function"]["name"], _arguments(definition, given)

    return Task([definition], ask, language)


def fields_task(rng: Random, language: str) -> Task:
    """One or two tools with one to four arguments of any type, whose values are in the question."""
    count = rng.choice([1, 1, 2])
    forms: list[tuple[Json, list[Property]]] = []
    for _ in range(count):
        size = rng.randint(1, 4)
        properties = [
            Property(n, rng.choice(["string", "string", "number", "integer", "boolean", "enum"]))
            for n in _names(rng, size, 0)
        ]
        for p in properties:
            if p.kind == "enum":
                p.kind, p.enum = "string", sorted({word(rng, language) for _ in range(3)})
        forms.append((tool(rng, properties, language=language), properties))
    if len({d["function"]["name"] for d, _ in forms}) < count:
        return fields_task(rng, language)

    def ask() -> Question:
        definition, properties = rng.choice(forms)
        given: Json = {}
        told = []
        shape = rng.choice(["{n}: {t}", "{n} = {t}", "{n} {t}"])
        for p in properties:
            given[p.name], shown = _field(rng, p, language)
            told.append(shape.format(n=p.name, t=shown))
        if rng.random() < 0.3:
            rng.shuffle(told)
        name = definition["function"]["name"]
        lead = rng.choice([f"{name}: ", f"Use {name} with ", f"{name}, ", f"Please {name} "])
        if count == 1 and len(properties) == 1 and rng.random() < 0.6:
            return str(shown) + rng.choice(["", "?", "."]), name, given
        if count == 1 and rng.random() < 0.6:
            lead = ""
        return lead + rng.choice([", ", "; ", " and "]).join(told), name, given

    return Task([d for d, _ in forms], ask, language)


def _field(rng: Random, p: Property, language: str) -> tuple[Any, str]:
    """Draw a value for a property, and how the question shows it."""
    if p.enum:
        chosen = rng.choice(p.enum)
        return chosen, chosen
    if p.kind == "boolean":
        flag = rng.random() < 0.5
        return flag, rng.choice([("yes", "true", "on") if flag else ("no", "false", "off")][0])
    if p.kind in ("number", "integer"):
        text = number(rng)
        while p.kind == "integer" and "." in text:
            text = number(rng)
        return value(text), text
    text = " ".join(word(rng, language) for _ in range(rng.choice([1, 1, 2, 3])))
    text = text.title() if rng.random() < 0.3 else text
    return text, text
