"""What the engine asks the training process to do."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_finetune.checks import CHECKS, LOCAL, errors_of, parse_line
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import Asked, Method


@dataclass(frozen=True)
class Spec:
    """One training run.

    Attributes:
        base: A model folder, or an id on the Hugging Face hub.
        name: The base model's public name, for what is exported.
        method: What is learnt from: answers, or preferences between two.
        train: Examples in OpenAI's format for the method, one a line.
        validation: The same, to measure on; None for nothing.
        output: Folder of the finished models; it appears all at once. It holds the model itself in
            `model`, and the other checkpoints in `step-N`.
        work: Folder for what is only needed meanwhile: the checkpoints. A training that finds some
            of its own there goes on from the last.
        asked: Hyperparameters.
        seed: Start of all random numbers.
        processes: How many train together; None for one a GPU.
    """

    base: str
    name: str
    method: Method
    train: Path
    validation: Path | None
    output: Path
    work: Path
    asked: Asked
    seed: int
    processes: int | None = None

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read a specification; its fields are those of `langchain_finetune.local.training`."""
        raw = json.loads(path.read_text())
        return cls(
            base=raw["base"],
            name=raw.get("name") or raw["base"],
            method=raw.get("method") or "supervised",
            train=Path(raw["train"]),
            validation=Path(raw["validation"]) if raw.get("validation") else None,
            output=Path(raw["output"]),
            work=Path(raw["work"]),
            asked=Asked(**raw.get("hyperparameters") or {}),
            seed=raw.get("seed") or 0,
            processes=raw.get("processes"),
        )

    @property
    def partial(self) -> Path:
        """Where the model is written before it takes its place."""
        return self.output.with_name(f".{self.output.name}.partial")


def read_examples(path: Path, *, method: Method, code: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Read a file of examples, each with the number of its line; blank lines are left out.

    Args:
        path: The file.
        method: What its lines are for.
        code: Code of the failure, such as `invalid_training_file`.

    Raises:
        TrainingFailure: A line is no JSON, or breaks a rule of its form; or there is none.
    """
    examples = list(_examples(path, method, code))
    if not examples:
        raise TrainingFailure(code, "The file has no examples.")
    return examples


def _examples(path: Path, method: Method, code: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    check = CHECKS["preference" if method == "dpo" else "supervised"]
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                example = parse_line(line)
            except ValueError:
                # The error quotes the line, so it is no cause that may be logged.
                raise TrainingFailure(code, f"Line {number} is not JSON.") from None
            for finding in errors_of(check(example, LOCAL)):
                place = "" if finding.index is None else f", message {finding.index}"
                raise TrainingFailure(code, f"Line {number}{place}: {finding.message}")
            yield number, example
