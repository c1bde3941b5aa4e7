"""What people say of runs on the page, as feedback of the store.

The keys are those that loaders select by: `{"key": "user_score", "above": 0}` for what is liked,
`{"key": "correction", "use_correction": True}` for corrected answers.
"""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID, uuid5

from langchain_finetune.local.api_error import ApiError
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
