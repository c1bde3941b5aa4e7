"""All rules of one supervised example."""

from collections.abc import Iterable
from typing import Any

from langchain_finetune.checks.finding import Check, Finding
from langchain_finetune.checks.messages import check_exchange, check_messages
from langchain_finetune.checks.profiles import OPENAI, Profile
from langchain_finetune.checks.text import check_text
from langchain_finetune.checks.tools import read_tools

_KEYS = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
"""What a supervised line holds."""


def check_example(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return every fault of one supervised example (a parsed line of the training file).

    Args:
        example: The example.
        rules: The provider's rules.
        line: The example as JSON, where that is at hand: it spares writing it once more.

    Example:
        >>> [finding.code for finding in check_example({"messages": []})]
        ['no_messages']
    """
    if not isinstance(example, dict):
        return [Finding("not_an_object", "An example must be a JSON object.")]
    messages = example.get("messages")
    if not isinstance(messages, list) or not messages:
        return [Finding("no_messages", "An example needs a list of messages, with one at least.")]
    check = Check(rules)
    if not _KEYS.issuperset(example):
        _check_keys(example, check)
    check.toolbox = read_tools(example, check)
    if check_messages(messages, check):
        check_exchange(messages, check)
    check_text(example, line, check)
    return list(dict.fromkeys(check.found)) if check.found else check.found


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return those findings for which an example is rejected."""
    return [finding for finding in findings if finding.severity == "error"]


def _check_keys(example: dict[Any, Any], check: Check) -> None:
    strange = [key for key, value in example.items() if key not in _KEYS and value is not None]
    if strange:
        check.add(
            "unknown_key",
            f"The example has {len(strange)} keys that are not of OpenAI's form; nothing is "
            "learnt from them.",
            severity="warning",
        )
