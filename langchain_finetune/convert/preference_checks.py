"""What makes a pair of answers fit for training.

Sources of fact: OpenAI's guide to direct preference optimization (text only; one assistant message
on each side) and its API reference (`FineTunePreferenceRequestInput`: `input` holds `messages`,
`tools` and `parallel_tool_calls`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_finetune.convert.checks import Finding, check_example

OUTPUTS = ("preferred_output", "non_preferred_output")
"""The two sides of a pair."""

_INPUT = ("messages", "tools", "parallel_tool_calls")


def check_preference(example: Any) -> Iterator[Finding]:
    """Yield every fault of a line of preferences.

    Input and answer must make a chat that a supervised line could hold. A finding's index counts
    the messages of the input; both answers have the index after the last of them.

    Example:
        >>> [finding.code for finding in check_preference({"input": {"messages": []}})]
        ['no_messages', 'invalid_output', 'invalid_output']
    """
    if not isinstance(example, Mapping):
        yield Finding("not_an_object", "An example must be a JSON object.")
        return
    asked = example.get("input")
    if not isinstance(asked, Mapping):
        yield Finding("invalid_input", "A pair needs an input: an object with messages.")
        return
    messages = asked.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        yield Finding("no_messages", "The input needs a list of messages, with one at least.")
        messages = None
    if asked.keys() - {*_INPUT}:
        # Legacy functions, for example.
        yield Finding(
            "unknown_input_field", f"The input of a pair holds nothing but {', '.join(_INPUT)}."
        )
    answers = [_answer(example.get(name)) for name in OUTPUTS]
    for name, answer in zip(OUTPUTS, answers, strict=True):
        if answer is None:
            yield Finding("invalid_output", f"{name} must be a list of one assistant message.")
    if messages is not None:
        yield from _check_messages(asked, messages, [each for each in answers if each is not None])
    if None not in answers and answers[0] == answers[1]:
        yield Finding("same_outputs", "Both answers are the same: nothing is preferred.")


def _check_messages(
    asked: Mapping[str, Any], messages: Sequence[Any], answers: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    said: set[Finding] = set()
    history = [_as_history(message) for message in messages]
    for answer in answers:
        chat = {name: asked[name] for name in _INPUT if name in asked}
        chat["messages"] = whole = [*history, answer]
        # What is wrong with the input is found with either answer.
        found = dict.fromkeys([*check_example(chat), *_check_text(whole)])
        yield from (finding for finding in found if finding not in said)
        said.update(found)


def _check_text(messages: Sequence[Any]) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "image_url":
                yield Finding("image_in_preference", "A pair is text only: an image.", index)
            elif kind != "text":
                yield Finding("not_text", "A pair is text only: a part of another kind.", index)


def _as_history(message: Any) -> Any:
    """Return a message of the input as one of a supervised line that is only read."""
    is_answer = isinstance(message, Mapping) and message.get("role") == "assistant"
    return {**message, "weight": 0} if is_answer else message


def _answer(output: Any) -> Mapping[str, Any] | None:
    if not isinstance(output, list) or len(output) != 1:
        return None
    [answer] = output
    is_answer = isinstance(answer, Mapping) and answer.get("role") == "assistant"
    return answer if is_answer else None
