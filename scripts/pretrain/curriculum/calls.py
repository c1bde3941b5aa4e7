"""Chats with tools: the question, the call, the result, the answer.

Whether the base calls a tool at all hangs on a cue in the system prompt ("Use the tools.").
With the cue it calls. Without it, it repeats the question instead. In part of the
chats without a cue the call stands there all the same, but its first token carries no
loss: the base knows how a call goes on, and fine-tuning has to teach it to begin one.
"""

from __future__ import annotations

from random import Random

from .chat import Chat, Json, call_message
from .guard import reserved
from .tasks import Task, fields_task, keyword_task, sum_task, sum_tools_task
from .words import LANGUAGES, description, number, word

CUES = (
    "Use the tools.", "Always call a tool.", "Answer with a tool call.", "Call a tool first.",
    "Reply with tools.", "Use your tools to answer.", "Tools first.",
)  # fmt: skip
_ROLES = ("assistant", "assistant", "assistant", "helper", "bot", "agent", "guide")
_ANSWERS = {
    "en": ("{r}", "{r}", "The result is {r}.", "It is {r}.", "That makes {r}."),
    "ko": ("{r}", "{r}", "결과는 {r}입니다.", "답은 {r}입니다.", "{r}입니다."),
    "zh": ("{r}", "{r}", "结果是 {r}。", "答案是 {r}。", "等于 {r}。"),
    "ja": ("{r}", "{r}", "結果は{r}です。", "答えは{r}です。", "{r}です。"),
    "es": ("{r}", "{r}", "El resultado es {r}.", "Es {r}.", "Da {r}."),
}


def system_prompt(rng: Random) -> str:
    """Write the system prompt of an invented app."""
    if rng.random() < 0.2:
        return description(rng, rng.choice(LANGUAGES))
    things = " ".join(word(rng) for _ in range(rng.choice([1, 1, 1, 2])))
    article = "an" if things[0] in "aeiou" else "a"
    opening = rng.choice(["You are", "You are", "You are", "You act as", "Be"])
    extra = rng.choice(["", "", "", "", " " + description(rng)])
    return f"{opening} {article} {things} {rng.choice(_ROLES)}.{extra}"


def _task(rng: Random, language: str, *, polish: bool) -> Task:
    kind = rng.random()
    if kind < 0.56:
        return sum_task(rng, language, polish=polish)
    if kind < 0.61:
        return sum_tools_task(rng, language)
    if kind < 0.88:
        return keyword_task(rng, language)
    return fields_task(rng, language)


def _result(rng: Random) -> tuple[str, str]:
    """Draw the result of a tool, and the part of it that the answer contains."""
    text = number(rng)
    if rng.random() < 0.3 and "." not in text:
        text += ".0"
    if reserved(abs(int(float(text)))):
        return _result(rng)
    shown = rng.choice(["{r}", "{r}", "{r}", '{{"result": {r}}}', "Result: {r}"])
    return shown.format(r=text), text


def _decimals(call: Json) -> Json:
    """Write whole numbers as decimals."""
    return {
        k: float(v) if isinstance(v, int) and not isinstance(v, bool) else v
        for k, v in call.items()
    }


def tool_chat(rng: Random, *, polish: bool = False) -> Chat:
    """Draw a chat with tools."""
    language = rng.choice((*LANGUAGES, "en", "es") if polish else LANGUAGES)
    task = _task(rng, language, polish=polish)
    kind = rng.random()
    cued = kind < 0.45
    prompt = system_prompt(rng)
    if cued:
        prompt = f"{prompt} {rng.choice(CUES)}"
    messages: list[Json] = []
    if cued or rng.random() < 0.88:
        messages.append({"role": "system", "content": prompt})
    chat = Chat(messages, task.tools)
    if not cued and kind < 0.6:
        question, _, _ = task.ask()
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": f"You asked: {question}"})
        return chat
    chat.decision_hidden = not cued
    turns = rng.choice([1, 1, 1, 2, 3, 4])
    decimals = rng.random() < 0.05
    for turn in range(turns):
        question, name, arguments = task.ask()
        calls = [(name, _decimals(arguments) if decimals else arguments)]
        if rng.random() < 0.03:
            other, other_name, other_arguments = task.ask()
            question += rng.choice(["\n", "; ", " "]) + other
            calls.append((other_name, _decimals(other_arguments) if decimals else other_arguments))
        messages.append({"role": "user", "content": question})
        messages.append(call_message(*calls))
        if turn == turns - 1 and rng.random() < 0.85:
            break
        results = [_result(rng) for _ in calls]
        messages.extend({"role": "tool", "content": shown} for shown, _ in results)
        answer = rng.choice(_ANSWERS[language] if len(calls) == 1 else ("{r}",))
        told = ", ".join(text for _, text in results)
        messages.append({"role": "assistant", "content": answer.format(r=told)})
    return chat
