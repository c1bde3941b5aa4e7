"""Answers corrected by users or annotators, or replaced by references."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.dialects.messages import read_messages, settled
from langchain_finetune.messages import UnreadableChatError, WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession, wire_messages


def corrected(session: FineTuningSession, correction: Any) -> FineTuningSession:
    """Return a session with a correction as its answer; the old answer becomes `rejected`.

    A correction is a text, a message in any stored format, or an object with one of these under
    `message`, `output` or `answer`.

    Raises:
        UnreadableChatError: The correction contains no answer.

    Example:
        >>> messages = WireMessages([{"role": "user", "content": "6*7?"},
        ...                          {"role": "assistant", "content": "41"}])
        >>> corrected({"messages": messages}, {"output": "42"})["messages"][1].content
        '42'
    """
    return answered(session, _answer(correction))


def answered(session: FineTuningSession, answer: WireMessage) -> FineTuningSession:
    """Return a session with a better answer; the old one becomes `rejected`."""
    *request, rejected = wire_messages(session)
    changed = session.copy()
    changed["messages"] = WireMessages([*request, answer])
    changed["rejected"] = rejected
    if "finish_reason" in changed.get("source", {}):
        # It was the old answer that is incomplete.
        changed["source"] = {
            key: value for key, value in changed["source"].items() if key != "finish_reason"
        }
    return changed


def _answer(correction: Any) -> WireMessage:
    if isinstance(correction, str):
        return {"role": "assistant", "content": correction}
    if isinstance(correction, Mapping):
        for name in ("message", "output", "answer"):
            if name in correction:
                return _answer(correction[name])
        if "role" not in correction and "type" not in correction:
            correction = {"role": "assistant", **correction}
        wire = read_messages([correction])
        settled(wire, keep=False)
        answer = wire[-1]
        if answer["role"] == "assistant" and (len(answer) > 2 or answer["content"]):  # noqa: PLR2004 - more than role and content
            return answer
    raise UnreadableChatError(
        "unreadable_correction", "The correction or reference contains no answer."
    )
