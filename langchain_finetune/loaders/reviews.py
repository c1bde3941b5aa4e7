"""What people decided on an agent's calls, found in the agent's later calls."""

import json
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from langchain_finetune.content import UnreadableChatError, mapping
from langchain_finetune.dialects.agent_middleware import replace_calls
from langchain_finetune.dialects.corrections import answered
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import REPLACED, FineTuningSession, wire_messages

MAX_CALLS = 10_000
"""Most answers with calls that are remembered, an LRU cache; each takes about a kilobyte."""


class Reviews:
    """Applies what people decided on an answer's calls, as a later call's history shows it.

    An agent that waits for a person ends its trace, and goes on in another one of the same thread.
    So an answer and its history are matched by thread, position and ids of the calls. The later
    call must be learned first.

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

    def __init__(self) -> None:
        self._approved: OrderedDict[tuple[str, int], tuple[list[Any], list[Any]]] = OrderedDict()

    def learn(self, session: FineTuningSession) -> None:
        """Note the calls in the history of a chat that were approved.

        Raises:
            UnreadableChatError: A message cannot be represented in the wire form.
        """
        source = session.get("source", {})
        thread_id = source.get("thread_id")
        if thread_id is None:
            return
        replaced = source.get("replaced_calls", "").split()
        wire = wire_messages(session)
        for position, message in enumerate(wire[:-1]):
            if calls := message.get("tool_calls"):
                approved = replace_calls(calls, replaced, wire[position + 1 :])
                key = (thread_id, position)
                self._approved[key] = (_ids(calls), approved)
                self._approved.move_to_end(key)
                if len(self._approved) > MAX_CALLS:
                    self._approved.popitem(last=False)

    def applied(self, session: FineTuningSession) -> FineTuningSession:
        """Return a chat with what was approved as its answer; what it replaced is `rejected`.

        Raises:
            UnreadableChatError: Nothing of the answer was approved, or a message cannot be
                represented in the wire form.
        """
        *history, answer = wire_messages(session)
        calls = answer.get("tool_calls")
        thread_id = session.get("source", {}).get("thread_id")
        if not calls or thread_id is None:
            return session
        ids, approved = self._approved.get((thread_id, len(history)), ([], []))
        if ids != _ids(calls):
            return session
        if not approved:
            raise UnreadableChatError(
                REPLACED, "A person rejected the model's call, or answered in its place."
            )
        if all(map(_same, calls, approved)) and len(approved) == len(calls):
            return session
        better: WireMessage = {**answer, "tool_calls": approved}
        better.pop("weight", None)
        changed = answered(session, better)
        changed.pop("score", None)  # It was the old answer that was rated.
        return changed


def _ids(calls: list[Any]) -> list[Any]:
    return [mapping(call).get("id") for call in calls]


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
