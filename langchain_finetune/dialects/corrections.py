"""Answers as users or annotators corrected them, or as references have them. Pure."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.dialects.messages import read_messages, settle_reasoning
from langchain_finetune.messages import UnreadableChatError, WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession, wire_messages

_WRAPPERS = ("message", "output", "answer")


def corrected(session: FineTuningSession, correction: Any) -> FineTuningSession:
    """Return a session that ends with a correction instead of its answer, now its `rejected`.

    Args:
        session: In wire form, its answer last.
        correction: The text, or a message in any stored form, or one of these in an object under
            `message`, `output` or `answer`.

    Raises:
        UnreadableChatError: It holds no answer.

    Example:
        >>> messages = WireMessages([{"role": "user", "content": "6*7?"},
        ...                          {"role": "assistant", "content": "41"}])
        >>> corrected({"messages": messages}, {"output": "42"})["messages"][1].content
        '42'
    """
    return answered(session, _answer(correction))


def answered(session: FineTuningSession, answer: WireMessage) -> FineTuningSession:
    """Return a session that ends with a better answer; its own becomes `rejected`."""
    *asked, rejected = wire_messages(session)
    changed = session.copy()
    changed["messages"] = WireMessages([*asked, answer])
    changed["rejected"] = rejected
    return changed


def _answer(correction: Any) -> WireMessage:
    if isinstance(correction, str):
        return {"role": "assistant", "content": correction}
    if isinstance(correction, Mapping):
        for name in _WRAPPERS:
            if name in correction:
                return _answer(correction[name])
        if "role" not in correction and "type" not in correction:
            correction = {"role": "assistant", **correction}
        wire = read_messages([correction])
        settle_reasoning(wire, keep=False)
        answer = wire[-1]
        if answer["role"] == "assistant" and (len(answer) > 2 or answer["content"]):  # noqa: PLR2004 - more than role and content
            return answer
    raise UnreadableChatError(
        "unreadable_correction", "The correction or reference holds no answer."
    )
