"""The request for a fine-tuning job, for any engine."""

from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.methods import Method


@dataclass(frozen=True)
class JobSpec:
    """Everything that a job is made from.

    Attributes:
        model: The base.
        training: The spooled training file.
        validation: The spooled validation file, if any.
        hyperparameters: Those that are not left to the engine.
        suffix: Goes into the new model's name.
        seed: For the engine.
        metadata: Written to the job at the engine; strings only.
        method: The training method.
        extra_body: Further fields of the request, as this engine names them.
    """

    model: str
    training: WrittenFile
    validation: WrittenFile | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    method: Method = "supervised"
    extra_body: dict[str, Any] = field(default_factory=dict)
