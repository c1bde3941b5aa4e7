"""Estimates of what answers will cost, before they are requested."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.tokens.count import Count
from langchain_finetune.convert.tokens.openai import openai_counter
from langchain_finetune.display.text import counted
from langchain_finetune.migration.journal import AnswerJournal, Key
from langchain_finetune.migration.prices import InferencePrice, dollars, unpriced
from langchain_finetune.migration.prompts import RecordedPrompt

_BYTES_PER_TOKEN = 4
_MORE = 1.1
"""OpenAI's own counts may differ from ours by some tokens; for the most that a request costs."""


class RecordingEstimate(BaseModel):
    """What the answers that are still to be asked for take.

    Attributes:
        model: The model.
        prompts: Number of prompts.
        requests: Number of answers to ask for.
        input_tokens: Tokens of the prompts, each counted as often as it is sent.
        output_tokens: Tokens of the answers, if they are as long as the earlier ones.
        tokens_are_estimated: The prompts' tokens were not counted with the model's own tokenizer.
        price: The price, or None if it is not known.
        usd: What they cost, or None.
        at_most_usd: What they cost if each answer is as long as it can be, or None.
        spent_usd: What the answers that are there cost, or None.
        unknown: Answers that may have been paid for and were not received.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    prompts: int
    requests: int
    input_tokens: int
    output_tokens: int
    tokens_are_estimated: bool
    price: InferencePrice | None = None
    usd: float | None = None
    at_most_usd: float | None = None
    spent_usd: float | None = None
    unknown: int = 0

    def __str__(self) -> str:
        cost = unpriced(self.model)
        if self.usd is not None and self.at_most_usd is not None:
            longest = f"{dollars(self.at_most_usd)} if each answer were as long as it can be"
            cost = f"About {dollars(self.usd)}, {longest}: {self.price}."
        return (
            f"{self.model}: {counted(self.requests, 'answer')} to "
            f"{counted(self.prompts, 'prompt')}, about "
            f"{self.input_tokens:,} tokens of prompts and {self.output_tokens:,} of answers. {cost}"
        )


@dataclass(frozen=True)
class AnswerTask:
    """An answer to ask for.

    Attributes:
        prompt: The prompt.
        number: 0 at temperature 0; from 1 those at the app's own temperature.
        tokens: About how many tokens prompt and answer have, for the limits.
        most_usd: The most that it can cost.
    """

    prompt: RecordedPrompt
    number: int
    tokens: int
    most_usd: float

    @property
    def key(self) -> Key:
        """Its key in the journal."""
        return self.prompt.id, self.number


@dataclass(frozen=True)
class _Size:
    """Tokens of a prompt: about, and at most."""

    about: int
    most: float
    exact: bool


def make_tasks(
    model: str,
    prompts: Sequence[RecordedPrompt],
    answers: int,
    journal: AnswerJournal,
    price: InferencePrice | None,
    *,
    ask_again: bool = False,
) -> tuple[deque[AnswerTask], RecordingEstimate]:
    """Return what is still to be asked for, and what that takes.

    Those whose outcome is not known come first, then all answers at temperature 0: they are what
    is trained on.
    """
    sizes = _sizes(model, prompts)
    tasks: list[AnswerTask] = []
    asked = said = 0
    usd = at_most = 0.0
    for number in range(answers + 1):
        for prompt in prompts:
            key = (prompt.id, number)
            final = key in journal.failed and not journal.failed[key][1]
            if key in journal.answered or (not ask_again and (final or key in journal.unknown)):
                continue
            size = sizes[prompt.id]
            most_usd = 0.0
            if price is not None:
                most_usd = price.cost(int(size.most), _longest(prompt, price))
                usd += price.cost(size.about, prompt.answer_tokens)
            at_most += most_usd
            asked += size.about
            said += prompt.answer_tokens
            tasks.append(AnswerTask(prompt, number, size.about + prompt.answer_tokens, most_usd))
    tasks.sort(key=lambda task: task.key not in journal.open)
    estimate = RecordingEstimate(
        model=model,
        prompts=len(prompts),
        requests=len(tasks),
        input_tokens=asked,
        output_tokens=said,
        tokens_are_estimated=not all(size.exact for size in sizes.values()),
        price=price,
        usd=None if price is None else round(usd, 6),
        at_most_usd=None if price is None else round(at_most, 6),
        spent_usd=journal.usage.cost(price),
        unknown=len(journal.unknown),
    )
    return deque(tasks), estimate


def _longest(prompt: RecordedPrompt, price: InferencePrice) -> int:
    """Return the most tokens of an answer."""
    for name in ("max_completion_tokens", "max_tokens"):
        # A server may take a negative number for no limit.
        if isinstance(limit := prompt.request.get(name), int) and limit > 0:
            return min(limit, price.longest_answer)
    return price.longest_answer


def _sizes(model: str, prompts: Sequence[RecordedPrompt]) -> dict[str, _Size]:
    counter = openai_counter(model, "offline")
    found = {}
    for prompt in prompts:
        size = len(orjson.dumps(prompt.request))
        about = max(1, size // _BYTES_PER_TOKEN)
        found[prompt.id] = _Size(about, size, exact=False)
        if counter is None:
            continue
        try:
            [count] = counter.count([prompt.request])
        except (AttributeError, KeyError, TypeError):
            continue  # A request that the server takes may have fields that no training file has.
        if not isinstance(count, Count):
            continue
        if counter.exact:
            found[prompt.id] = _Size(count.total, count.total * _MORE + 100, exact=True)
        else:  # Bytes, which are an upper bound, and images.
            found[prompt.id] = _Size(min(about, count.total), max(size, count.total), exact=False)
    return found
