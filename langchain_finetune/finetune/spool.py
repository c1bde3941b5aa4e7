"""The training file on disk, before anything is sent."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_finetune.convert.checks import MIN_EXAMPLES
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.jsonl import JsonlWriter, WrittenFile
from langchain_finetune.convert.rows import Target
from langchain_finetune.errors import ConvertError

_NAMED_BY = 16
"""Hex digits of the SHA-256 that name a spooled file."""


def spool(
    examples: Examples,
    folder: Path,
    *,
    target: Target,
    validation_share: float,
    seed: int | None,
) -> tuple[WrittenFile, WrittenFile | None]:
    """Write the examples to disk in one pass: a training file and perhaps a validation file.

    Which examples are for validation depends on their content and the seed alone, so it stays the
    same as the data grows. Files are named after their SHA-256; the same data gives the same
    files.

    Args:
        examples: What to write.
        folder: Where the files go; it is made if it is not there, for its owner only.
        target: What they are for.
        validation_share: Expected share of examples kept from training, 0 to less than 1.
        seed: Changes which ones these are.

    Returns:
        The training file, and the validation file or None where it would be empty.

    Raises:
        ConvertError: There are fewer than ten training examples. Nothing is left behind then.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="writing-") as fresh:
        with (
            JsonlWriter(Path(fresh, "train")) as training,
            JsonlWriter(Path(fresh, "validation")) as validation,
        ):
            for row in examples.rows(target):
                held_out = _fraction(row.line, seed) < validation_share
                (validation if held_out else training).write(row.line)
        if training.examples < MIN_EXAMPLES:
            raise ConvertError(_too_few(examples, training.examples, validation.examples))
        kept = _placed(training.written(), folder)
        return kept, _placed(validation.written(), folder) if validation.examples else None


def _placed(file: WrittenFile, folder: Path) -> WrittenFile:
    path = folder / f"{file.sha256[:_NAMED_BY]}.jsonl"
    file.path.replace(path)
    return WrittenFile(path, file.examples, file.size, file.sha256)


def _fraction(line: bytes, seed: int | None) -> float:
    """Return a number from 0 to 1 that a line and the seed decide."""
    digest = hashlib.sha256(f"{seed or 0}:".encode() + line).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _too_few(examples: Examples, training: int, validation: int) -> str:
    counts = examples.rejected_by_reason()
    left_out = ", ".join(f"{count} {code}" for code, count in counts.items())
    found = f"{training} training examples" if training else "no training example"
    parts = [f"The selection gives {found}; at least {MIN_EXAMPLES} are needed."]
    if validation:
        parts.append(f"{validation} more were kept for validation (validation_share).")
    parts.append(f"Left out: {left_out}." if left_out else "Nothing was left out.")
    parts.append("Select more chats.")
    return " ".join(parts)
