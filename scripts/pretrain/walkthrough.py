"""The accounting app of the walkthrough, as the evaluation sees it.

Twenty sums in five languages are the fine-tuning set. Held-out questions have the same wordings
and other numbers: reserved ones, which neither pretraining nor fine-tuning has seen. `UNSEEN` are
wordings that the fine-tuning set does not have.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

from curriculum import arithmetic
from curriculum.arithmetic import particle
from curriculum.guard import EXPRESSIONS, PAIRS, SYSTEM_PROMPT, reserved
from curriculum.words import LANGUAGES
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from wordings import UNSEEN, WORDINGS

Tool = dict[str, Any]


class Operation(StrEnum):
    """What to do with two numbers."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"


class Calculator(BaseModel):
    """Perform a basic arithmetic operation on two numbers."""

    num1: float = Field(description="The first number.")
    num2: float = Field(description="The second number.")
    operation: Operation = Field(description="The operation to perform.")


HAND_WRITTEN: Tool = {
    "type": "function",
    "function": {
        "name": "Calculator",
        "description": "Calculator",
        "parameters": {
            "type": "object",
            "properties": {
                "num1": {"type": "number"},
                "num2": {"type": "number"},
                "operation": {"type": "string", "enum": ["+", "-", "*", "/"]},
            },
            "required": ["num1", "num2", "operation"],
        },
    },
}
TOOLS: dict[str, Tool] = {"pydantic": convert_to_openai_tool(Calculator), "hand": HAND_WRITTEN}


class Question(NamedTuple):
    """A question and the call that answers it."""

    language: str
    text: str
    num1: str
    operation: str
    num2: str


def fill(language: str, wording: str, a: str, operation: str, b: str) -> Question:
    """Put numbers into a wording."""
    text = re.sub(r"A(?![a-z])", a, wording)
    text = re.sub(r"B(?![a-z])", b, text).replace("O", operation)
    text = re.sub(r"(.)\^(으로|을|은|과|이)", lambda m: m[1] + particle(m[1], m[2]), text)
    return Question(language, text, a, operation, b)


def seen_numbers() -> set[str]:
    """Return the numbers of the fine-tuning set."""
    return {number for pair in PAIRS for number in pair}


def training_questions() -> list[Question]:
    """Return the hundred questions of the app."""
    parts = [re.findall(r"\d+|\D", e) for e in EXPRESSIONS]
    return [fill(name, WORDINGS[name][o], a, o, b) for name in LANGUAGES for a, o, b in parts]


def held_out(count: int, *, digits: int = 2, seed: int = 5) -> list[Question]:
    """Draw questions in the wordings of the app with reserved numbers.

    Args:
        count: Questions in each language.
        digits: Digits of the numbers.
        seed: Seed of the draw.
    """
    rng = Random(seed)
    span = range(10 ** (digits - 1), 10**digits)
    pool = [str(n) for n in span if reserved(n) and str(n) not in seen_numbers()]
    drawn: dict[Question, None] = {}
    for language in LANGUAGES:
        here = 0
        while here < count:
            operation = "+-*/"[here % 4]
            a, b = rng.choices(pool, k=2)
            question = fill(language, WORDINGS[language][operation], a, operation, b)
            here += question not in drawn
            drawn[question] = None
    return list(drawn)


def unseen_wordings(seed: int = 6) -> list[Question]:
    """Draw each unseen wording twice, with reserved numbers."""
    rng = Random(seed)
    pool = [str(n) for n in range(10, 100) if reserved(n) and str(n) not in seen_numbers()]
    return [
        fill(language, wording, *_pair(rng, pool, operation))
        for language, table in UNSEEN.items()
        for operation, wordings in table.items()
        for wording in wordings
        for _ in range(2)
    ]


def known_wordings(questions: list[Question], draws: int = 400_000) -> set[Question]:
    """Find the questions whose wording the curriculum may have had, with other numbers.

    Case, spaces and punctuation do not count.
    """
    rng = Random(8)
    names = dict(zip("+-*/", arithmetic.MAIN, strict=True))
    drawn: dict[tuple[str, str], set[str]] = {}
    for language in LANGUAGES:
        for sign, name in names.items():
            drawn[language, sign] = {
                _bare(arithmetic.ask(rng, language, name, "72", "18")) for _ in range(draws // 20)
            }
    return {q for q in questions if _bare(_renumbered(q)) in drawn[q.language, q.operation]}


def _renumbered(question: Question) -> str:
    return question.text.replace(question.num1, "72").replace(question.num2, "18")


def _bare(text: str) -> str:
    return re.sub(r"[^\w+*/-]|은|는|을|를|과|와", "", text.lower())


def _pair(rng: Random, pool: list[str], operation: str) -> tuple[str, str, str]:
    a, b = rng.sample(pool, 2)
    return a, operation, b


def example(question: Question, tool: Tool, *, legacy: bool = False) -> dict[str, Any]:
    """Write a training example in OpenAI's format, as the app's trace would give it."""
    arguments: dict[str, Any] = {
        "num1": int(question.num1), "num2": int(question.num2), "operation": question.operation,
    }  # fmt: skip
    call = {"name": "Calculator", "arguments": json.dumps(arguments)}
    answer: dict[str, Any] = {"role": "assistant", "content": None}
    if legacy:
        answer["function_call"] = call
    else:
        answer["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": question.text},
        answer,
    ]
    if legacy:
        return {"messages": messages, "functions": [tool["function"]]}
    return {"messages": messages, "tools": [tool]}
