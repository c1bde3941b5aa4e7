"""What makes two jobs the same job."""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from langchain_finetune.finetune.job_spec import JobSpec

FINGERPRINT = "fingerprint"
SUBMISSION = "submission"
TRAINING_SHA256 = "training_sha256"
EXAMPLES = "examples"
"""Keys of a job's metadata, which holds up to 16 pairs of 64 and 512 characters."""


def fingerprint_of(spec: JobSpec, account: str) -> str:
    """Return 64 hex digits that are equal for jobs of the same data, settings and account.

    Args:
        spec: What the job is made from; its metadata does not count.
        account: Where the job is made, and for whom; see `account_of`.
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


def account_of(base_url: str, organization: str | None, project: str | None) -> str:
    """Return a hash that names an account at an engine.

    Nothing of the key goes in, not even a hash: a key is changed now and then, and the job must
    be found with the new one. Two accounts that share an address are told apart by the engine
    itself, which does not know the other's jobs.

    Args:
        base_url: The engine's address.
        organization: OpenAI's organisation, where one is chosen (`OPENAI_ORG_ID`).
        project: Its project, where one is chosen (`OPENAI_PROJECT_ID`).
    """
    place = orjson.dumps([base_url.rstrip("/"), organization, project])
    return hashlib.sha256(b"langchain-finetune account\n" + place).hexdigest()[:32]


def _weights_of(base: str) -> list[list[Any]] | None:
    """Return what tells whether a local folder still holds the same model: sizes and times."""
    folder = Path(base)
    if not (folder.is_absolute() and folder.is_dir()):
        return None
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in found]
