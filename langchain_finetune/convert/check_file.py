"""Training files that are there already, held to an engine's rules."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.checks import CHECKS, Findings, check_lines, check_size, errors_of
from langchain_finetune.engines import ENGINES, engine_of
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind


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
    rules: str
    examples: int
    rejected: int
    size: int
    findings: Findings

    @property
    def ok(self) -> bool:
        """Whether the provider would take the file: no error was found."""
        return not self.findings.errors


def check_file(
    path: str | os.PathLike[str], rules: str = "openai", method: LineKind = "supervised"
) -> FileCheck:
    """Check a training file, one JSON object a line, as `Convert` checks its examples.

    The file is read line by line, so memory stays flat; blank lines are passed over.

    Args:
        path: The file.
        rules: The engine whose rules hold, such as `azure`.
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
    if rules not in ENGINES:
        raise ConvertError(f"There are no rules {rules!r}; there are {', '.join(ENGINES)}.")
    if method not in CHECKS:
        raise ConvertError(f"There is no method {method!r}; there are {', '.join(CHECKS)}.")
    profile = engine_of(rules).profile
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
