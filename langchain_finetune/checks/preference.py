"""Rules of a preference: a pair of answers to the same input.

Sources: OpenAI's guide to direct preference optimization (text only; one assistant message
on each side) and its API reference (`FineTunePreferenceRequestInput`: `input` holds `messages`,
`tools` and `parallel_tool_calls`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_finetune.checks.example import check_example
from langchain_finetune.checks.finding import Check, Finding
from langchain_finetune.checks.profiles import OPENAI, Profile

OUTPUTS = ("preferred_output", "non_preferred_output")
"""The two sides of a pair."""

_INPUT = ("messages", "tools", "parallel_tool_calls")


def check_preference(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return all findings in a line of preferences.

    Input and preferred answer must form a valid supervised chat. The worse answer is checked like
    a message that is only context, since its faults may be why it is worse. A finding's index
    counts the messages of the input; both answers have the index after the last of them.

    Example:
        >>> [finding.code for finding in check_preference({"input": {"messages": []}})]
        ['no_messages', 'invalid_output', 'invalid_output']
    """
    del line
    if not isinstance(example, dict):
        return [Finding("not_an_object", "An example must be a JSON object.")]
    request = example.get("input")
    if not isinstance(request, dict):
        return [Finding("invalid_input", "`input` must be an object with messages.")]
    check = Check(rules)
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        check.add("no_messages", "`messages` of the input must be a non-empty list.")
        messages = None
    allowed = (*_INPUT, "response_format") if rules.response_format else _INPUT
    if request.keys() - {*allowed}:
        # Legacy functions, for example.
        text = f"The input of a pair may contain only {', '.join(allowed)}."
        check.add("unknown_input_field", text)
    better, worse = (_answer(example.get(name)) for name in OUTPUTS)
    for name, answer in zip(OUTPUTS, (better, worse), strict=True):
        if answer is None:
            check.add("invalid_output", f"{name} must be a list of one assistant message.")
    if messages is not None:
        if better is not None:
            _check_chat(request, better, check)
        if worse is not None:
            _check_chat(request, _as_history(worse), check)
    if better is not None and better == worse:
        check.add("same_outputs", "Both answers are the same.")
    # Problems of the input are found with either answer.
    return list(dict.fromkeys(check.found))


def _check_chat(request: Mapping[str, Any], answer: Mapping[str, Any], check: Check) -> None:
    chat = {name: request[name] for name in (*_INPUT, "response_format") if name in request}
    chat["messages"] = [*map(_as_history, request["messages"]), answer]
    for finding in check_example(chat, check.rules):
        # The worse answer is not a target, and nothing is fixed in pairs.
        if finding.code != "no_target":
            check.found.append(replace(finding, fix=None))
    _check_text(chat["messages"], check)


def _check_text(messages: Sequence[Any], check: Check) -> None:
    for index, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                text = "A preference must be text only; it contains an image."
                check.add("image_in_preference", text, index)
            elif kind != "text":
                text = "A preference must be text only; it contains another type of part."
                check.add("not_text", text, index)


def _as_history(message: Any) -> Any:
    """Return a message of the input as context of a supervised line."""
    is_answer = isinstance(message, dict) and message.get("role") == "assistant"
    return {**message, "weight": 0} if is_answer else message


def _answer(output: Any) -> Mapping[str, Any] | None:
    if not isinstance(output, list) or len(output) != 1:
        return None
    [answer] = output
    is_answer = isinstance(answer, dict) and answer.get("role") == "assistant"
    return answer if is_answer else None
