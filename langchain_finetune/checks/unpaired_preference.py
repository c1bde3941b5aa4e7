"""Rules of an unpaired preference: a chat, and whether its last answer is desirable.

It is TRL's unpaired preference (`prompt`, `completion` and `label`; TRL's documentation of dataset
formats) with prompt and completion as the `messages` of OpenAI's supervised lines.
"""

from typing import Any

from langchain_finetune.checks.example import check_example
from langchain_finetune.checks.finding import Finding
from langchain_finetune.checks.profiles import OPENAI, Profile
from langchain_finetune.content import entries, mapping


def check_unpaired_preference(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return all findings in a line of unpaired preferences.

    With a desirable answer it must be a valid supervised chat. An undesirable answer is checked
    like a message that is only context, since its faults may be why it is undesirable.

    Example:
        >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        >>> check_unpaired_preference({"messages": chat, "label": True})
        []
        >>> [finding.code for finding in check_unpaired_preference({"messages": chat})]
        ['no_label']
    """
    if not isinstance(example, dict):
        return check_example(example, rules)
    label = example.get("label")
    chat = {name: value for name, value in example.items() if name != "label"}
    *context, last = entries(chat.get("messages")) or [None]
    if mapping(last).get("role") == "assistant":
        # The answer is judged as a whole, whatever weight it has.
        chat["messages"] = [*context, {**last, "weight": 0 if label is False else 1}]
    found = check_example(chat, rules, line=line)
    if label is False:
        found = [finding for finding in found if finding.code != "no_target"]
    if not isinstance(label, bool):
        text = "`label` must be true if the last answer is desirable, and false if it is not."
        found.append(Finding("no_label", text))
    return found
