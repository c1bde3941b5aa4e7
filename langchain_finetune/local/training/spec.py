"""The specification of a training process, and its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.checks import CHECKS, LOCAL, errors_of, parse_line
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.machines.settings import Machines
from langchain_finetune.methods import METHODS, Hyperparameters, Method


class Host(BaseModel):
    """The host of a training loop: the model is trained there, step by step, by our process.

    Attributes:
        name: The kind of host.
        base_url: Its address.
        weights: Where the model answers: at the `host`, or at `home`, on the embedded engine,
            which then fetches the weights.
        base_model: Name of the base at the host, where that is not the one on the Hugging Face Hub.
    """

    model_config = ConfigDict(extra="forbid")

    name: Literal["tinker", "fireworks"]
    base_url: Annotated[str, Field(max_length=512, pattern=r"^https?://[^@?#\s]+$")]
    weights: Literal["host", "home"] = "host"
    base_model: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class Spec(BaseModel):
    """One training run.

    Attributes:
        base: A model folder, or an id on the Hugging Face hub.
        name: The base model's public name, for what is exported.
        train: Examples in OpenAI's format for the method, one a line.
        validation: The same, to measure on; None for nothing.
        output: Folder of the finished models; it appears all at once. It holds the model itself in
            `model`, and the other checkpoints in `step-N`.
        work: Folder of the checkpoints. A training that finds some of its own there goes on from
            the last.
        processes: How many train together; None for one a GPU.
        machines: Where its processes run, if not here alone.
        host: Where the model is trained instead of here; then `base` is for tokenizer and merging.
        host_key: File of the key for the host.
        job: Id of the job, by which its sessions at the host are found.
        suffix: Goes into the names of models at a host that lets them be chosen.
        closing: Train nothing, but close what an ended job has left at the host: its sessions, or
            all that it has saved, too.
    """

    base: str
    name: str
    method: Method = "supervised"
    train: Path
    validation: Path | None = None
    output: Path
    work: Path
    hyperparameters: Hyperparameters = Hyperparameters()
    seed: int = 0
    processes: int | None = None
    machines: Machines | None = None
    host: Host | None = None
    host_key: Path | None = None
    job: str = ""
    suffix: str | None = None
    closing: Literal["sessions", "all"] | None = None

    @property
    def partial(self) -> Path:
        """Where the models are written before they take their place."""
        return self.output.with_name(f".{self.output.name}.partial")


def read_examples(path: Path, *, method: Method, code: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Read a file of examples, each with the number of its line; blank lines are left out.

    Raises:
        TrainingFailure: A line is not JSON, or breaks a rule of its form; or there is none. It has
            this code, such as `invalid_training_file`.
    """
    check = CHECKS[METHODS[method].lines[0]]
    examples = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                example = parse_line(line)
            except ValueError:
                # The error quotes the line, which must not be logged.
                raise TrainingFailure(code, f"Line {number} is not JSON.") from None
            for finding in errors_of(check(example, LOCAL)):
                place = "" if finding.index is None else f", message {finding.index}"
                raise TrainingFailure(code, f"Line {number}{place}: {finding.message}")
            examples.append((number, example))
    if not examples:
        raise TrainingFailure(code, "The file has no examples.")
    return examples
