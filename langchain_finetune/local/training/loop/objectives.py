"""What a step of a training loop sends, for each method: the batch, its weights and the loss."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from langchain_finetune.local.training.loop.host import CustomLoss, Datum, HostedRun, TrainingHost
from langchain_finetune.local.training.preferences import ANCHOR
from langchain_finetune.local.training.sequences import IGNORED, Encoded
from langchain_finetune.private_files import replacing


class Objective(Protocol):
    """What is minimised; its measures are named as TRL logs them."""

    def prepare(self, host: TrainingHost) -> None:
        """Find out what has to be known of the base model before the first step."""
        ...

    def step(self, run: HostedRun, places: Sequence[int], rate: float) -> dict[str, float]:
        """Train on the examples at these places; return the loss and other measures."""
        ...

    def validate(self, run: HostedRun) -> dict[str, float]:
        """Measure on the validation examples."""
        ...


@dataclass(frozen=True)
class SupervisedObjective:
    """The mean loss of the trained tokens of a step."""

    train: Sequence[Encoded]
    validation: Sequence[Encoded] | None

    def prepare(self, host: TrainingHost) -> None:
        """Do nothing."""

    def step(self, run: HostedRun, places: Sequence[int], rate: float) -> dict[str, float]:
        """Train on a batch, in which each trained token weighs the same."""
        return run.step(supervised_batch([self.train[place] for place in places]), rate)

    def validate(self, run: HostedRun) -> dict[str, float]:
        """Return the mean loss of the trained tokens of all validation examples."""
        data = supervised_batch(self.validation or ())
        answers = run.log_probabilities(data)
        return {"loss": -sum(_weighted(each, one) for each, one in zip(data, answers, strict=True))}


def supervised_batch(batch: Sequence[Encoded]) -> list[Datum]:
    """Return a batch whose weighted sum of losses is the mean over its trained tokens."""
    columns = [each.columns for each in batch]
    trained = sum(len(each["labels"]) - 1 - each["labels"][1:].count(IGNORED) for each in columns)
    return [Datum.of(each["input_ids"], each["labels"], 1 / trained) for each in columns]


@dataclass
class PreferenceObjective:
    """DPO beside the preferred answers' own loss, as in training here.

    Attributes:
        beta: How closely the model keeps to its base.
        work: Folder in which the base's log probabilities are kept.
    """

    train: Sequence[Encoded]
    validation: Sequence[Encoded] | None
    beta: float
    work: Path
    _base: dict[str, list[float]] = field(default_factory=dict, init=False)

    def prepare(self, host: TrainingHost) -> None:
        """Ask for the base's log probabilities of all answers, once a job."""
        path = self.work / "reference.json"
        if not path.exists():
            run = host.open(None)
            found = {
                part: _sums(pairs_of(examples), run)
                for part, examples in (("train", self.train), ("validation", self.validation))
                if examples
            }
            host.close("success")
            with replacing(path) as file:
                file.write(json.dumps(found).encode())
        self._base = json.loads(path.read_bytes())

    def step(self, run: HostedRun, places: Sequence[int], rate: float) -> dict[str, float]:
        """Train on a batch of pairs."""
        data = pairs_of([self.train[place] for place in places])
        base = [self._base["train"][2 * place + side] for place in places for side in (0, 1)]
        return run.step_by(data, self._loss(data, base), rate)

    def validate(self, run: HostedRun) -> dict[str, float]:
        """Return loss and measures of all validation pairs."""
        import torch  # noqa: PLC0415 - seconds, and only once the environment is set

        data = pairs_of(self.validation or ())
        answers = [torch.tensor(each) for each in run.log_probabilities(data)]
        loss, measures = self._loss(data, self._base["validation"])(answers)
        return {"loss": float(loss), **measures}

    def _loss(self, data: Sequence[Datum], base: Sequence[float]) -> CustomLoss:
        import torch  # noqa: PLC0415

        def loss(answers: list[Any]) -> tuple[Any, dict[str, float]]:
            sums = [
                (each * torch.tensor(one.weights)).sum()
                for one, each in zip(data, answers, strict=True)
            ]
            scores = self.beta * (torch.stack(sums) - torch.tensor(base))
            margins = scores[0::2] - scores[1::2]
            preferred = sum(sum(one.weights) for one in data[0::2])
            own = -torch.stack(sums[0::2]).sum() / preferred
            value = -torch.nn.functional.logsigmoid(margins).mean() + ANCHOR * own
            measures = {
                "rewards/accuracies": float((margins > 0).float().mean()),
                "rewards/margins": float(margins.mean()),
            }
            return value, measures

        return loss


def pairs_of(examples: Sequence[Encoded]) -> list[Datum]:
    """Return two data for each preference: the preferred answer behind its prompt, the other."""
    return [
        Datum.of(prompt + answer, [IGNORED] * len(prompt) + answer)
        for each in examples
        for prompt in (each.columns["prompt_ids"],)
        for answer in (each.columns["chosen_ids"], each.columns["rejected_ids"])
    ]


def _sums(data: Sequence[Datum], run: HostedRun) -> list[float]:
    answers = run.log_probabilities(data)
    return [_weighted(one, each) for one, each in zip(data, answers, strict=True)]


def _weighted(datum: Datum, answers: Sequence[float]) -> float:
    return sum(weight * one for weight, one in zip(datum.weights, answers, strict=True) if weight)


def mean_of(measures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each measure.

    Example:
        >>> mean_of([{"loss": 1.0}, {"loss": 2.0}])
        {'loss': 1.5}
    """
    return {name: sum(each[name] for each in measures) / len(measures) for name in measures[0]}
