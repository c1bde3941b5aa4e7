"""Preferences in tokens: a prompt, and the two answers that DPO compares, or KTO's judged one."""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_finetune.local.training.encoding import Encoder
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.sequences import IGNORED, Encoded, Sequence

ANCHOR = 1.0
"""Weight of the preferred answers' own loss beside DPO's (Pang et al. 2024, equation 1).

Where two answers differ in few tokens, DPO alone makes both less likely: with `nano` and pairs of
calculator calls it ranked every held-out pair rightly, and answered nothing rightly any more.
"""


def encode_preferences(
    encoder: Encoder, examples: Iterable[tuple[int, Mapping[str, Any]]]
) -> list[Encoded]:
    """Put all preferences of a file into tokens, as the answers would be in supervised training.

    Answers go up to the token that ends the turn.

    Raises:
        TrainingFailure: As `Encoder.encode`, with the line; also if both answers are the same.
    """
    return [_pair(encoder, line, example) for line, example in examples]


def encode_unpaired_preferences(
    encoder: Encoder, examples: Iterable[tuple[int, Mapping[str, Any]]]
) -> list[Encoded]:
    """Put all unpaired preferences of a file into tokens; see `encode_preferences`.

    Raises:
        TrainingFailure: As `Encoder.encode`, with the line.
    """
    return [_judged(encoder, line, example) for line, example in examples]


def _judged(encoder: Encoder, line: int, example: Mapping[str, Any]) -> Encoded:
    *context, answer = example["messages"]
    chat = _supervised({**example, "messages": context}, answer)
    prompt, completion = _split(encoder.encode_line(line, chat)[-1])
    columns = {"prompt_ids": prompt, "completion_ids": completion, "label": example["label"]}
    return Encoded(len(prompt) + len(completion), columns)


def _pair(encoder: Encoder, line: int, example: Mapping[str, Any]) -> Encoded:
    chats = (
        _supervised(example["input"], example[output][0])
        for output in ("preferred_output", "non_preferred_output")
    )
    # The last turn alone is compared, so that earlier ones only give context.
    ends = [encoder.encode_line(line, chat)[-1] for chat in chats]
    (prompt, chosen), (same_prompt, rejected) = map(_split, ends)
    assert prompt == same_prompt
    if chosen == rejected:
        raise TrainingFailure(
            "invalid_training_file", f"Line {line}: both answers are the same to the model."
        )
    # The prompt goes through the model once with each answer.
    length = 2 * len(prompt) + len(chosen) + len(rejected)
    columns = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
    return Encoded(length, columns)


def _supervised(given: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input and an answer as a supervised example that trains that answer alone."""
    context = [
        message | {"weight": 0} if message["role"] == "assistant" else message
        for message in given["messages"]
    ]
    return {**given, "messages": [*context, {**answer, "weight": 1}]}


def _split(sequence: Sequence) -> tuple[list[int], list[int]]:
    trained = [place for place, label in enumerate(sequence.labels) if label != IGNORED]
    return sequence.input_ids[: trained[0]], sequence.input_ids[trained[0] : trained[-1] + 1]
