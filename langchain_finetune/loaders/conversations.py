"""Joining the calls of a trace or a thread to conversations."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import orjson

from langchain_finetune.content import INSTRUCTIONS, joined_text
from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import SETTINGS, FineTuningSession, wire_messages

MAX_TRACES = 10_000
"""Most traces that are remembered, an LRU cache; each takes some kilobytes."""


class Folder:
    """Detects calls that a newer call of the trace contains, by fingerprints.

    Calls must come newest first, as from LangSmith: then a call that is part of another comes
    after it, and can be dropped.

    Example:
        >>> from langchain_finetune.messages import WireMessages
        >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        >>> more = [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]
        >>> folder = Folder()
        >>> folder.folds("trace", {"messages": WireMessages(chat + more)})
        False
        >>> folder.folds("trace", {"messages": WireMessages(chat)})
        True
    """

    def __init__(self) -> None:
        self._traces: OrderedDict[str, set[bytes]] = OrderedDict()

    def folds(self, trace_id: str, session: FineTuningSession) -> bool:
        """Return whether a newer call of the trace contains a call; remember the call if not.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        known = self._traces.setdefault(trace_id, set())
        self._traces.move_to_end(trace_id)
        if len(self._traces) > MAX_TRACES:
            self._traces.popitem(last=False)
        prints = fingerprints(session, wire_messages(session))
        if prints[-1] in known:
            return True
        known.update(prints)
        return False


class OrderlessFolder:
    """Detects calls that another call of the trace or thread contains, for calls in any order.

    All calls are learned first, and then asked for in a second pass. It keeps one number for each
    message of a trace and of a thread, however many calls repeat it.

    Example:
        >>> from langchain_finetune.messages import WireMessages
        >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        >>> more = [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]
        >>> source = {"trace_id": "t-1"}
        >>> calls = [
        ...     {"messages": WireMessages(chat), "source": source},
        ...     {"messages": WireMessages(chat + more), "source": source},
        ... ]
        >>> folder = OrderlessFolder()
        >>> for call in calls:
        ...     folder.learn(call)
        >>> [folder.folded_by(call) for call in calls]
        ['trace', None]
    """

    def __init__(self) -> None:
        self._continued: set[int] = set()
        self._kept: set[int] = set()

    def learn(self, session: FineTuningSession) -> None:
        """Note what a call contains.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        for numbers in _numbers(session).values():
            self._continued.update(numbers[:-1])

    def folded_by(self, session: FineTuningSession) -> str | None:
        """Return in what another call contains a call, or an equal one was asked for before.

        That is its `trace`, or else its `thread`; None where there is no such call.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        wholes = {unit: numbers[-1] for unit, numbers in _numbers(session).items()}
        if session.get("rejected"):
            # The agent went on in another trace, and only this call has the worse answer.
            wholes.pop("thread", None)
        for unit, whole in wholes.items():
            if whole in self._continued or whole in self._kept:
                return unit
        self._kept.update(wholes.values())
        return None


def told_folded(unit: str) -> str:
    """Return the reason of a call that was left out for another one of a `trace` or `thread`."""
    return f"Another call of the {unit} contains all of it."


def _numbers(session: FineTuningSession) -> dict[str, list[int]]:
    """Return a number of 64 bits for each prefix of a chat, in its trace and in its thread."""
    source = session.get("source", {})
    ids = {unit: name for unit in ("trace", "thread") if (name := source.get(f"{unit}_id"))}
    prints = fingerprints(session, wire_messages(session)) if ids else []
    return {
        unit: [
            int.from_bytes(hashlib.blake2b(place + each, digest_size=8).digest()) for each in prints
        ]
        for unit, name in ids.items()
        if (place := f"{unit} {name}".encode())
    }


def fingerprints(settings: Mapping[str, Any], messages: Iterable[WireMessage]) -> list[bytes]:
    """Return a fingerprint of each prefix of a chat, with the settings: of one message, two, ..."""
    given = {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
    state = hashlib.blake2b(_encoded(given), digest_size=16)
    found = []
    for message in messages:
        state.update(_encoded(_comparable(message)))
        found.append(state.digest())
    return found


def _comparable(message: WireMessage) -> dict[str, Any]:
    """Return a message without what differs between an answer and its repetition as history."""
    plain = {key: value for key, value in message.items() if value not in (None, "", [])}
    plain.pop("weight", None)
    if message.get("role") == "assistant":
        # Agents add their name to answers in the history.
        plain.pop("name", None)
    if "content" in plain:
        plain["content"] = joined_text(plain["content"])
    if "tool_calls" in plain:
        plain["tool_calls"] = [_comparable_call(call) for call in plain["tool_calls"]]
    return plain


def _comparable_call(call: Mapping[str, Any]) -> list[Any]:
    function = call.get("function") or {}
    arguments: Any = function.get("arguments")
    with suppress(TypeError, ValueError):
        # The spacing is the model's in an answer, and LangChain's in the history.
        arguments = json.loads(arguments)
    return [call.get("id"), function.get("name"), arguments]


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        # An unpaired surrogate.
        return json.dumps(value, sort_keys=True).encode() + b"\n"


def join_calls(calls: Iterable[FineTuningSession]) -> list[FineTuningSession]:
    """Return the conversations of a thread's calls, which come oldest first, by their beginnings.

    - A call that sent the conversation so far replaces it: that is what the model saw.
    - A call that sent only the instructions and new messages is appended to it.
    - Any other call (a regenerated answer, a truncated or summarized history, other instructions or
      tools) is a conversation of its own.

    So most threads are one session.

    Raises:
        UnreadableChatError: A message cannot be represented in the wire form.

    Example:
        >>> def call(*texts):
        ...     roles = ["user", "assistant"] * 2
        ...     pairs = zip(roles, texts, strict=False)
        ...     wire = [{"role": role, "content": text} for role, text in pairs]
        ...     return {"messages": WireMessages(wire)}
        >>> [whole] = join_calls([call("Hi", "Hello"), call("Bye", "Bye!")])
        >>> len(whole["messages"])
        4
    """
    conversations: list[FineTuningSession] = []
    for call in calls:
        for position in reversed(range(len(conversations))):
            joined = _joined(conversations[position], call)
            if joined is not None:
                conversations[position] = joined
                break
        else:
            conversations.append(call)
    return conversations


def _joined(known: FineTuningSession, call: FineTuningSession) -> FineTuningSession | None:
    """Return a conversation continued by a call, or None if the call does not continue it."""
    old, new = wire_messages(known), wire_messages(call)
    before, after = fingerprints(known, old), fingerprints(call, new)
    if after[-1] in before:
        return _with_cut_answer(known, call)
    if before[-1] in after:
        return _with_cut_answer(call, known)
    start = _instructions(old)
    fresh = new[start:]
    alike = start == _instructions(new) and before[:start] == after[:start]
    same_settings = fingerprints(known, old[:1]) == fingerprints(call, old[:1])
    regenerated = len(after) > 1 and after[-2] in before
    has_history = any(message["role"] == "assistant" for message in fresh[:-1])
    # After calls without results nothing may follow.
    waits = old[-1].get("tool_calls") or old[-1].get("function_call")
    # The call saw a summary in place of what was before.
    summarized = "summarized" in call.get("source", {})
    if not alike or not same_settings or regenerated or has_history or waits or summarized:
        return None
    whole = call.copy()
    whole["messages"] = WireMessages([*_not_learnt(known), *fresh])
    if dropped := _dropped_reasoning(known) + _dropped_reasoning(call):
        whole["source"] = {**call.get("source", {}), "dropped_reasoning": str(dropped)}
    return whole


def _not_learnt(session: FineTuningSession) -> list[WireMessage]:
    """Return a session's messages; an answer that was cut off is seen, but not trained on."""
    *sent, answer = wire_messages(session)
    if "finish_reason" in session.get("source", {}):
        answer = {**answer, "weight": 0}
    return [*sent, answer]


def _with_cut_answer(whole: FineTuningSession, part: FineTuningSession) -> FineTuningSession:
    """Return a session that contains another one, whose answer may have been cut off."""
    if "finish_reason" not in part.get("source", {}):
        return whole
    end = len(wire_messages(part))
    changed = whole.copy()
    changed["messages"] = WireMessages([*_not_learnt(part), *wire_messages(whole)[end:]])
    return changed


def _dropped_reasoning(session: FineTuningSession) -> int:
    return int(session.get("source", {}).get("dropped_reasoning", 0))


def _instructions(messages: Sequence[WireMessage]) -> int:
    """Return the number of instructions at the beginning."""
    return sum(1 for _ in takewhile(lambda message: message["role"] in INSTRUCTIONS, messages))
