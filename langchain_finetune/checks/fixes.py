"""Safe fixes: corrections of an example that need no guess about its meaning.

A fix invents no text. What the model is trained to answer changes in form only: unpaired
surrogates, spaces around a tool's name, missing arguments as `{}`. An answer that is itself invalid
becomes context (`weight: 0`) if another one remains to train on.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_finetune.checks.example import check_example, errors_of, is_target
from langchain_finetune.checks.finding import FIXED_WARNINGS, FIXES_BY_CODE, Finding
from langchain_finetune.checks.profiles import Profile
from langchain_finetune.tolerant_json import without_surrogates


def arguments_without_surrogates(text: str) -> str:
    r"""Return a call's arguments without surrogates, also those written as escapes (`\ud83d`)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    whole = without_surrogates(value)
    return text if whole == value else json.dumps(whole, ensure_ascii=False)


EditedLine = dict[str, Any]
FixFunction = Callable[[EditedLine, Finding], bool]
"""Changes an example in place; returns False if it could not fix it."""

_MAX_ROUNDS = 100
"""Most fixes of one example."""


def fix_example(
    example: EditedLine, findings: list[Finding], rules: Profile
) -> tuple[EditedLine, list[Finding], list[Finding]]:
    """Return a new example without what is safe to fix, those findings, and others."""
    done: list[Finding] = []
    for _ in range(_MAX_ROUNDS):
        errors = errors_of(findings)
        if any(error.code not in _FIXES for error in errors):
            break  # One error without a fix is enough to reject the example.
        errors = errors or [finding for finding in findings if finding.code in FIXED_WARNINGS]
        try:
            tried = ((_copied(example), error) for error in errors)
            step = next((each for each in tried if _FIXES[each[1].code](*each)), None)
        except RecursionError:
            step = None  # Nested too deeply.
        if step is None:
            break
        example, error = step
        done.append(error)
        findings = check_example(example, rules)
    return example, done, findings


def _copied(value: Any) -> Any:
    """Return a deep copy that shares nothing: one message may occur in several places."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _message(example: EditedLine, error: Finding) -> dict[str, Any]:
    assert error.index is not None
    message: dict[str, Any] = example["messages"][error.index]
    return message


def _functions(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the functions that a message calls, without malformed ones."""
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
    return any(map(is_target, example["messages"]))


def _integer_weight(example: EditedLine, error: Finding) -> bool:
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
    """Drop an empty instruction; never a user's or a tool's message, which was answered."""
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


def _empty_arguments(example: EditedLine, error: Finding) -> bool:
    """Write missing arguments as `{}`, as LangChain and the providers read them."""
    functions = _functions(_message(example, error))
    missing = [function for function in functions if function.get("arguments") in ("", None)]
    for function in missing:
        function["arguments"] = "{}"
    return bool(missing)


def _rename_calls(example: EditedLine, error: Finding) -> bool:
    """Give calls with the same id new ids, and their results likewise, in order."""
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


def _allowed_name(example: EditedLine, error: Finding) -> bool:
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


def _join_parts(example: EditedLine, error: Finding) -> bool:
    message = _message(example, error)
    message["content"] = "".join(part["text"] for part in message["content"])
    return True


def _replace_surrogates(example: EditedLine, _: Finding) -> bool:
    for message in example["messages"]:
        for function in _functions(message) if isinstance(message, dict) else ():
            if isinstance(function.get("arguments"), str):
                function["arguments"] = arguments_without_surrogates(function["arguments"])
    whole = without_surrogates(example)
    example.clear()
    example.update(whole)
    return True


_FIXES: Mapping[str, FixFunction] = {
    "arguments_against_schema": _as_history,
    "duplicate_call_id": _rename_calls,
    "empty_functions": _drop_key("functions"),
    "empty_target": _as_history,
    "empty_tool_calls": _drop_key("tool_calls"),
    "empty_tools": _drop_key("tools"),
    "invalid_arguments": _empty_arguments,
    "invalid_call_name": _trim_names,
    "invalid_name": _allowed_name,
    "invalid_unicode": _replace_surrogates,
    "invalid_weight": _integer_weight,
    "no_content": _drop_empty_message,
    "no_final_answer": _trim_end,
    "parallel_without_tools": _drop_key("parallel_tool_calls"),
    "text_in_parts": _join_parts,
    "tool_not_offered": lambda *given: _trim_names(*given) or _as_history(*given),
    "unknown_role": _as_system,
    "untyped_call": _add_types,
    "untyped_tool": _add_types,
    "weight_outside_assistant": _drop_key("weight"),
}
assert _FIXES.keys() == FIXES_BY_CODE.keys(), "each fix has a description"
