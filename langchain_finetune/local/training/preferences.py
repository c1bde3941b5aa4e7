"""Preferences in tokens: one prompt, and the two answers that DPO compares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.training.encoding import IGNORED, Encoder, Sequence
from langchain_finetune.local.training.events import TrainingFailure

_OUTPUTS = ("preferred_output", "non_preferred_output")


@dataclass(frozen=True)
class Pair:
    """One preference.

    Attributes:
        prompt_ids: The tokens up to the answer.
        chosen_ids: The preferred answer, up to the token that ends the turn.
        rejected_ids: The other one.
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def length(self) -> int:
        """How many tokens go through the model: the prompt once with each answer."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


Encoded = list[Sequence] | list[Pair]
"""A file in tokens: for supervised training, or for DPO."""


def encode_preferences(
    encoder: Encoder, examples: Iterable[tuple[int, Mapping[str, Any]]]
) -> list[Pair]:
    """Put all preferences of a file into tokens, as the answers would be in supervised training.

    Raises:
        TrainingFailure: As `Encoder.encode`, with the line; also where both answers are one.
    """
    return [_pair(encoder, line, example) for line, example in examples]


def _pair(encoder: Encoder, line: int, example: Mapping[str, Any]) -> Pair:
    # The last turn alone is compared, so that earlier ones only give context.
    ends = [encoder.encode([(line, _supervised(example, output))])[-1] for output in _OUTPUTS]
    (prompt, chosen), (same_prompt, rejected) = map(_split, ends)
    assert prompt == same_prompt
    if chosen == rejected:
        raise TrainingFailure(
            "invalid_training_file", f"Line {line}: both answers are the same to the model."
        )
    return Pair(prompt, chosen, rejected)


def _supervised(example: Mapping[str, Any], output: str) -> dict[str, Any]:
    """Return the input and one of the answers as a supervised example that teaches the answer."""
    given = example["input"]
    read = [
        message | {"weight": 0} if message["role"] == "assistant" else message
        for message in given["messages"]
    ]
    return {**given, "messages": [*read, example[output][0] | {"weight": 1}]}


def _split(sequence: Sequence) -> tuple[list[int], list[int]]:
    trained = [place for place, label in enumerate(sequence.labels) if label != IGNORED]
    return sequence.input_ids[: trained[0]], sequence.input_ids[trained[0] : trained[-1] + 1]
