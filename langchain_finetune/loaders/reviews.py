"""What people decided on an agent's calls, found in the agent's later calls."""

import json
from collections import OrderedDict
from contextlib import suppress
from itertools import takewhile
from typing import Any

from langchain_finetune.content import UnreadableChatError, joined_text, mapping
from langchain_finetune.dialects.agent_middleware import approved_calls
from langchain_finetune.dialects.corrections import answered
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import REPLACED, FineTuningSession, wire_messages

MAX_CALLS = 10_000
"""Most answers whose calls are remembered as the next call repeats them, an LRU cache; each takes
about a kilobyte."""

_Key = tuple[str, int, int, *tuple[str, ...]]
"""Of an answer with calls: thread, position, hash of the message before, ids of the calls."""


class Reviews:
    """Applies what people decided on an answer's calls, as a later call's history shows it.

    An agent that waits for a person ends its trace, and goes on in another one of the same thread.
    So an answer and its history are matched by thread, position, the message before and ids of the
    calls. The later call must be learned first.

    A decision that a result tells is taken from any later call. Without one, a call that differs
    was edited only if the agent's next call has it so: middleware may shorten older calls later.

    Args:
        most: Most answers of which no result tells a decision that are remembered; None is all.

    Example:
        >>> from langchain_finetune.messages import WireMessages
        >>> def call(arguments, *more):
        ...     function = {"name": "send", "arguments": arguments}
        ...     made = {"role": "assistant", "content": None, "tool_calls": [
        ...         {"id": "c", "type": "function", "function": function}]}
        ...     wire = [{"role": "user", "content": "Hi"}, made, *more]
        ...     return {"messages": WireMessages(wire), "source": {"thread_id": "t"}}
        >>> reviews = Reviews()
        >>> reviews.learn(call("{}", {"role": "tool", "tool_call_id": "c", "content": "Sent"}))
        >>> "rejected" in reviews.applied(call("{}"))
        False
    """

    def __init__(self, most: int | None = MAX_CALLS) -> None:
        self._most = most
        self._approved: dict[_Key, dict[str, dict[str, Any] | None]] = {}
        self._repeated: OrderedDict[_Key, list[Any]] = OrderedDict()

    def learn(self, session: FineTuningSession) -> None:
        """Note the calls in the history of a chat that were approved.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        source = session.get("source", {})
        thread_id = source.get("thread_id")
        if thread_id is None:
            return
        replaced: dict[int, list[str]] = {}
        for position, call_id in json.loads(source.get("replaced_calls", "[]")):
            replaced.setdefault(position, []).append(call_id)
        wire = wire_messages(session)
        answers = [at for at, each in enumerate(wire[:-1]) if each["role"] == "assistant"]
        for position in {*replaced, *answers[-1:]}:
            if not (calls := wire[position].get("tool_calls")):
                continue
            key = _key(thread_id, wire, position)
            if found := replaced.get(position):
                results = takewhile(lambda each: each["role"] != "assistant", wire[position + 1 :])
                self._approved.setdefault(key, {}).update(approved_calls(found, results))
            if position == answers[-1]:
                self._repeated[key] = calls
                self._repeated.move_to_end(key)
                if self._most is not None and len(self._repeated) > self._most:
                    self._repeated.popitem(last=False)

    def applied(self, session: FineTuningSession) -> FineTuningSession:
        """Return a chat with what was approved as its answer; what it replaced is `rejected`.

        Raises:
            UnreadableChatError: Nothing of the answer was approved, or a message cannot be
                represented in the wire form.
        """
        wire = wire_messages(session)
        answer = wire[-1]
        calls = answer.get("tool_calls")
        thread_id = session.get("source", {}).get("thread_id")
        if not calls or thread_id is None:
            return session
        key = _key(thread_id, wire, len(wire) - 1)
        decided = self._approved.get(key, {})
        approved = []
        for call, repeated in zip(calls, self._repeated.get(key) or calls, strict=True):
            kept = call if _same(call, repeated) else repeated
            if (kept := decided.get(str(mapping(call).get("id")), kept)) is not None:
                approved.append(kept)
        if not approved:
            raise UnreadableChatError(
                REPLACED, "A person rejected the model's call, or answered in its place."
            )
        if len(approved) == len(calls) and all(map(_same, calls, approved)):
            return session
        better: WireMessage = {**answer, "tool_calls": approved}
        better.pop("weight", None)
        changed = answered(session, better)
        changed.pop("score", None)  # It was the old answer that was rated.
        return changed


def _key(thread_id: str, wire: list[WireMessage], position: int) -> _Key:
    # Some servers give the same ids in each answer, and a thread may have several chats.
    before = wire[position - 1].get("content") if position else None
    ids = (str(mapping(call).get("id")) for call in wire[position]["tool_calls"])
    return (thread_id, position, hash(str(joined_text(before))), *ids)


def _same(call: Any, approved: Any) -> bool:
    """Return whether a call in a history is the model's own; also if its arguments were cleared."""
    one, other = (mapping(mapping(each).get("function")) for each in (call, approved))
    return one.get("name") == other.get("name") and (
        (arguments := _parsed(other.get("arguments"))) == _parsed(one.get("arguments"))
        # ContextEditingMiddleware clears old calls so.
        or arguments == {}
    )


def _parsed(text: Any) -> Any:
    with suppress(TypeError, ValueError, RecursionError):
        return json.loads(text)
    return text
