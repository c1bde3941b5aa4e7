"""Files of examples: lines that are JSON, and how many and how much there may be."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from langchain_finetune.checks.finding import Finding
from langchain_finetune.checks.methods import CHECKS
from langchain_finetune.checks.profiles import OPENAI, Profile
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
