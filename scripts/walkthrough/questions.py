"""The questions of the calculator walkthrough, in five languages."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LANGUAGES = ("en", "ko", "zh", "ja", "es")

EXPRESSIONS = (
    "45/9 81/9 72/8 56/7 36/6 64/8 12*6 8*8 10*10 11*11 13*13 "
    "45+30 72+28 56+44 63+37 70-35 60-30 50-25 40-20 30-15"
).split()


@dataclass(frozen=True)
class Question:
    """A question and the call that answers it."""

    language: str
    text: str
    num1: int
    operation: str
    num2: int


def _object_particle(number: int) -> str:
    """Korean: the particle depends on how the last digit is spoken."""
    return "를" if str(number)[-1] in "2459" else "을"


def _means_particle(number: int) -> str:
    return "로" if str(number)[-1] in "1245789" else "으로"


def _topic_particle(number: int) -> str:
    return "는" if str(number)[-1] in "2459" else "은"


def _korean(a: int, operation: str, b: int) -> str:
    if operation == "/":
        return f"{a}{_object_particle(a)} {b}{_means_particle(b)} 나누면?"
    word = {"*": "곱하기", "+": "더하기", "-": "빼기"}[operation]
    return f"{a} {word} {b}{_topic_particle(b)}?"


def _chinese(a: int, operation: str, b: int) -> str:
    word = {"/": "除以", "*": "乘以", "+": "加上", "-": "减去"}[operation]
    return f"{a} {word} {b} 等于多少？"


def _japanese(a: int, operation: str, b: int) -> str:
    word = {"/": "割る", "*": "かける", "+": "足す", "-": "引く"}[operation]
    return f"{a}{word}{b}は？"


def _spanish(a: int, operation: str, b: int) -> str:
    word = {"/": "dividido entre", "*": "por", "+": "más", "-": "menos"}[operation]
    return f"¿Cuánto es {a} {word} {b}?"


WORDINGS: dict[str, Callable[[int, str, int], str]] = {
    "en": lambda a, operation, b: f"What's {a}{operation}{b}?",
    "ko": _korean,
    "zh": _chinese,
    "ja": _japanese,
    "es": _spanish,
}
"""Wordings of the app's users."""

UNSEEN: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "/": ("Divide {a} by {b}.", "How much is {a} divided by {b}?", "Compute {a} / {b}"),
        "*": ("Multiply {a} by {b}.", "How much is {a} times {b}?", "Compute {a} * {b}"),
        "+": ("Add {a} and {b}.", "How much is {a} plus {b}?", "Compute {a} + {b}"),
        "-": ("Take {a} minus {b}.", "How much is {a} minus {b}?", "Compute {a} - {b}"),
    },
    "ko": {
        "/": ("{a} 나누기 {b}는 얼마예요?", "{a} 나누기 {b} 계산해 줘", "{a}/{b} 값을 알려줘"),
        "*": ("{a} 곱하기 {b}의 값은 얼마예요?", "{a} 곱하기 {b} 계산해 줘", "{a}*{b} 값을 알려줘"),
        "+": ("{a} 더하기 {b}의 값은 얼마예요?", "{a} 더하기 {b} 계산해 줘", "{a}+{b} 값을 알려줘"),
        "-": ("{a} 빼기 {b}의 값은 얼마예요?", "{a} 빼기 {b} 계산해 줘", "{a}-{b} 값을 알려줘"),
    },
    "zh": {
        "/": ("请计算 {a} 除以 {b}", "{a}除以{b}是多少？", "帮我算一下 {a}/{b}"),
        "*": ("请计算 {a} 乘以 {b}", "{a}乘以{b}是多少？", "帮我算一下 {a}*{b}"),
        "+": ("请计算 {a} 加 {b}", "{a}加{b}是多少？", "帮我算一下 {a}+{b}"),
        "-": ("请计算 {a} 减 {b}", "{a}减{b}是多少？", "帮我算一下 {a}-{b}"),
    },
    "ja": {
        "/": ("{a}割る{b}を計算してください", "{a} 割る {b} の答えは？", "{a}/{b}を教えて"),
        "*": ("{a}かける{b}を計算してください", "{a} かける {b} の答えは？", "{a}*{b}を教えて"),
        "+": ("{a}足す{b}を計算してください", "{a} 足す {b} の答えは？", "{a}+{b}を教えて"),
        "-": ("{a}引く{b}を計算してください", "{a} 引く {b} の答えは？", "{a}-{b}を教えて"),
    },
    "es": {
        "/": (
            "Divide {a} entre {b}.",
            "Calcula {a} dividido entre {b}",
            "¿Cuál es el resultado de {a}/{b}?",
        ),
        "*": (
            "Multiplica {a} por {b}.",
            "Calcula {a} por {b}",
            "¿Cuál es el resultado de {a}*{b}?",
        ),
        "+": ("Suma {a} más {b}.", "Calcula {a} más {b}", "¿Cuál es el resultado de {a}+{b}?"),
        "-": ("Resta {a} menos {b}.", "Calcula {a} menos {b}", "¿Cuál es el resultado de {a}-{b}?"),
    },
}
"""Wordings that the app's users did not use: three per operation and language."""


def asked() -> list[Question]:
    """Return the questions of the app's users: twenty in each of five languages."""
    return [
        Question(language, WORDINGS[language](a, operation, b), a, operation, b)
        for language in LANGUAGES
        for a, operation, b in map(_parsed, EXPRESSIONS)
    ]


def held_out(per_language: int, seed: int = 0) -> list[Question]:
    """Return questions about numbers that are not in `asked`, in the same wordings."""
    return [
        Question(language, WORDINGS[language](a, operation, b), a, operation, b)
        for language, a, operation, b, _ in _drawn(per_language, seed)
    ]


def reworded(per_language: int, seed: int = 0) -> list[Question]:
    """Return questions about unseen numbers in wordings that are not in `asked`."""
    return [
        Question(language, wording.format(a=a, b=b), a, operation, b)
        for language, a, operation, b, draw in _drawn(per_language, seed)
        for wording in [UNSEEN[language][operation][draw % 3]]
    ]


def _drawn(per_language: int, seed: int) -> Iterator[tuple[str, int, str, int, int]]:
    used = {number for a, _, b in map(_parsed, EXPRESSIONS) for number in (a, b)}
    # The pretraining of `nano` keeps these out too (`scripts/pretrain/curriculum/guard.py`).
    fresh = [number for number in range(10, 100) if number % 7 == 3 and number not in used]
    draw = random.Random(seed)
    for language in LANGUAGES:
        for position in range(per_language):
            a, b = draw.choice(fresh), draw.choice(fresh)
            yield language, a, "/*+-"[position % 4], b, position // 4


def _parsed(expression: str) -> tuple[int, str, int]:
    operation = next(sign for sign in "/*+-" if sign in expression)
    a, b = expression.split(operation)
    return int(a), operation, int(b)
