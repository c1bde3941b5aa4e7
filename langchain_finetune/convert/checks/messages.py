"""The messages of an example, one by one: roles, keys, names, contents and weights."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_finetune.convert.checks.calls import check_calls
from langchain_finetune.convert.checks.check import Check
from langchain_finetune.convert.checks.content import check_parts


def check_messages(messages: Sequence[Any], check: Check) -> bool:
    """Check each message by itself, and how many images all have together.

    Returns:
        Whether all are objects at least.
    """
    images = 0
    shaped = True
    keys = check.rules.keys
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            check.add("not_a_message", "A message must be a JSON object.", index)
            shaped = False
            continue
        role = message.get("role")
        allowed = keys.get(role) if isinstance(role, str) else None
        if allowed is None:
            check.add("unknown_role", "A message needs a role that the provider knows.", index)
            continue
        assert isinstance(role, str)
        if not allowed.issuperset(message):
            _check_keys(index, message, allowed, check)
        if (name := message.get("name")) is not None:
            _check_name(index, role, name, check)
        content = message.get("content")
        if isinstance(content, list):
            images += check_parts(index, role, content, check)
        elif role != "assistant" and not isinstance(content, str):
            check.add("no_content", f"A {role} message needs content.", index)
        if role == "assistant":
            _check_answer(index, message, content, check)
        elif role in ("tool", "function"):
            _check_result(index, role, message, check)
    if images > check.rules.max_images:
        check.add(
            "too_many_images", f"{images} images; at most {check.rules.max_images} are allowed."
        )
    return shaped


def _check_result(index: int, role: str, message: Mapping[str, Any], check: Check) -> None:
    if role == "function":
        if message.get("name") is None:
            check.add("no_function_name", "A function message needs its name.", index)
    elif not isinstance(message.get("tool_call_id"), str):
        check.add("no_tool_call_id", "A tool message needs the id of its call.", index)


def _check_answer(
    index: int,
    message: Mapping[str, Any],
    content: Any,
    check: Check,
) -> None:
    weight = message.get("weight")
    # JSON's true is no number, though Python's is.
    if weight is not None and (weight not in (0, 1) or isinstance(weight, bool)):
        check.add("invalid_weight", "An assistant message's weight is 0 or 1.", index)
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    if calls is not None or legacy is not None:
        check_calls(index, message, check)
    if isinstance(content, str):
        empty = not content or content.isspace()
    elif isinstance(content, list):
        empty = bool(content) and not any(map(_says_something, content))
    elif content is None:
        empty = False
        if not calls and not legacy:
            check.add("no_content", "An assistant message needs content or calls.", index)
    else:
        empty = False
        check.add("invalid_content", "Content must be text or a list.", index)
    if empty and weight != 0 and not (calls or legacy or message.get("refusal")):
        check.add("empty_target", "An answer to learn is empty: it says and calls nothing.", index)


def _says_something(part: Any) -> bool:
    """Tell whether a content part is more than blank text; what is no part is told elsewhere."""
    if not isinstance(part, dict) or part.get("type") not in ("text", "refusal"):
        return True
    text = part.get(part["type"])
    return not isinstance(text, str) or bool(text.strip())


def _check_keys(
    index: int, message: Mapping[str, Any], allowed: frozenset[str], check: Check
) -> None:
    """Look at the keys that a message of this role does not have; null says nothing."""
    strange = {key for key, value in message.items() if key not in allowed and value is not None}
    if message["role"] != "assistant":
        if message.get("tool_calls") or message.get("function_call"):
            check.add("calls_outside_assistant", "Only the assistant calls tools.", index)
        if "weight" in strange:
            check.add(
                "weight_outside_assistant",
                "Only the assistant's messages have a weight.",
                index,
            )
        strange -= {"tool_calls", "function_call", "weight"}
    if strange:
        check.add(
            "unknown_key",
            f"A {message['role']} message has {len(strange)} keys that are not of OpenAI's "
            "form; nothing is learnt from them.",
            index,
            "warning",
        )


def _check_name(index: int, role: str, name: Any, check: Check) -> None:
    if not isinstance(name, str):
        check.add("invalid_name", "A message's name must be a string.", index)
    # A tool's message names the tool; no provider looks at it.
    elif role != "tool" and not re.fullmatch(check.rules.message_name, name):
        check.add(
            "invalid_name",
            "A message's name has 1 to 64 characters, without spaces and < | \\ / >.",
            index,
        )
