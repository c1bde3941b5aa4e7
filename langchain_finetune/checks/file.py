"""Checks of training files: each line, and the number and size of all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from langchain_finetune.checks.finding import Finding
from langchain_finetune.checks.methods import CHECKS
from langchain_finetune.checks.profiles import Profile
from langchain_finetune.methods import LineKind
from langchain_finetune.tolerant_json import parse_json


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
    """Yield the number of each non-blank line, counted from 1, and its findings."""
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
    """Return the findings for a file of a size in bytes; one for validation may be small."""
    found = []
    fewest = rules.min_examples if training else 1
    if examples < fewest:
        text = f"The file has {examples} example(s), but must have at least {fewest}."
        found.append(Finding("invalid_n_examples", text))
    if size > rules.max_file_bytes:
        limit = rules.max_file_bytes // 2**20
        text = f"The file has {size} bytes; at most {limit} MB are allowed."
        found.append(Finding("file_too_large", text))
    return found
