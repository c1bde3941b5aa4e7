"""Safe fixes: what can be put right without guessing what was meant.

A fix makes up no text. What the model shall say changes in form only: half a character, spaces
around a tool's name, missing arguments as `{}`. Where an answer itself is at fault, it is kept as
history (`weight: 0`) if another one is left to learn.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_finetune.checks.example import check_example, errors_of
from langchain_finetune.checks.finding import FIXABLE, Finding
from langchain_finetune.checks.profiles import Profile


def without_halves(value: Any) -> Any:
    r"""Return a value whose texts hold whole characters only.

    Halves that belong together are joined; one that is alone becomes U+FFFD.

    Example:
        >>> without_halves("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
        True
    """
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, dict):
        return {without_halves(key): without_halves(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_halves(inner) for inner in value]
    return value


def arguments_without_halves(text: str) -> str:
    r"""Return a call's arguments, where halves may stand as escapes such as `\ud83d`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    whole = without_halves(value)
    return text if whole == value else json.dumps(whole, ensure_ascii=False)


def _whole(text: str) -> str:
    # Text of whole characters comes through as it is.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


EditedLine = dict[str, Any]
FixFunction = Callable[[EditedLine, Finding], bool]
"""Changes an example in place; False where it could not help."""

_MAX_ROUNDS = 100
"""Faults that one example may have and still be fixed."""


def fixed(
    example: EditedLine, findings: list[Finding], rules: Profile
) -> tuple[EditedLine, list[Finding], list[Finding]]:
    """Return an example with its errors put right as far as that is safe.

    Args:
        example: The example; it stays as it is.
        findings: What is wrong with it.
        rules: The provider's rules.

    Returns:
        The new example, the errors that were fixed, and what is wrong with it now.
    """
    done: list[Finding] = []
    for _ in range(_MAX_ROUNDS):
        errors = errors_of(findings)
        if not errors or any(error.code not in _MENDS for error in errors):
            break  # One fault that stays is enough for the example to be rejected.
        try:
            step = next(filter(None, (_step(example, error) for error in errors)), None)
        except RecursionError:
            step = None  # No text is nested that deep.
        if step is None:
            break
        example, error = step
        done.append(error)
        findings = check_example(example, rules)
    return example, done, findings


def _step(example: EditedLine, error: Finding) -> tuple[EditedLine, Finding] | None:
    changed = _copied(example)
    return (changed, error) if _MENDS[error.code](changed, error) else None


def _copied(value: Any) -> Any:
    """Return a deep copy in which nothing is shared: one message may stand in several places."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _message(example: EditedLine, error: Finding) -> dict[str, Any]:
    assert error.index is not None
    message: dict[str, Any] = example["messages"][error.index]
    return message


def _functions(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the functions that a message calls, as far as they have the right shape."""
    calls = message.get("tool_calls")
    called = [call.get("function") for call in calls or () if isinstance(call, dict)]
    called.append(message.get("function_call"))
    return [function for function in called if isinstance(function, dict)]


def _trim_end(example: EditedLine, _: Finding) -> bool:
    messages = example["messages"]
    while messages and messages[-1].get("role") != "assistant":
        messages.pop()
    return bool(messages)


def _as_history(example: EditedLine, error: Finding) -> bool:
    message = _message(example, error)
    message["weight"] = 0
    return any(
        other.get("role") == "assistant" and other.get("weight") != 0
        for other in example["messages"]
    )


def _whole_weight(example: EditedLine, error: Finding) -> bool:
    message = _message(example, error)
    if not isinstance(message["weight"], bool):
        return False
    message["weight"] = int(message["weight"])
    return True


def _drop_key(key: str) -> FixFunction:
    def fix(example: EditedLine, error: Finding) -> bool:
        holder = example if error.index is None else _message(example, error)
        return holder.pop(key, None) is not None

    return fix


def _drop_empty_message(example: EditedLine, error: Finding) -> bool:
    """Drop a message that says nothing; never a user's or a tool's, which are answered."""
    message = _message(example, error)
    if message["role"] not in ("system", "developer") or message.get("content"):
        return False
    example["messages"].remove(message)
    return True


def _trim_names(example: EditedLine, error: Finding) -> bool:
    changed = False
    for function in _functions(_message(example, error)):
        name = function.get("name")
        if isinstance(name, str) and name != name.strip():
            function["name"] = name.strip()
            changed = True
    return changed


def _offered(example: EditedLine, error: Finding) -> bool:
    return _trim_names(example, error) or _as_history(example, error)


def _empty_arguments(example: EditedLine, error: Finding) -> bool:
    """A call without arguments is one with none: so LangChain and the providers read it."""
    changed = False
    for function in _functions(_message(example, error)):
        if function.get("arguments") in ("", None):
            function["arguments"] = "{}"
            changed = True
    return changed


def _rename_calls(example: EditedLine, error: Finding) -> bool:
    """Give calls of the same id new ones, and the results that answer them, in their order."""
    messages = example["messages"]
    assert error.index is not None
    taken = {
        call.get("id")
        for message in messages
        for call in message.get("tool_calls") or ()
        if isinstance(call, dict)
    }
    seen: dict[str, list[str]] = {}
    for call in messages[error.index]["tool_calls"]:
        old = call["id"]
        new = old
        while old in seen and new in taken:
            new = f"{old}_{len(seen[old]) + 1}" if new == old else f"{new}_"
        call["id"] = new
        taken.add(new)
        seen.setdefault(old, []).append(new)
    for message in messages[error.index + 1 :]:
        if message.get("role") != "tool":
            break
        names = seen.get(message.get("tool_call_id"))
        if names:
            message["tool_call_id"] = names.pop(0)
    return True


def _add_types(example: EditedLine, error: Finding) -> bool:
    things = example["tools"] if error.index is None else _message(example, error)["tool_calls"]
    for thing in things:
        if isinstance(thing, dict) and thing.get("type") is None:
            thing["type"] = "function"
    return True


def _known_name(example: EditedLine, error: Finding) -> bool:
    message = _message(example, error)
    name = message["name"]
    if not isinstance(name, str) or message["role"] == "function":
        return False
    kept = "".join("_" if letter.isspace() or letter in "<|\\/>" else letter for letter in name)
    message["name"] = kept[:64]
    return bool(kept) and kept[:64] != name


def _as_system(example: EditedLine, error: Finding) -> bool:
    message = _message(example, error)
    if message.get("role") != "developer":
        return False
    message["role"] = "system"
    return True


def _replace_halves(example: EditedLine, _: Finding) -> bool:
    for message in example["messages"]:
        for function in _functions(message) if isinstance(message, dict) else ():
            if isinstance(function.get("arguments"), str):
                function["arguments"] = arguments_without_halves(function["arguments"])
    whole = without_halves(example)
    example.clear()
    example.update(whole)
    return True


_MENDS: Mapping[str, FixFunction] = {
    "arguments_against_schema": _as_history,
    "duplicate_call_id": _rename_calls,
    "empty_functions": _drop_key("functions"),
    "empty_target": _as_history,
    "empty_tool_calls": _drop_key("tool_calls"),
    "empty_tools": _drop_key("tools"),
    "invalid_arguments": _empty_arguments,
    "invalid_call_name": _trim_names,
    "invalid_name": _known_name,
    "invalid_unicode": _replace_halves,
    "invalid_weight": _whole_weight,
    "no_content": _drop_empty_message,
    "no_final_answer": _trim_end,
    "parallel_without_tools": _drop_key("parallel_tool_calls"),
    "tool_not_offered": _offered,
    "unknown_role": _as_system,
    "untyped_call": _add_types,
    "untyped_tool": _add_types,
    "weight_outside_assistant": _drop_key("weight"),
}
assert _MENDS.keys() == FIXABLE.keys(), "each fix is told of"
