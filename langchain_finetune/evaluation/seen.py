"""Cases that the training of a model saw: exactly, nearly, or the same request."""

from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_finetune.convert.duplicates import DuplicateIndex
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.convert.rows import Row
from langchain_finetune.evaluation.cases import input_length, messages_of
from langchain_finetune.evaluation.result import RefusedCase
from langchain_finetune.finetune.training_files import spooled_set

_NEAR = 0.9
"""Share of three-word sequences that near repetitions have in common, as in `Convert`."""


def training_file(metadata: Mapping[str, Any], home: Path) -> Path | None:
    """Return the training file of a model, by its metadata, if it is on this machine."""
    sha256 = metadata.get("training_sha256")
    folder = spooled_set(home / "spool", str(sha256)) if sha256 else None
    return folder / "train.jsonl" if folder else None


def seen_cases(
    cases: Mapping[str, dict[str, Any]], training: Path, *, agent: bool
) -> list[RefusedCase]:
    """Return the cases that a training file contains.

    Near repetitions are looked for if rensa is installed.

    Args:
        cases: Lines of a training file, by the ids of the cases.
        training: The training file.
        agent: Whether the request ends with the user's last message; see `cases_of`.
    """
    with closing(DuplicateIndex(_NEAR if near_can_be_found() else None)) as index:
        requests: dict[bytes, str] = {}
        with training.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = Row(f"line {number}", {}, line=line)
                index.repeated(row, add=True)
                requests.setdefault(_request_key(row, agent=agent), row.id)
        found = []
        for name, example in cases.items():
            row = Row(name, {}, example=example)
            if repeated := index.repeated(row, add=False):
                line_of, exact = repeated
                what = "it" if exact else "nearly the same"
                reason = f"The training file contains {what} ({line_of})."
            elif line_of_request := requests.get(_request_key(row, agent=agent)):
                reason = f"The training file contains the same request ({line_of_request})."
            else:
                continue
            found.append(RefusedCase(id=name, reason=reason))
    return found


def near_can_be_found() -> bool:
    """Return whether rensa, an extra, is installed."""
    return find_spec("rensa") is not None


def _request_key(row: Row, *, agent: bool) -> bytes:
    messages = messages_of(row)
    cut = input_length(messages) if agent else len(messages) - 1
    return exact_key({"messages": messages[:cut]})
