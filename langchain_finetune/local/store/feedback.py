"""Feedback: what users and evaluators said of runs."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of, one_of
from langchain_finetune.local.store.values import dumps, iso, json_text, micros, now, uuid_text

MAX_SCORE = 1e100
"""Larger ones could not be summed up."""

_MUTABLE = ("score", "value", "comment", "correction")
_COMPARED_IN = ("comparative_experiment_id", "feedback_group_id")
_IDS = ("run_id", "trace_id", "session_id", *_COMPARED_IN)


class Feedback:
    """All feedback of a store.

    As in LangSmith it may come before its run does, so the run is not asked for.

    Args:
        database: Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, bodies: Iterable[Any]) -> list[dict[str, Any]]:
        """Keep feedback, all or none; one with a known id replaces the old.

        Args:
            bodies: `{"id", "run_id", "key", "score", "value", "comment", "correction", ...}`.

        Raises:
            ApiError: 400 where one has no key or a field is not what it should be.
        """
        records = [_record(body) for body in bodies]
        with self._database.transaction():
            for record in records:
                self._database.put("feedback", _row(record))
        return records

    def change(self, feedback_id: str, changes: Any) -> dict[str, Any]:
        """Change score, value, comment or correction.

        Raises:
            ApiError: 404 where there is no such feedback.
        """
        if not isinstance(changes, dict):
            raise ApiError(400, "A change of feedback must be a JSON object.")
        with self._database.transaction():
            new = {name: changes[name] for name in _MUTABLE if name in changes}
            return self.add([self.get(feedback_id) | new | {"modified_at": iso(now())}])[0]

    def get(self, feedback_id: str) -> dict[str, Any]:
        """Return one feedback.

        Raises:
            ApiError: 404 where there is none.
        """
        row = self._database.row("SELECT body FROM feedback WHERE id = ?", (feedback_id,))
        if row is None:
            raise ApiError(404, f"There is no feedback {feedback_id}.", code="feedback_not_found")
        return dict(orjson.loads(row["body"]))

    def delete(self, feedback_id: str) -> None:
        """Forget one feedback.

        Raises:
            ApiError: 404 where there is none.
        """
        self.get(feedback_id)
        self._database.run("DELETE FROM feedback WHERE id = ?", (feedback_id,))

    def all(
        self,
        *,
        run_ids: Sequence[str] = (),
        keys: Sequence[str] = (),
        sources: Sequence[str] = (),
        comparative_experiment_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return feedback, newest first."""
        asked = {"run_id": run_ids, "key": keys, "source": sources}
        conditions = [one_of(column, values) for column, values in asked.items() if values]
        if comparative_experiment_id is not None:
            field = "json_extract(body, '$.comparative_experiment_id')"
            conditions.append(Where(f"{field} = ?", (comparative_experiment_id,)))
        where = all_of(conditions)
        rows = self._database.search(
            f"SELECT body FROM feedback WHERE {where.sql} "  # noqa: S608 constants and "?"
            "ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [orjson.loads(row["body"]) for row in rows]

    def stats(self, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the summaries of the runs that have feedback, by run and key."""
        runs: Where = one_of("run_id", run_ids)
        rows = self._database.rows(
            f"SELECT run_id, key, score, value, comment FROM feedback WHERE {runs.sql}",  # noqa: S608
            runs.values,
        )
        found: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in rows:
            found[row["run_id"]][row["key"]].append(row)
        return {
            run_id: {key: summary(points) for key, points in by_key.items()}
            for run_id, by_key in found.items()
        }


def summary(points: Sequence[Any]) -> dict[str, Any]:
    """Return LangSmith's `feedback_stats` of one key.

    Args:
        points: Mappings with `score` (number or None), `value` (text or None) and `comment`.
    """
    scores = [point["score"] for point in points if point["score"] is not None]
    values = Counter(point["value"] for point in points if point["value"] is not None)
    return {
        "n": len(points),
        "avg": statistics.fmean(scores) if scores else None,
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "stdev": statistics.stdev(scores) if len(scores) > 1 else None,
        "values": dict(values),
        "comments": [point["comment"] for point in points if point["comment"]],
    }


def _record(body: Any) -> dict[str, Any]:
    """Return the feedback as the API shows it, checked."""
    if not isinstance(body, dict):
        raise ApiError(400, "Feedback must be a JSON object.")
    key, score, comment = body.get("key"), body.get("score"), body.get("comment")
    if not isinstance(key, str) or not key:
        raise ApiError(400, "Feedback needs a key.", param="key")
    # A truth value is a score too: true is 1.
    if score is not None and not isinstance(score, bool | int | float):
        raise ApiError(400, "score must be a number.", param="score")
    if score is not None and abs(score) > MAX_SCORE:
        raise ApiError(400, f"score must be from -{MAX_SCORE:g} to {MAX_SCORE:g}.", param="score")
    if comment is not None and not isinstance(comment, str):
        raise ApiError(400, "comment must be a text.", param="comment")
    ids = {name: uuid_text(body.get(name), name) for name in _IDS}
    return {
        "id": uuid_text(body.get("id"), "id") or str(uuid4()),
        **ids,
        "run_id": ids["run_id"] or ids["trace_id"],
        "key": key,
        "score": score,
        "value": body.get("value"),
        "comment": comment,
        "correction": body.get("correction"),
        "feedback_source": body.get("feedback_source") or {"type": "api"},
        "created_at": iso(micros(body.get("created_at")) or now()),
        "modified_at": iso(micros(body.get("modified_at")) or now()),
        "extra": body.get("extra"),
    }


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    source, value = record["feedback_source"], record["value"]
    body = dumps(record, "feedback")
    return {
        "id": record["id"],
        "run_id": record["run_id"],
        "trace_id": record["trace_id"],
        "key": record["key"],
        "score": None if record["score"] is None else float(record["score"]),
        "value": None if value is None else json_text(value),
        "comment": record["comment"],
        "source": str(source.get("type")) if isinstance(source, dict) else None,
        "created_at": micros(record["created_at"]),
        "modified_at": micros(record["modified_at"]),
        "body": body,
    }
