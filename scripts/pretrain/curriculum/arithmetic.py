"""Sums in five languages for invented tools.

The tools never are the walkthrough's one: `guard.violation` throws such a chat away. What
carries over is the meaning of words: that `除以` asks for whatever the schema calls division,
be it `/`, `÷`, `div` or `quotient`.
"""

from __future__ import annotations

import re
from random import Random

from . import frames_eastern as east
from . import frames_western as west
from .stories import COMMANDS, STORIES
from .words import word

MAIN = ("add", "sub", "mul", "div")
RARE = ("mod", "pow", "avg", "max", "min")

WRITTEN: dict[str, tuple[str, ...]] = {
    "add": ("+", "+", "+", "＋"),
    "sub": ("-", "-", "-", "−", "–"),
    "mul": ("*", "*", "×", "x", "·", "X"),
    "div": ("/", "/", "÷", ":"),
    "mod": ("%",),
    "pow": ("^", "**"),
}
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "symbol": {
        "add": ("+",), "sub": ("-",), "mul": ("*",), "div": ("/",), "mod": ("%",),
        "pow": ("^", "**"), "avg": ("~",), "max": (">",), "min": ("<",),
    },
    "print": {
        "add": ("+", "＋"), "sub": ("−", "-", "–"), "mul": ("×", "x", "·"), "div": ("÷", ":"),
        "mod": ("mod", "%"), "pow": ("^", "↑"), "avg": ("avg", "ø"), "max": ("max", "≥"),
        "min": ("min", "≤"),
    },
    "verb": {
        "add": ("add", "sum"), "sub": ("subtract", "take"), "mul": ("multiply", "times"),
        "div": ("divide", "split"), "mod": ("modulo", "remainder"), "pow": ("raise", "power"),
        "avg": ("average",), "max": ("maximum",), "min": ("minimum",),
    },
    "noun": {
        "add": ("addition", "sum", "plus"), "sub": ("subtraction", "difference", "minus"),
        "mul": ("multiplication", "product", "times"), "div": ("division", "quotient", "over"),
        "mod": ("remainder",), "pow": ("power",), "avg": ("mean",), "max": ("largest",),
        "min": ("smallest",),
    },
    "short": {
        "add": ("add", "plus"), "sub": ("sub", "minus"), "mul": ("mul", "mult"), "div": ("div",),
        "mod": ("mod",), "pow": ("pow",), "avg": ("avg",), "max": ("max",), "min": ("min",),
    },
    "local": {
        "add": ("더하기", "加", "足す", "suma", "más"),
        "sub": ("빼기", "减", "引く", "resta", "menos"),
        "mul": ("곱하기", "乘", "掛ける", "por", "producto"),
        "div": ("나누기", "除", "割る", "entre", "división"),
        "mod": ("나머지", "余", "resto"),
        "pow": ("제곱", "次方", "乗"),
        "avg": ("평균", "平均", "media"),
        "max": ("최대", "最大", "máximo"), "min": ("최소", "最小", "mínimo"),
    },
}  # fmt: skip


def enum_values(rng: Random) -> dict[str, str]:
    """Draw the operators of an invented tool, in random order.

    Returns:
        The value in the schema for each operator. Never all of `+ - * /`.
    """
    while True:
        style = rng.choice(["symbol"] * 9 + ["print", "print", "verb", "noun", "short", "local"])
        mixed = rng.random() < 0.3
        names = rng.sample(MAIN, rng.choice([2, 3, 3, 4, 4]))
        names += rng.sample(RARE, rng.choice([0, 0, 1, 1, 2]))
        rng.shuffle(names)
        styles = {
            n: rng.choice(list(VALUES)) if mixed and rng.random() < 0.5 else style for n in names
        }
        values = {n: rng.choice(VALUES[styles[n]][n]) for n in names}
        if rng.random() < 0.06:
            values = {n: v.upper() for n, v in values.items()}
        distinct = len(set(values.values())) == len(values)
        if distinct and not set("+-*/") <= set(values.values()):
            return values


def ask(  # noqa: PLR0917 - read like a sentence
    rng: Random, language: str, operator: str, a: str, b: str, written: str = ""
) -> str:
    """Ask for a sum in a natural sentence.

    Args:
        rng: Source of chance.
        language: One of the five language codes.
        operator: A key of the phrase tables.
        a: First operand.
        b: Second operand.
        written: An operator to write between the operands, in place of words.
    """
    if rng.random() < 0.07:
        unit = rng.choice(west.UNITS[language])
        a, b = a + unit, rng.choice([b, b + unit])
    text = _plain(rng, language, operator, a, b, written)
    if rng.random() < 0.15:
        text = rng.choice([*west.STARTS[language], word(rng, language) + " "]) + text
    if rng.random() < 0.1:
        text += rng.choice([*west.ENDS[language], " " + word(rng, language)])
    return text


def ask_polish(rng: Random, language: str, operator: str, a: str, b: str) -> str:
    """Ask for a sum by a command that opens the sentence, or by a story."""
    if language in COMMANDS and rng.random() < 0.75:
        table = west.EN_ACTIONS if language == "en" else west.ES_ACTIONS
        if rng.random() < 0.25:
            table = west.EN_EXPRESSIONS if language == "en" else west.ES_EXPRESSIONS
        phrase = _fill(rng.choice(table[operator]), a, b)
        text = rng.choice(COMMANDS[language]).replace("{x}", phrase)
        return text[0].upper() + text[1:]
    return _fill(rng.choice(STORIES[language][operator]), a, b)


def _plain(  # noqa: PLR0917
    rng: Random, language: str, operator: str, a: str, b: str, written: str
) -> str:
    if not written and operator in WRITTEN and rng.random() < 0.2:
        written = rng.choice(WRITTEN[operator])
    if not written:
        return _tidy(rng, language, _sentence(rng, language, operator, a, b))
    gap = rng.choice(["", " ", " "])
    frame = rng.choice(_asks(language))
    return _tidy(rng, language, frame.replace("{x}", f"{a}{gap}{written}{gap}{b}"))


def _fill(phrase: str, a: str, b: str) -> str:
    return re.sub("[AB](?!n)", lambda m: a if m[0] == "A" else b, phrase)


def _asks(language: str) -> tuple[str, ...]:
    return {
        "en": west.EN_ASK, "es": west.ES_ASK, "ko": east.KO_ASK, "zh": east.ZH_ASK,
        "ja": east.JA_ASK,
    }[language]  # fmt: skip


def _sentence(rng: Random, language: str, operator: str, a: str, b: str) -> str:
    """Draw a sentence that asks for the sum in words."""
    kind = rng.random()
    if language in ("en", "es"):
        english = language == "en"
        if kind < 0.6:
            table = west.EN_EXPRESSIONS if english else west.ES_EXPRESSIONS
            frame = rng.choice(west.EN_ASK if english else west.ES_ASK)
        else:
            table = west.EN_ACTIONS if english else west.ES_ACTIONS
            frame = rng.choice(west.EN_DO if english else west.ES_DO)
        return frame.replace("{x}", _fill(rng.choice(table[operator]), a, b))
    if language == "ko":
        start = rng.choice(east.KO_START)
        if kind < 0.5:
            phrase = _fill(rng.choice(east.KO_EXPRESSIONS[operator]), a, b)
            return start + rng.choice(east.KO_ASK).replace("{x}", phrase)
        if kind < 0.8:
            return (
                start + _fill(rng.choice(east.KO_IF[operator]), a, b) + rng.choice(east.KO_IF_END)
            )
        return (
            start
            + _fill(rng.choice(east.KO_REQUEST[operator]), a, b)
            + rng.choice(east.KO_REQUEST_END)
        )
    if language == "zh":
        phrase = _fill(rng.choice(east.ZH_EXPRESSIONS[operator]), a, b)
        return rng.choice(east.ZH_ASK).replace("{x}", phrase)
    start = rng.choice(east.JA_START)
    if kind < 0.5 or operator not in east.JA_VERBS:
        phrase = _fill(rng.choice(east.JA_EXPRESSIONS[operator]), a, b)
        return start + rng.choice(east.JA_ASK).replace("{x}", phrase)
    stem, (first, then, te) = rng.choice(east.JA_VERBS[operator])
    if kind < 0.82:
        phrase = stem + rng.choice([first, then])
        return start + _fill(phrase, a, b) + rng.choice(east.JA_IF_END)
    return start + _fill(stem + te, a, b) + rng.choice(east.JA_TE_END)


_PARTICLES = {
    "을": ("을", "를"),
    "은": ("은", "는"),
    "과": ("과", "와"),
    "이": ("이", "가"),
    "으로": ("으로", "로"),
}
_CLOSED_DIGITS, _LIQUID_DIGITS = "013678", "178"


def particle(before: str, name: str) -> str:
    """Choose the form of a Korean particle by the sound before it."""
    closed = before in _CLOSED_DIGITS
    liquid = before in _LIQUID_DIGITS
    if "가" <= before <= "힣":
        coda = (ord(before) - 0xAC00) % 28
        closed, liquid = coda != 0, coda == 8
    if name == "으로" and liquid:
        closed = False
    return _PARTICLES[name][0 if closed else 1]


def _tidy(rng: Random, language: str, text: str) -> str:
    """Fit particles, spaces and capitals to what was put in."""
    if language == "ko":
        wrong = rng.random() < 0.05
        text = re.sub(
            r"(.)\^(으로|을|은|과|이)",
            lambda m: m[1] + (rng.choice(_PARTICLES[m[2]]) if wrong else particle(m[1], m[2])),
            text,
        )
    if language in ("zh", "ja") and rng.random() < 0.3:
        text = re.sub(r"(?<=\d)(?=[^\d\s.。？?，、])|(?<=[^\d\s.])(?=\d)", " ", text)
    if language in ("en", "es") and rng.random() < 0.5:
        text = re.sub(r"^(\W*)([a-zé])", lambda m: m[1] + m[2].upper(), text)
    if rng.random() < 0.04:
        text = text.lower()
    return text
