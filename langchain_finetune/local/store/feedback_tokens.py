"""Tokens by which an app's users leave feedback from their browsers, without the key."""

import datetime as dt
from typing import Any
from uuid import uuid4

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database
from langchain_finetune.local.store.feedback import Feedback
from langchain_finetune.local.store.values import iso, micros, now, uuid_text

_DEFAULT = dt.timedelta(hours=3)
_MICROSECOND = dt.timedelta(microseconds=1)
_UNITS = ("days", "hours", "minutes")
_MOST = 10**4
_SAID = ("score", "value", "comment", "correction")


class FeedbackTokens:
    """All feedback tokens of a store.

    Feedback by a token gets the token's id: who answers again changes the first answer.

    Args:
        database: Where they are kept.
        feedback: Where the feedback goes.
    """

    def __init__(self, database: Database, feedback: Feedback) -> None:
        self._database = database
        self._feedback = feedback

    def create(self, body: Any, root: str) -> dict[str, Any]:
        """Make one: `{run_id, feedback_key, id?, expires_in?, expires_at?}`.

        Args:
            body: What the client sent.
            root: The address of this server, which the token's address begins with.

        Raises:
            ApiError: 400 where it is malformed.
        """
        if not isinstance(body, dict):
            raise ApiError(400, "A feedback token must be a JSON object.")
        run_id, key = uuid_text(body.get("run_id"), "run_id"), body.get("feedback_key")
        if run_id is None or not isinstance(key, str) or not key:
            raise ApiError(400, "A feedback token needs a run_id and a feedback_key.")
        row = {
            "id": uuid_text(body.get("id"), "id") or str(uuid4()),
            "run_id": run_id,
            "key": key,
            "expires_at": _expiry(body),
        }
        with self._database.transaction():
            self._database.run("DELETE FROM feedback_tokens WHERE expires_at < ?", (now(),))
            self._database.put("feedback_tokens", row)
        return _answer(row, root)

    def all(
        self, run_id: str, root: str, *, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return the tokens of a run that still work."""
        rows = self._database.rows(
            "SELECT * FROM feedback_tokens WHERE run_id = ? AND expires_at >= ? "
            "ORDER BY expires_at, id LIMIT ? OFFSET ?",
            (run_id, now(), limit, offset),
        )
        return [_answer(row, root) for row in rows]

    def use(self, token: str, said: Any) -> None:
        """Leave feedback by a token.

        Args:
            token: Its id.
            said: `{score?, value?, comment?, correction?, metadata?}`.

        Raises:
            ApiError: 404 where there is no such token, 400 where what is said is malformed.
        """
        if not isinstance(said, dict):
            raise ApiError(400, "Feedback must be a JSON object.")
        row = self._database.row("SELECT * FROM feedback_tokens WHERE id = ?", (token,))
        if row is None or row["expires_at"] < now():
            raise ApiError(404, "There is no such feedback token, or it has expired.")
        metadata = said.get("metadata")
        source = {"type": "api", "metadata": metadata if isinstance(metadata, dict) else {}}
        feedback = {name: said[name] for name in _SAID if said.get(name) is not None}
        ids = {"id": row["id"], "run_id": row["run_id"]}
        self._feedback.add([feedback | ids | {"key": row["key"], "feedback_source": source}])


def _expiry(body: dict[str, Any]) -> int:
    given, delta = body.get("expires_at"), body.get("expires_in")
    if given is not None:
        time = micros(given)
        if time is None:
            raise ApiError(400, "expires_at must be a time in ISO 8601.", param="expires_at")
        return time
    if delta is None:
        return now() + _DEFAULT // _MICROSECOND
    units = {name: delta.get(name, 0) for name in _UNITS} if isinstance(delta, dict) else {}
    fits = units and all(type(each) is int and 0 <= each <= _MOST for each in units.values())
    if not fits:
        raise ApiError(400, 'expires_in must be {"days", "hours", "minutes"}.', param="expires_in")
    return now() + dt.timedelta(**units) // _MICROSECOND


def _answer(row: dict[str, Any], root: str) -> dict[str, Any]:
    url = f"{root}/feedback/tokens/{row['id']}"
    return {"id": row["id"], "url": url, "expires_at": iso(row["expires_at"])}
