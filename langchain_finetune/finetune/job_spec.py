"""What a fine-tuning job is made from, and what makes two jobs the same."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.engines.jobs import NewJob
from langchain_finetune.methods import Method

FINGERPRINT = "fingerprint"
SUBMISSION = "submission"
TRAINING_SHA256 = "training_sha256"
EXAMPLES = "examples"
"""Keys of a job's metadata, which holds up to 16 pairs of 64 and 512 characters."""


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

    @property
    def files(self) -> list[WrittenFile]:
        """The files to upload."""
        return [file for file in (self.training, self.validation) if file]

    def request(self, file_ids: list[str]) -> NewJob:
        """Return what the engine is asked for.

        Args:
            file_ids: Of the uploaded `files`.
        """
        training, validation = [*file_ids, None][:2]
        return NewJob(
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
