"""What makes a preference fit for DPO: OpenAI's rules for a line of the preference form."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.convert.checks import Finding, check_example

OUTPUTS = ("preferred_output", "non_preferred_output")
"""The two answers of a line; each is a list of one message of the assistant."""


def check_preference(example: Any) -> Iterator[Finding]:
    """Yield every fault of one preference (a parsed line of the training file).

    A line is `{"input": {"messages", "tools", "parallel_tool_calls"}, "preferred_output": [...],
    "non_preferred_output": [...]}`. With either answer at its end, the input must be a supervised
    example without faults. A finding's `index` counts the messages of the input, the answer last.

    Example:
        >>> [finding.code for finding in check_preference({"input": {}})]
        ['no_messages', 'no_preferred_output', 'no_non_preferred_output']
    """
    if not isinstance(example, Mapping):
        yield Finding("not_an_object", "An example must be a JSON object.")
        return
    given = example.get("input")
    if not isinstance(given, Mapping):
        yield Finding("no_input", "A preference needs an input with messages.")
        return
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        yield Finding("no_messages", "An input needs a list of messages, with one at least.")
    found: list[Finding] = []
    for name in OUTPUTS:
        output = example.get(name)
        if not isinstance(output, list) or len(output) != 1 or not _is_answer(output[0]):
            yield Finding(f"no_{name}", f"{name} must be a list of one assistant message.")
        elif isinstance(messages, list) and messages:
            found += check_example(supervised(example, name))
    # Both say the same about the input.
    yield from dict.fromkeys(found)


def supervised(example: Mapping[str, Any], output: str) -> dict[str, Any]:
    """Return the input and one of the answers as a supervised example.

    Args:
        example: A preference.
        output: `preferred_output` or `non_preferred_output`.
    """
    given = example["input"]
    return {**given, "messages": [*given["messages"], *example[output]]}


def _is_answer(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "assistant"
