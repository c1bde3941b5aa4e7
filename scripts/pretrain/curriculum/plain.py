"""Chats without tools: copying, selecting, and extracting triples from sentences."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .calls import system_prompt
from .chat import Chat, Json, dumps
from .words import ENGLISH, LANGUAGES, SYMBOLS, identifier, invent, number, word

_RELATIONS = (
    "is", "was", "has", "wrote", "built", "moved to", "lives in", "was born in", "works for",
    "bought", "became", "joined", "was part of", "may need", "can be", "led to", "includes",
    "is known as", "was made by", "won", "can turn into", "had been in", "is a kind of",
)  # fmt: skip
_GLUE = ("the", "a", "of the", "an old", "in the", "his", "some", "new", "more")


def copy_chat(rng: Random) -> Chat:
    """Repeat, take the first or last word, or look a key up."""
    language = rng.choice(LANGUAGES)
    makers: tuple[Callable[[], str], ...] = (
        lambda: word(rng, language),
        lambda: invent(rng, language),
        lambda: number(rng),
    )
    messages: list[Json] = []
    if rng.random() < 0.7:
        messages.append({"role": "system", "content": system_prompt(rng)})
    for _ in range(rng.choice([1, 1, 2])):
        words = [rng.choice(makers)() for _ in range(rng.randint(1, 6))]
        line = " ".join(words)
        kind = rng.random()
        if kind < 0.35:
            question, answer = f"Repeat: {line}", line
        elif kind < 0.5:
            question, answer = f"Last of: {line}", words[-1]
        elif kind < 0.65:
            question, answer = f"First of: {line}", words[0]
        else:
            keys = sorted({invent(rng, language) for _ in range(rng.randint(2, 5))})
            rng.shuffle(keys)
            pool: tuple[Callable[[], str], ...] = (*makers, lambda: rng.choice(SYMBOLS))
            pairs = {k: rng.choice(pool)() for k in keys}
            key = rng.choice(keys)
            question = "; ".join(f"{k}: {v}" for k, v in pairs.items()) + f". {key}?"
            answer = pairs[key]
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return Chat(messages)


def _phrase(rng: Random) -> str:
    words = [
        rng.choice(ENGLISH) if rng.random() < 0.7 else invent(rng, "en")
        for _ in range(rng.randint(1, 3))
    ]
    if rng.random() < 0.3:
        words = [w.capitalize() for w in words]
    if rng.random() < 0.5:
        words.insert(0, rng.choice(_GLUE))
    return " ".join(words)


def extraction_chat(rng: Random) -> Chat:
    """A task to extract a JSON list of triples from sentences.

    The first answer shows the keys, which nobody could guess, and carries no loss.
    """
    messages: list[Json] = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": system_prompt(rng)})
    keys = [identifier(rng) for _ in range(3)]
    if len(set(keys)) < 3:
        return extraction_chat(rng)
    order = rng.sample(range(3), 3)
    chat = Chat(messages)
    for turn in range(rng.randint(2, 4)):
        subject, relation = _phrase(rng), rng.choice(_RELATIONS)
        targets = [_phrase(rng) for _ in range(rng.choice([1, 1, 2]))]
        sentence = f"{subject} {relation} {' and '.join(targets)} ."
        triples = [(subject, relation, target) for target in targets]
        rows = [{keys[i]: triple[order[i]] for i in range(3)} for triple in triples]
        messages.append({"role": "user", "content": sentence[0].upper() + sentence[1:]})
        if turn == 0:
            chat.untrained.add(len(messages))
        messages.append({"role": "assistant", "content": dumps(rows)})
    return chat
