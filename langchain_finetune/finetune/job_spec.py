"""What a fine-tuning job is made from, and what makes two jobs the same."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.engines.jobs import JobRequest

FINGERPRINT = "fingerprint"
SUBMISSION = "submission"
TRAINING_SHA256 = "training_sha256"
EXAMPLES = "examples"
"""Keys of a job's metadata, which holds up to 16 pairs of 64 and 512 characters."""

Auto = Literal["auto"]


class Hyperparameters(BaseModel):
    """Hyperparameters of fine-tuning, as OpenAI's API names them.

    Attributes:
        n_epochs: How often each example is seen, 1 to 50.
        batch_size: Examples of one step, 1 to 256.
        learning_rate_multiplier: Scales the engine's own learning rate.
        beta: Of preference pairs only: how closely the model keeps to its base, above 0 to 2; a
            greater one keeps closer.
        lora_rank: Of the embedded engine: rank of LoRA's matrices; 0 trains all weights.
        lora_alpha: Of the embedded engine: scales what LoRA's matrices add.
        lora_targets: Of the embedded engine: names of the layers that get them.
        early_stopping_patience: Of the embedded engine: ends after so many epochs without a lower
            validation loss.
        packing: Of the embedded engine: several examples share a row, in place of padding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = "auto"
    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"
    lora_rank: Auto | Annotated[int, Field(ge=0)] = "auto"
    lora_alpha: Auto | Annotated[float, Field(gt=0)] = "auto"
    lora_targets: Auto | str | tuple[str, ...] = "auto"
    early_stopping_patience: Auto | Annotated[int, Field(ge=1)] = "auto"
    packing: Auto | bool = "auto"


@dataclass(frozen=True)
class JobSpec:
    """All that a job is made from.

    Attributes:
        model: The base.
        training: The spooled training file.
        validation: The spooled validation file, if any.
        hyperparameters: Those that are not left to the engine.
        suffix: Goes into the new model's name.
        seed: For the engine.
        metadata: Written to the job at the engine; strings only.
        method: `supervised`, or `dpo` for pairs of preference.
        extra_body: Further fields of the request, as this engine names them.
    """

    model: str
    training: WrittenFile
    validation: WrittenFile | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    method: Literal["supervised", "dpo"] = "supervised"
    extra_body: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[WrittenFile]:
        """The files to upload."""
        return [file for file in (self.training, self.validation) if file]

    def request(self, file_ids: list[str]) -> JobRequest:
        """Return what the engine is asked for.

        Args:
            file_ids: Of the uploaded `files`.
        """
        training, validation = [*file_ids, None][:2]
        return JobRequest(
            self.model,
            training or "",
            validation,
            self.method,
            self.hyperparameters,
            self.suffix,
            self.seed,
            self.metadata,
            self.extra_body,
        )


def fingerprint_of(spec: JobSpec, account: str) -> str:
    """Return 64 hex digits that are equal for jobs of the same data, settings and account.

    Args:
        spec: What the job is made from; its metadata does not count.
        account: Names the account that the job is made for.
    """
    parts: dict[str, Any] = {
        "version": 1,
        "account": account,
        "training": spec.training.sha256,
        "validation": spec.validation.sha256 if spec.validation else None,
        "base": spec.model,
        "weights": _weights_of(spec.model),
        "method": spec.method,
        "hyperparameters": spec.hyperparameters,
        "suffix": spec.suffix,
        "seed": spec.seed,
        **({"extra_body": spec.extra_body} if spec.extra_body else {}),
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _weights_of(base: str) -> list[list[Any]] | None:
    """Return sizes and times of the files of a local folder, by which a changed model is known."""
    folder = Path(base)
    if not (folder.is_absolute() and folder.is_dir()):
        return None
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in found]
