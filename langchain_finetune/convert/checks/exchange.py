"""How messages follow each other: what is there to learn, and results that answer their calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_finetune.convert.checks.check import Check


def check_exchange(messages: Sequence[Mapping[str, Any]], check: Check) -> None:
    """Check targets, the order of roles, and the results of calls."""
    roles = [message.get("role") for message in messages]
    _check_targets(messages, roles, check)
    _check_order(roles, check)
    _check_results(messages, roles, check)


def _check_targets(
    messages: Sequence[Mapping[str, Any]], roles: Sequence[Any], check: Check
) -> None:
    last = messages[-1]
    if "assistant" not in roles:
        check.add("no_assistant_message", "There is nothing to learn: no assistant message.")
    elif roles[-1] != "assistant":
        check.add("no_final_answer", "The last message must be the assistant's.")
    elif last.get("weight") == 0 and not any(map(_is_target, messages)):
        check.add("no_target", "There is nothing to learn: every assistant weight is 0.")
    elif check.rules.text_answer_last and (last.get("tool_calls") or last.get("function_call")):
        place = len(messages) - 1
        check.add("call_last", "The last message should be a text answer, no call.", place)


def _is_target(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "assistant" and message.get("weight") != 0


def _check_order(roles: Sequence[Any], check: Check) -> None:
    """Look at orders that some chat templates refuse; OpenAI takes them."""
    begun = False
    before = None
    for index, role in enumerate(roles):
        if role == "assistant":
            if before == "assistant":
                check.add("consecutive_answers", "Two assistant messages in a row.", index)
            begun = True
        elif role in ("system", "developer"):
            if begun:
                check.add("late_system", "Instructions after the chat has begun.", index)
        else:
            begun = True
        before = role


def _check_results(
    messages: Sequence[Mapping[str, Any]], roles: Sequence[Any], check: Check
) -> None:
    """Each tool message answers a call of the assistant message before it, and none stays open."""
    waiting: list[str] = []
    asked_at = 0
    used: set[str] = set()
    for index, message in enumerate(messages):
        if roles[index] == "tool":
            call_id = message.get("tool_call_id")
            if call_id in waiting:
                waiting.remove(call_id)
            else:
                check.add("unasked_tool_result", "A tool message answers no open call.", index)
            continue
        if waiting:
            check.add("unanswered_tool_call", "A tool call was never answered.", asked_at)
            waiting = []
        if calls := message.get("tool_calls"):
            calls = calls if isinstance(calls, list) else ()
            ids = [call.get("id") for call in calls if isinstance(call, dict)]
            waiting = [call_id for call_id in ids if isinstance(call_id, str)]
            asked_at = index
            if not used.isdisjoint(waiting):
                text = "A call has the id of an earlier call."
                check.add("reused_call_id", text, index, "warning")
            used.update(waiting)
    # Calls of the last message are the answer to learn; nobody has to answer them.
