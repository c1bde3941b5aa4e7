"""The check of each kind of line that a training file can hold."""

from collections.abc import Callable
from typing import Any

from langchain_finetune.checks.example import check_example
from langchain_finetune.checks.finding import Check, Finding
from langchain_finetune.checks.preference import check_preference
from langchain_finetune.checks.profiles import OPENAI, Profile
from langchain_finetune.checks.text import check_text
from langchain_finetune.checks.unpaired_preference import check_unpaired_preference
from langchain_finetune.methods import LineKind


def check_completion(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return every fault of a line `{"prompt": ..., "completion": ...}`.

    A prompt may be empty: then the model learns to begin.

    Example:
        >>> [finding.code for finding in check_completion({"prompt": "Once", "completion": ""})]
        ['no_completion']
    """
    if not isinstance(example, dict):
        return [Finding("not_an_object", "An example must be a JSON object.")]
    check = Check(rules)
    if not isinstance(example.get("prompt"), str):
        check.add("no_prompt", "An example needs a prompt, which is text.")
    completion = example.get("completion")
    if not isinstance(completion, str) or not completion:
        check.add("no_completion", "An example needs a completion: text that is not empty.")
    check_text({"messages": [], **example}, line, check)
    return check.found


CHECKS: dict[LineKind, Callable[..., list[Finding]]] = {
    "supervised": check_example,
    "preference": check_preference,
    "unpaired_preference": check_unpaired_preference,
    "completion": check_completion,
}
"""Finds the faults of a line of each kind; all are called as `check_example` is."""
