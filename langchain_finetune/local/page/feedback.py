"""Votes and corrections on the page, as feedback in the store.

Loaders select by the same keys: `{"key": "user_score", "above": 0}` for liked answers,
`{"key": "correction", "use_correction": True}` for corrected ones.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, Self
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel

from langchain_finetune.content import mapping
from langchain_finetune.display.messages import ShownMessage, read_message
from langchain_finetune.display.text import indented_json
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import RunStore

SCORE_KEY = "user_score"
CORRECTION_KEY = "correction"

Vote = Literal["like", "dislike", ""]

_SCORES: dict[Vote, float] = {"like": 1.0, "dislike": 0.0}
_SOURCE = {"type": "app", "metadata": {"by": "langchain-finetune page"}}


def set_vote(store: RunStore, run: Mapping[str, Any], vote: Vote) -> None:
    """Like or dislike a run; "" removes the vote."""
    _set(store, run, SCORE_KEY, "score", _SCORES.get(vote))


def set_correction(
    store: RunStore, run: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> None:
    """Correct a run's answer by a message in OpenAI's format; None removes the correction."""
    _set(store, run, CORRECTION_KEY, "correction", answer)


def own_vote(feedback: Mapping[str, Any]) -> str:
    """Return `like` or `dislike` if feedback is a vote of this page, otherwise ""."""
    if feedback["id"] != _id(feedback["run_id"], SCORE_KEY):
        return ""
    return "like" if feedback["score"] else "dislike"


def newest_correction(store: RunStore, run_ids: list[str]) -> Any:
    """Return the newest correction of some runs, of any key, or None."""
    found = [
        each
        for each in store.feedback.all(run_ids=run_ids, limit=-1)
        if each["correction"] is not None
    ]
    return max(found, key=lambda each: str(each["modified_at"]))["correction"] if found else None


def own_correction(store: RunStore, run_id: str) -> Any:
    """Return the correction of this page, or None."""
    try:
        return store.feedback.get(_id(run_id, CORRECTION_KEY))["correction"]
    except ApiError:
        return None


def _set(store: RunStore, run: Mapping[str, Any], key: str, field: str, value: Any) -> None:
    # The id is always the same, so that new feedback replaces the old.
    feedback_id = _id(run["id"], key)
    if value is None:
        with suppress(ApiError):  # It may have been removed already.
            store.feedback.delete(feedback_id)
        return
    feedback = {
        "id": feedback_id,
        "run_id": run["id"],
        "trace_id": run["trace_id"],
        "session_id": run["project_id"],
        "key": key,
        "feedback_source": _SOURCE,
        field: value,
    }
    store.feedback.add([feedback])


def _id(run_id: str, key: str) -> str:
    return str(uuid5(UUID(run_id), f"langchain-finetune page {key}"))


class CorrectionError(Exception):
    """A correction is invalid; the message says why, without quoting it."""


class CorrectionForm(BaseModel):
    """The form that corrects an answer, or with `undo`, removes the correction.

    `calls` is JSON, such as `[{"name": "f", "arguments": {"x": 1}}]`, or "".
    """

    text: str = ""
    calls: str = ""
    undo: bool = False

    @classmethod
    def of_answer(cls, correction: Any, answers: list[ShownMessage]) -> Self:
        """Return the form for an existing correction, or otherwise for the answer."""
        answer = read_message(correction) if correction is not None else next(iter(answers), None)
        if answer is None:
            return cls()
        calls = [
            {"name": call.name, "arguments": _parsed(call.arguments), "id": call.id}
            for call in answer.calls
        ]
        return cls(text=answer.text, calls=indented_json(calls) if calls else "")

    def answer(self) -> dict[str, Any]:
        """Return the correct answer as a message in OpenAI's format.

        Raises:
            CorrectionError: The answer is empty, or its tool calls are malformed.
        """
        # Forms send line breaks as CR LF.
        text = self.text.replace("\r\n", "\n").strip()
        calls = self._calls()
        if not text and not calls:
            raise CorrectionError("The answer must have text or tool calls.")
        answer: dict[str, Any] = {"role": "assistant", "content": text or None}
        return answer | ({"tool_calls": calls} if calls else {})

    def _calls(self) -> list[dict[str, Any]]:
        if not self.calls.strip():
            return []
        try:
            # Unpaired surrogates, NaN and infinity can be neither stored nor trained on.
            given = json.loads(self.calls)
            json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise CorrectionError("The tool calls are not valid JSON.") from None
        if not isinstance(given, list):
            raise CorrectionError("The tool calls must be a list.")
        return [_tool_call(mapping(each)) for each in given]


def _tool_call(given: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments, call_id = (given.get(key) for key in ("name", "arguments", "id"))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise CorrectionError("Each tool call must have a name, and a JSON object as arguments.")
    return {
        "id": call_id if isinstance(call_id, str) else f"call_{uuid4().hex[:12]}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
