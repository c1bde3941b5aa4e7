"""What makes a line of prompt and completion fit for training."""

from typing import Any

from langchain_finetune.convert.checks.check import Check
from langchain_finetune.convert.checks.finding import Finding
from langchain_finetune.convert.checks.profiles import OPENAI, Profile
from langchain_finetune.convert.checks.text import check_text


def check_completion(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return every fault of a line `{"prompt": ..., "completion": ...}`.

    A prompt may be empty: then the model learns to begin.

    Args:
        example: The parsed line.
        rules: The provider's rules.
        line: The example as JSON, where that is at hand.

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
