"""A thread's calls become whole conversations. Pure."""

from collections.abc import Iterable, Sequence

from langchain_finetune.loaders.fold import fingerprints
from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession, wire_messages

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
        UnreadableChatError: A message holds what the wire form can't say.

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
    """Tell whether a conversation ends with calls that nobody answered: nothing may follow."""
    return bool(messages[-1].get("tool_calls") or messages[-1].get("function_call"))
