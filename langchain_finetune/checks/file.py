"""Files of examples: lines that are JSON, and how many and how much there may be."""

import json
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
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind

MIN_EXAMPLES = OPENAI.min_examples
"""Fewest examples of a training file (OpenAI's fine-tuning guide); all providers copy it."""


def parse_line(line: bytes) -> Any:
    """Return the example that a line of a training file says.

    Raises:
        ValueError: It is no JSON. The error quotes nothing of the line.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_odd(line)


def _parse_odd(line: bytes) -> Any:
    """Read what Python reads and orjson does not: half characters, and a byte order mark.

    The former break a rule of their own. NaN and Infinity are no JSON.
    """
    try:
        return json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("It is no JSON.") from None


def check_lines(
    lines: Iterable[bytes], rules: Profile, method: LineKind = "supervised"
) -> Iterator[tuple[int, list[Finding]]]:
    """Yield the number of each line that is not blank, counted from 1, and what is wrong with it.

    Args:
        lines: The lines of a file.
        rules: The provider's rules.
        method: What the lines hold.
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
        return check(_parse_odd(line), rules)
    except ValueError as error:
        return [Finding("not_json", str(error))]


def check_size(examples: int, size: int, rules: Profile, *, training: bool = True) -> list[Finding]:
    """Return what is wrong with a file as a whole.

    Args:
        examples: How many examples it has.
        size: Its bytes.
        rules: The provider's rules.
        training: It is trained on; a file to validate with may be small.
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


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


@dataclass(frozen=True)
class FileCheck:
    """What a check of a training file found.

    Attributes:
        path: The file.
        rules: Whose rules it was held to.
        examples: How many lines it has that are not blank.
        rejected: How many of them have an error.
        size: Its bytes.
        findings: Errors and warnings; the first hundred of each code in full, all counted.
    """

    path: Path
    rules: RulesName
    examples: int
    rejected: int
    size: int
    findings: Findings

    @property
    def ok(self) -> bool:
        """Whether the provider would take the file: no error was found."""
        return not self.findings.errors


def check_file(
    path: str | os.PathLike[str], rules: RulesName = "openai", method: LineKind = "supervised"
) -> FileCheck:
    """Check a training file, one JSON object a line, as `Convert` checks its examples.

    The file is read line by line, so memory stays flat; blank lines are passed over.

    Args:
        path: The file.
        rules: Whose rules: `openai`, `azure`, `nebius` or `local`.
        method: What the lines hold: `supervised` chats, `preference` pairs or `completion`.

    Raises:
        ConvertError: There are no such rules or no such method, or the file can't be read.

    Example:
        ```python
        checked = check_file("train.jsonl", rules="azure")
        for finding in checked.findings:
            print(finding)  # row 4, message 2: A tool call was never answered. (...)
        ```
    """
    if rules not in PROFILES:
        raise ConvertError(f"There are no rules {rules!r}; there are {', '.join(PROFILES)}.")
    if method not in CHECKS:
        raise ConvertError(f"There is no method {method!r}; there are {', '.join(CHECKS)}.")
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
