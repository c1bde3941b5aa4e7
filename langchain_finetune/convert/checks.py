"""What makes an example fit for training: the rules that every engine of OpenAI's shape shares.

The same rules run before an upload (`Convert`) and in the embedded engine, so both say the same.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIN_EXAMPLES = 10
"""Fewest examples of a training file (OpenAI's fine-tuning guide)."""

MAX_TOOLS = 128
"""Most tools or functions of one example (OpenAI's API reference)."""

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


@dataclass(frozen=True)
class Finding:
    """One fault of an example.

    Attributes:
        code: Stable name of the rule, such as `no_assistant_message`.
        message: One sentence; it never quotes training text.
        index: Position of the message at fault, counted from 0; None for the whole example.
    """

    code: str
    message: str
    index: int | None = None


def check_example(example: Any) -> Iterator[Finding]:
    """Yield every fault of one supervised example (a parsed line of the training file).

    Example:
        >>> [finding.code for finding in check_example({"messages": []})]
        ['no_messages']
    """
    if not isinstance(example, Mapping):
        yield Finding("not_an_object", "An example must be a JSON object.")
        return
    messages = example.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        yield Finding("no_messages", "An example needs a list of messages, with one at least.")
        return
    yield from _check_tools(example)
    for index, message in enumerate(messages):
        yield from _check_message(index, message)
    if all(isinstance(message, Mapping) for message in messages):
        yield from _check_targets(messages)
        yield from _check_tool_results(messages)


def _check_tools(example: Mapping[str, Any]) -> Iterator[Finding]:
    for field in ("tools", "functions"):
        tools = example.get(field)
        if tools is None:
            continue
        if not isinstance(tools, list):
            yield Finding(f"invalid_{field}", f"{field} must be a list.")
            continue
        if len(tools) > MAX_TOOLS:
            yield Finding(
                f"too_many_{field}", f"{len(tools)} {field}; at most {MAX_TOOLS} are allowed."
            )
        for tool in tools:
            function = tool.get("function") if field == "tools" and _is_object(tool) else tool
            if not _is_object(function) or not isinstance(function.get("name"), str):
                yield Finding(
                    f"invalid_{field}", f"Each of {field} must be a function with a name."
                )


def _check_message(index: int, message: Any) -> Iterator[Finding]:
    if not _is_object(message):
        yield Finding("not_a_message", "A message must be a JSON object.", index)
        return
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        yield Finding("unknown_role", "A message needs a role that OpenAI's API knows.", index)
        return
    if role != "assistant":
        if message.get("tool_calls") or message.get("function_call"):
            yield Finding("calls_outside_assistant", "Only the assistant calls tools.", index)
        if not isinstance(message.get("content"), str | list):
            yield Finding("no_content", f"A {role} message needs content.", index)
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            yield Finding("no_tool_call_id", "A tool message needs the id of its call.", index)
        return
    yield from _check_answer(index, message)


def _check_answer(index: int, message: Mapping[str, Any]) -> Iterator[Finding]:
    calls = message.get("tool_calls")
    function_call = message.get("function_call")
    if message.get("weight") not in (None, 0, 1):  # A tuple: the value may be unhashable.
        yield Finding("invalid_weight", "An assistant message's weight is 0 or 1.", index)
    if calls is not None and not isinstance(calls, list):
        yield Finding("invalid_tool_calls", "tool_calls must be a list.", index)
        return
    if not calls and not function_call and not isinstance(message.get("content"), str | list):
        yield Finding("no_content", "An assistant message needs content or calls.", index)
    for call in calls or ():
        if not _is_object(call) or not isinstance(call.get("id"), str):
            yield Finding("invalid_tool_calls", "A tool call needs an id.", index)
        else:
            yield from _check_call(index, call.get("function"))
    if function_call is not None:
        yield from _check_call(index, function_call)


def _check_call(index: int, function: Any) -> Iterator[Finding]:
    if not _is_object(function) or not isinstance(function.get("name"), str):
        yield Finding("invalid_tool_calls", "A call needs the name of its function.", index)
        return
    try:
        arguments = json.loads(function.get("arguments"))
    except (TypeError, ValueError, RecursionError):
        arguments = None
    if not _is_object(arguments):
        yield Finding("invalid_arguments", "A call's arguments must be a JSON object.", index)


def _check_targets(messages: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    assistant = [message for message in messages if message.get("role") == "assistant"]
    if not assistant:
        yield Finding("no_assistant_message", "There is nothing to learn: no assistant message.")
    elif messages[-1].get("role") != "assistant":
        yield Finding("no_final_answer", "The last message must be the assistant's.")
    elif all(message.get("weight") == 0 for message in assistant):
        yield Finding("no_target", "There is nothing to learn: every assistant weight is 0.")


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Each tool message answers a call of the assistant message before it, and none stays open."""
    open_calls: dict[str, int] = {}
    for index, message in enumerate(messages):
        if message.get("role") == "tool":
            if open_calls.pop(str(message.get("tool_call_id")), None) is None:
                yield Finding("unasked_tool_result", "A tool message answers no open call.", index)
            continue
        for asked_at in open_calls.values():
            yield Finding("unanswered_tool_call", "A tool call was never answered.", asked_at)
        calls = message.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        open_calls = {str(call.get("id")): index for call in calls if _is_object(call)}
    # Calls of the last message are the answer to learn; nobody has to answer them.


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)
