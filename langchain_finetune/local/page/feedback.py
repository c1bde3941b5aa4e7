"""What people say of runs on the page, as feedback of the store.

The keys are those that loaders select by: `{"key": "user_score", "above": 0}` for what is liked,
`{"key": "correction", "use_correction": True}` for corrected answers.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel

from langchain_finetune.content import mapping
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.messages import ShownMessage, as_json, read_message
from langchain_finetune.local.store import RunStore

SCORE_KEY = "user_score"
CORRECTION_KEY = "correction"

Vote = Literal["like", "dislike", ""]

_SCORES = {"like": 1.0, "dislike": 0.0}
_SOURCE = {"type": "app", "metadata": {"by": "langchain-finetune page"}}


def vote(store: RunStore, run: Mapping[str, Any], what: Vote) -> None:
    """Say that a run is liked or disliked; "" takes back what was said here."""
    if what == "":
        _forget(store, run, SCORE_KEY)
    else:
        _say(store, run, SCORE_KEY, score=_SCORES[what])


def correct(store: RunStore, run: Mapping[str, Any], answer: Mapping[str, Any] | None) -> None:
    """Say what a run's answer should have been; None takes it back.

    Args:
        store: Where the feedback is kept.
        run: The run's row.
        answer: A message of OpenAI's form.
    """
    if answer is None:
        _forget(store, run, CORRECTION_KEY)
    else:
        _say(store, run, CORRECTION_KEY, correction=answer)


def own_vote(feedback: Mapping[str, Any]) -> str:
    """Return `like` or `dislike` where feedback is a vote of this page, or else ""."""
    if feedback["id"] != _id(feedback["run_id"], SCORE_KEY):
        return ""
    return "like" if feedback["score"] else "dislike"


def newest_correction(store: RunStore, run_ids: list[str]) -> Any:
    """Return the newest correction that was left at one of some runs, by whatever key, or None."""
    found = [
        each
        for each in store.feedback.all(run_ids=run_ids, limit=-1)
        if each["correction"] is not None
    ]
    return max(found, key=lambda each: str(each["modified_at"]))["correction"] if found else None


def own_correction(store: RunStore, run_id: str) -> Any:
    """Return the correction that was left here, or None."""
    try:
        return store.feedback.get(_id(run_id, CORRECTION_KEY))["correction"]
    except ApiError:
        return None


def _say(store: RunStore, run: Mapping[str, Any], key: str, **said: Any) -> None:
    # With the same id each time, so that a second click replaces the first.
    store.feedback.add(
        [
            {
                "id": _id(run["id"], key),
                "run_id": run["id"],
                "trace_id": run["trace_id"],
                "session_id": run["project_id"],
                "key": key,
                "feedback_source": _SOURCE,
                **said,
            }
        ]
    )


def _forget(store: RunStore, run: Mapping[str, Any], key: str) -> None:
    try:
        store.feedback.delete(_id(run["id"], key))
    except ApiError:
        return  # It was taken back already.


def _id(run_id: str, key: str) -> str:
    return str(uuid5(UUID(run_id), f"langchain-finetune page {key}"))


class FormFaultError(Exception):
    """A field of a form is not right; the message says what, without quoting it."""


class CorrectionForm(BaseModel):
    """What the answer should have been.

    Attributes:
        text: Its text.
        calls: Its tool calls, JSON such as `[{"name": "f", "arguments": {"x": 1}}]`, or "".
        undo: Whether the correction is to be taken back.
    """

    text: str = ""
    calls: str = ""
    undo: bool = False

    @classmethod
    def of_answer(cls, kept: Any, answers: list[ShownMessage]) -> Self:
        """Return the form as it opens: with the correction that is kept, or with the answer."""
        answer = read_message(kept) if kept is not None else answers[0] if answers else None
        if answer is None:
            return cls()
        calls = [
            {"name": call.name, "arguments": _parsed(call.arguments), "id": call.id}
            for call in answer.calls
        ]
        return cls(text=answer.text, calls=as_json(calls) if calls else "")

    def answer(self) -> dict[str, Any]:
        """Return the correct answer as a message of OpenAI's form.

        Raises:
            FormFaultError: It is empty, or its calls are malformed.
        """
        # Forms send line breaks as two characters.
        text = self.text.replace("\r\n", "\n").strip()
        calls = self._calls()
        if not text and not calls:
            raise FormFaultError("A correct answer needs a text, or calls of tools.")
        answer: dict[str, Any] = {"role": "assistant", "content": text or None}
        return answer | ({"tool_calls": calls} if calls else {})

    def _calls(self) -> list[dict[str, Any]]:
        if not self.calls.strip():
            return []
        try:
            # Half a character, or a number that JSON has not, could be neither kept nor learnt.
            given = json.loads(self.calls)
            json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise FormFaultError("The calls of tools are no JSON.") from None
        if not isinstance(given, list):
            raise FormFaultError("The calls of tools must be a list.")
        calls = []
        for each in given:
            name, arguments = mapping(each).get("name"), mapping(each).get("arguments")
            if not isinstance(name, str) or not isinstance(arguments, dict):
                raise FormFaultError(
                    "Each call needs a name, and arguments that are a JSON object."
                )
            function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            call_id = each.get("id")
            if not isinstance(call_id, str):
                call_id = f"call_{uuid4().hex[:12]}"
            calls.append({"id": call_id, "type": "function", "function": function})
        return calls


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
