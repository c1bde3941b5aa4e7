"""Checks of training files: each line, and the number and size of all."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from langchain_finetune.checks.example import errors_of
from langchain_finetune.checks.finding import Finding, Findings
from langchain_finetune.checks.methods import CHECKS
from langchain_finetune.checks.profiles import OPENAI, PROFILES, Profile, RulesName
from langchain_finetune.checks.text import parse_json
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind

MIN_EXAMPLES = OPENAI.min_examples
"""Fewest examples of a training file (OpenAI's fine-tuning guide), the same for all providers."""


def parse_line(line: bytes) -> Any:
    """Parse a line of a training file.

    Raises:
        ValueError: It is not valid JSON. The message does not quote the line.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_leniently(line)


def _parse_leniently(line: bytes) -> Any:
    """Parse a line with unpaired surrogates, which a rule of their own reports, or a BOM."""
    try:
        return parse_json(line.decode("utf-8-sig"))
    except ValueError:
        raise ValueError("The line is not valid JSON.") from None


def check_lines(
    lines: Iterable[bytes], rules: Profile, method: LineKind = "supervised"
) -> Iterator[tuple[int, list[Finding]]]:
    """Yield the number of each non-blank line, counted from 1, and its findings.

    Args:
        lines: The lines of a file.
        rules: The provider's rules.
        method: Format of the lines.
    """
    check = CHECKS[method]
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found = _check_line(line, rules, check)
            yield number, [replace(finding, row=number) for finding in found] if found else found


def _check_line(line: bytes, rules: Profile, check: Callable[..., list[Finding]]) -> list[Finding]:
    try:
        return check(orjson.loads(line), rules, line=line)
    except orjson.JSONDecodeError:
        pass
    try:
        return check(_parse_leniently(line), rules)
    except ValueError as error:
        return [Finding("not_json", str(error))]


def check_size(examples: int, size: int, rules: Profile, *, training: bool = True) -> list[Finding]:
    """Return the findings for a file as a whole.

    Args:
        examples: Number of its examples.
        size: Its size in bytes.
        rules: The provider's rules.
        training: Whether it is trained on; a validation file may be small.
    """
    found = []
    fewest = rules.min_examples if training else 1
    if examples < fewest:
        found.append(
            Finding(
                "invalid_n_examples",
                f"The file has {examples} example(s), but must have at least {fewest}.",
            )
        )
    if size > rules.max_file_bytes:
        limit = rules.max_file_bytes // 2**20
        found.append(
            Finding("file_too_large", f"The file has {size} bytes; at most {limit} MB are allowed.")
        )
    return found


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
    rules: RulesName
    examples: int
    rejected: int
    size: int
    findings: Findings

    @property
    def ok(self) -> bool:
        """Whether the provider would accept the file: no error was found."""
        return not self.findings.errors


def check_file(
    path: str | os.PathLike[str], rules: RulesName = "openai", method: LineKind = "supervised"
) -> FileCheck:
    """Check a training file, one JSON object per line, as `Convert` checks its examples.

    The file is read line by line, so memory stays flat; blank lines are ignored.

    Args:
        path: The file.
        rules: Rules to check against: `openai`, `azure`, `nebius` or `local`.
        method: Format of the lines: `supervised` chats, `preference` pairs or `completion`.

    Raises:
        ConvertError: The rules or the method are unknown, or the file can't be read.

    Example:
        ```python
        checked = check_file("train.jsonl", rules="azure")
        for finding in checked.findings:
            print(finding)  # row 4, message 2: A tool call was never answered. (...)
        ```
    """
    if rules not in PROFILES:
        raise ConvertError(f"rules must be one of {', '.join(PROFILES)}, not {rules!r}.")
    if method not in CHECKS:
        raise ConvertError(f"method must be one of {', '.join(CHECKS)}, not {method!r}.")
    profile = PROFILES[rules]
    findings = Findings()
    examples = rejected = 0
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as lines:
            for _, found in check_lines(lines, profile, method):
                examples += 1
                rejected += bool(errors_of(found))
                for finding in found:
                    findings.add(finding)
    except OSError as error:
        raise ConvertError(f"{path} can't be read: {error.strerror}.") from error
    for finding in check_size(examples, size, profile):
        findings.add(finding)
    return FileCheck(Path(path), rules, examples, rejected, size, findings)
