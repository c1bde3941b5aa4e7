"""A thread's calls become whole conversations. Pure."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import SETTINGS, FineTuningSession, wire_messages

MOST_TRACES = 10_000
"""How many traces are remembered: those that were seen last. One takes some kilobytes."""


class Folder:
    """Remembers what was said in traces, by fingerprints.

    Calls must come newest first, as LangSmith gives them: then a call that is part of another
    comes after it, and needs only be dropped.

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
        """Return whether a newer call of the trace holds all of a call; remember the call if not.

        Args:
            trace_id: The trace that the call belongs to.
            session: The call: what was sent, then what came back.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        known = self._traces.setdefault(trace_id, set())
        self._traces.move_to_end(trace_id)
        if len(self._traces) > MOST_TRACES:
            self._traces.popitem(last=False)
        prints = fingerprints(session, wire_messages(session))
        if prints[-1] in known:
            return True
        known.update(prints)
        return False


def fingerprints(settings: Mapping[str, Any], messages: Iterable[WireMessage]) -> list[bytes]:
    """Return a fingerprint of each beginning of a chat: of one message, of two, ...

    Args:
        settings: What else the request said: `tools`, ...; chats that differ in it differ.
        messages: The chat in wire form.
    """
    said = {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
    state = hashlib.blake2b(_encoded(said), digest_size=16)
    found = []
    for message in messages:
        state.update(_encoded(_comparable(message)))
        found.append(state.digest())
    return found


def _comparable(message: WireMessage) -> dict[str, Any]:
    """Return a message without what changes between an answer and its repetition as history."""
    plain = {key: value for key, value in message.items() if value not in (None, "", [])}
    if message.get("role") == "assistant":
        # Agents put their name on answers once they are history.
        plain.pop("name", None)
    content = plain.get("content")
    if isinstance(content, list) and all(map(_is_text, content)):
        plain["content"] = "".join(part.get("text", "") for part in content)
    if "tool_calls" in plain:
        plain["tool_calls"] = [_comparable_call(call) for call in plain["tool_calls"]]
    return plain


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text"


def _comparable_call(call: Mapping[str, Any]) -> list[Any]:
    function = call.get("function") or {}
    arguments: Any = function.get("arguments")
    with suppress(TypeError, ValueError):
        # The spacing is the model's at first, and LangChain's in the history.
        arguments = json.loads(arguments)
    return [call.get("id"), function.get("name"), arguments]


def _encoded(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


_INSTRUCTIONS = frozenset({"system", "developer"})


def join_calls(calls: Iterable[FineTuningSession]) -> list[FineTuningSession]:
    """Return the conversations that a thread's calls make, the one that began first first.

    - A call that sent the conversation so far takes its place: that is what the model saw.
    - A call that sent nothing of it, only the instructions and what is new, is added at its end.
    - A call that went another way (an answer that was made again, a history that was cut, other
      instructions or tools) is a conversation of its own.

    So most threads are one session.

    Args:
        calls: Those of one thread, oldest first.

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
    """Return a conversation with a call that goes on with it, or None where it does not."""
    old, new = wire_messages(known), wire_messages(call)
    before, after = fingerprints(known, old), fingerprints(call, new)
    if after[-1] in before:
        return known
    if before[-1] in after:
        return call
    start = _instructions(old)
    fresh = new[start:]
    alike = start == _instructions(new) and before[:start] == after[:start]
    same_settings = fingerprints(known, old[:1]) == fingerprints(call, old[:1])
    asked_again = len(after) > 1 and after[-2] in before
    has_history = any(message["role"] == "assistant" for message in fresh[:-1])
    if not alike or not same_settings or asked_again or has_history or _open_calls(old):
        return None
    whole = call.copy()
    whole["messages"] = WireMessages([*old, *fresh])
    if dropped := _dropped_reasoning(known) + _dropped_reasoning(call):
        whole["source"] = {**call.get("source", {}), "dropped_reasoning": str(dropped)}
    return whole


def _dropped_reasoning(session: FineTuningSession) -> int:
    return int(session.get("source", {}).get("dropped_reasoning", 0))


def _instructions(messages: Sequence[WireMessage]) -> int:
    """Return how many messages at the beginning are instructions."""
    for position, message in enumerate(messages):
        if message["role"] not in _INSTRUCTIONS:
            return position
    return len(messages)


def _open_calls(messages: Sequence[WireMessage]) -> bool:
    """Return whether a conversation ends with calls that nobody answered: nothing may follow."""
    return bool(messages[-1].get("tool_calls") or messages[-1].get("function_call"))
