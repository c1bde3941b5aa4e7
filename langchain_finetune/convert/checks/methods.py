"""What a training file can hold: each method's lines, and the rules for them."""

from collections.abc import Callable
from typing import Literal

from langchain_finetune.convert.checks.completion import check_completion
from langchain_finetune.convert.checks.example import check_example
from langchain_finetune.convert.checks.finding import Finding
from langchain_finetune.convert.checks.preference import check_preference

Method = Literal["supervised", "preference", "completion"]
"""Chats whose answers are learnt, pairs of answers, or prompts with their completions."""

CHECKS: dict[Method, Callable[..., list[Finding]]] = {
    "supervised": check_example,
    "preference": check_preference,
    "completion": check_completion,
}
"""Finds the faults of a line of each method; all are called as `check_example` is."""
