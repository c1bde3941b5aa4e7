"""Answers as users or annotators corrected them."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from langsmith import Client

from langchain_finetune.loaders.langsmith_client import ask
from langchain_finetune.loaders.payloads.messages import read_messages, settle_reasoning
from langchain_finetune.loaders.query import FeedbackCondition
from langchain_finetune.loaders.run_requests import Run, batches
from langchain_finetune.messages import UnreadableChatError, WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession

_RUNS_PER_REQUEST = 50
"""The ids stand in the address, which proxies keep to 8 kB or less."""

_PAGE = 100
_WRAPPERS = ("message", "output", "answer")


def fetch_corrections(
    client: Client,
    runs: Sequence[Run],
    conditions: Sequence[FeedbackCondition],
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Return the newest correction of each run that has one, by the id that it was given for.

    Args:
        client: Asks `GET /feedback`.
        runs: Whose corrections; for a correction on the root it is found by the trace's id.
        conditions: Those whose corrections are wanted.
        stop: Ends the waiting.

    Raises:
        LangSmithError: The server refused.
    """
    wanted = {(said.key, said.on) for said in conditions if said.use_correction}
    found: dict[str, tuple[str, Any]] = {}
    for place in ("root", "run"):
        keys = sorted(key for key, on in wanted if on == place)
        name = "trace_id" if place == "root" else "id"
        ids = sorted({str(run[name]) for run in runs if run.get(name)})
        for batch in batches(ids if keys else (), _RUNS_PER_REQUEST):
            for feedback in _feedback(client, batch, keys, stop):
                if feedback.get("correction") is not None:
                    said = (str(feedback.get("modified_at")), feedback["correction"])
                    run_id = str(feedback.get("run_id"))
                    found[run_id] = max(found.get(run_id, said), said, key=lambda pair: pair[0])
    return {run_id: correction for run_id, (_, correction) in found.items()}


def _feedback(
    client: Client, run_ids: Sequence[str], keys: Sequence[str], stop: threading.Event | None
) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    while True:
        params = {"run": run_ids, "key": keys, "limit": _PAGE, "offset": len(found)}
        page = ask(client, "GET", "/feedback", params=params, stop=stop)
        found += page
        if len(page) < _PAGE:
            return found


def corrected(session: FineTuningSession, correction: Any) -> FineTuningSession:
    """Return a session that ends with a correction instead of its answer.

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
    messages = session["messages"]
    assert isinstance(messages, WireMessages), "runs are read in wire form"
    answer = _answer(correction)
    changed = session.copy()
    changed["messages"] = WireMessages([*messages.wire[:-1], answer])
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
    raise UnreadableChatError("unreadable_correction", "The run's correction holds no answer.")
