"""What a training file can hold: each method's lines, and the rules for them."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from langchain_finetune.convert.checks import Finding, check_example
from langchain_finetune.convert.completion_checks import check_completion
from langchain_finetune.convert.preference_checks import check_preference

Method = Literal["supervised", "preference", "completion"]
"""Chats whose answers are learnt, pairs of answers, or prompts with their completions."""

CHECKS: dict[Method, Callable[[Any], Iterator[Finding]]] = {
    "supervised": check_example,
    "preference": check_preference,
    "completion": check_completion,
}
"""Finds the faults of a line of each method."""
