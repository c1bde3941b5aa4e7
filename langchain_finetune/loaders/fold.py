"""Folding: a call that a later call of its trace repeats as history is left out. Pure.

An agent sends its growing conversation again with each step. The last call holds all of it, and a
fine-tuning engine learns every answer in it; the earlier calls would be paid for twice.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from langchain_finetune.messages import WireMessage
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
        """Tell whether a newer call of the trace holds all of a call; remember the call if not.

        Args:
            trace_id: The trace that the call belongs to.
            session: The call: what was sent, then what came back.

        Raises:
            UnreadableChatError: A message holds what the wire form can't say.
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
