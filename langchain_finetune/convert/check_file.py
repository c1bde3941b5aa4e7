"""Checks of existing training files against an engine's rules."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.checks import CHECKS, Findings, check_lines, check_size, errors_of
from langchain_finetune.checks.file import parse_line
from langchain_finetune.engines import ENGINES, engine_of
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind

_FIRST_LINE = 2**24
"""Most bytes of the first line, by which a file of another kind is known."""


@dataclass(frozen=True)
class FileCheck:
    """The result of checking a training file.

    Attributes:
        path: The file.
        rules: The rules that it was checked against.
        examples: Number of non-blank lines.
        rejected: Number of lines with an error.
        size: Size in bytes.
        findings: Errors and warnings; the first hundred of each code are kept, all are counted.
    """

    path: Path
    rules: str
    examples: int
    rejected: int
    size: int
    findings: Findings

    @property
    def ok(self) -> bool:
        """Whether the provider would accept the file: no error was found."""
        return not self.findings.errors


def check_file(
    path: str | os.PathLike[str], rules: str = "openai", method: LineKind = "supervised"
) -> FileCheck:
    """Check a training file, one JSON object per line, as `Convert` checks its examples.

    The file is read line by line, so memory stays flat; blank lines are ignored.

    Args:
        path: The file.
        rules: The engine whose rules apply, such as `azure`.
        method: Format of the lines: `supervised` chats, `preference` pairs or `completion`.

    Raises:
        ConvertError: The rules or the method are unknown, or the file can't be read, or holds
            something else, such as runs.

    Example:
        ```python
        checked = check_file("train.jsonl", rules="azure")
        for finding in checked.findings:
            print(finding)  # row 4, message 2: A tool call was never answered. (...)
        ```
    """
    if rules not in ENGINES:
        raise ConvertError(f"rules must be one of {', '.join(ENGINES)}, not {rules!r}.")
    if method not in CHECKS:
        raise ConvertError(f"method must be one of {', '.join(CHECKS)}, not {method!r}.")
    profile = engine_of(rules).profile
    path = Path(path).expanduser()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConvertError(f"{path} is not a regular file: write its content to one first.")
    findings = Findings()
    examples = rejected = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as lines:
            _require_training_file(path, lines.readline(_FIRST_LINE))
            lines.seek(0)
            for _, found in check_lines(lines, profile, method):
                examples += 1
                rejected += bool(errors_of(found))
                for finding in found:
                    findings.add(finding)
    except OSError as error:
        raise ConvertError(f"{path} can't be read: {error.strerror}.") from error
    for finding in check_size(examples, size, profile):
        findings.add(finding)
    return FileCheck(path, rules, examples, rejected, size, findings)


def _require_training_file(path: str | os.PathLike[str], line: bytes) -> None:
    """Refuse a file of another kind in one sentence, in place of an error for each line.

    Raises:
        ConvertError: Its first line is not one of a training file.
    """
    advice = f"`langchain-finetune prepare --file {path} --out FOLDER` makes examples of runs."
    if line.startswith((b"PAR1", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        raise ConvertError(f"{path} is a Parquet or compressed file, not JSON lines; {advice}")
    try:
        first = parse_line(line)
    except ValueError:
        return
    if isinstance(first, list):
        raise ConvertError(f"{path} is one JSON list; a training file has one example per line.")
    if not isinstance(first, Mapping):
        return
    if "inputs" in first or {"run_type", "runs", "resourceSpans"} & first.keys():
        raise ConvertError(f"{path} holds runs, not training examples; {advice}")
    if "part" in first and "id" in first:
        raise ConvertError(
            f"{path} says where examples come from; the examples are in the files beside it, such "
            "as train.jsonl."
        )
