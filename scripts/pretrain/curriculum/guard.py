"""What the curriculum must not contain: the walkthrough of the package.

The walkthrough fine-tunes `nano` on chats of an accounting app and asks whether it learnt.
The answer would be worth nothing if the base had seen the app before. So the app's tool,
its property names, its set of operators, its system prompt, its questions and the wordings
of its questions are kept out, and so is a reserved seventh of the numbers, which
the evaluation draws its held-out questions from.
"""

from __future__ import annotations

import re
from itertools import pairwise

from .chat import Chat, Json

SYSTEM_PROMPT = "You are an accounting assistant."
TOOL_NAME = "calculator"
PROPERTIES = frozenset({"num1", "num2", "operation"})
OPERATORS = frozenset("+-*/")
EXPRESSIONS = (
    "45/9 81/9 72/8 56/7 36/6 64/8 12*6 8*8 10*10 11*11 13*13 "
    "45+30 72+28 56+44 63+37 70-35 60-30 50-25 40-20 30-15"
).split()
PAIRS = frozenset(tuple(re.findall(r"\d+", e)) for e in EXPRESSIONS)

_N = r"\d+(?:\.\d+)?"
WORDINGS = tuple(
    re.compile(pattern.replace("N", _N))
    for pattern in (
        r"^What's N[-+*/]N\?$",
        r"^N[을를] N(?:으로|로) 나누면\?$",
        r"^N에 N[을를] (?:더하면|곱하면)\?$",
        r"^N에서 N[을를] 빼면\?$",
        r"^N (?:더하기|빼기|곱하기|나누기) N(?:은|는)\?$",
        r"^N (?:除以|乘以|加上|减去) N 等于多少？$",
        r"^N ?(?:割る|かける|掛ける|足す|引く) ?Nは？$",
        r"^N[をにかと](?:ら)?N[をで](?:割る|かける|掛ける|足す|引く)と？$",
        r"^¿Cuánto es N (?:dividido entre|entre|por|más|menos) N\?$",
    )
)


def reserved(number: int) -> bool:
    """Return whether a number is reserved for the evaluation."""
    return 10 <= number <= 999 and number % 7 == 3


def _tool_violation(tool: Json) -> str | None:
    function = tool["function"]
    properties: Json = function["parameters"]["properties"]
    if TOOL_NAME in function["name"].lower():
        return "the name of the tool"
    if PROPERTIES & {name.lower() for name in properties}:
        return "a property of the tool"
    if any(set(p.get("enum", ())) >= OPERATORS for p in properties.values()):
        return "the operators of the tool"
    return None


def violation(chat: Chat) -> str | None:
    """Return what a chat contains of the walkthrough.

    Returns:
        A few words, or `None` for a chat that is clean.
    """
    for tool in chat.tools:
        found = _tool_violation(tool)
        if found:
            return found
    for message in chat.messages:
        content = str(message["content"])
        if message["role"] == "system" and "accounting" in content.lower():
            return "the system prompt"
        numbers = re.findall(r"\d+", content)
        if any(pair in PAIRS for pair in pairwise(numbers)):
            return "a question"
        if any(reserved(int(number)) for number in numbers if len(number) < 4):
            return "a reserved number"
        if message["role"] == "user" and any(w.match(content.strip()) for w in WORDINGS):
            return "a wording"
        for call in message.get("tool_calls", ()):
            values = re.findall(r"\d+", " ".join(map(str, call["function"]["arguments"].values())))
            if any(reserved(int(number)) for number in values if len(number) < 4):
                return "a reserved number"
    return None
