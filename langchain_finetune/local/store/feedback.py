"""Feedback of users and evaluators on runs, with its configurations and tokens."""

import datetime as dt
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
)
from pydantic_core import PydanticCustomError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, one_of
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.resource import NamedResource, Resource
from langchain_finetune.local.store.values import (
    TENANT_ID,
    ClientBody,
    ClientTime,
    Id,
    Name,
    dumps,
    iso,
    json_text,
    micros,
    new_uuid,
    now,
    validated,
)

MAX_SCORE = 1e100
"""Larger ones could not be summed up."""

_MUTABLE = ("score", "value", "comment", "correction")
_MICROSECOND = dt.timedelta(microseconds=1)


def _bounded(score: float) -> float:
    if abs(score) > MAX_SCORE:
        raise PydanticCustomError("score", "must be from -{most} to {most}", {"most": MAX_SCORE})
    return score


def _iso_time(value: Any) -> str:
    return iso(micros(value) or now())


_IsoTime = Annotated[str, BeforeValidator(_iso_time), Field(default_factory=lambda: iso(now()))]


class _FeedbackRecord(ClientBody):
    """The feedback as the API shows it."""

    id: Id = Field(default_factory=new_uuid)
    run_id: Id | None = None
    trace_id: Id | None = None
    session_id: Id | None = None
    comparative_experiment_id: Id | None = None
    feedback_group_id: Id | None = None
    key: Name
    # A truth value is a score too: true is 1.
    score: Annotated[StrictBool | StrictInt | StrictFloat, AfterValidator(_bounded)] | None = None
    value: Any = None
    comment: str | None = None
    correction: Any = None
    feedback_source: Any = Field(default_factory=lambda: {"type": "api"})
    created_at: _IsoTime
    modified_at: _IsoTime
    extra: Any = None


class Feedback(Resource):
    """All feedback of a store.

    As in LangSmith it may come before its run does, so the run is not asked for.
    """

    table, noun, columns = "feedback", "feedback", "body"

    def add(self, bodies: Iterable[Any]) -> list[dict[str, Any]]:
        """Keep feedback, all or none; one with a known id replaces the old."""
        records = [validated(_FeedbackRecord, body).model_dump() for body in bodies]
        with self._database.transaction():
            for record in records:
                record["run_id"] = record["run_id"] or record["trace_id"]
                self._database.put("feedback", _row(record))
        return records

    def change(self, feedback_id: str, changes: Any) -> dict[str, Any]:
        """Change score, value, comment or correction."""
        if not isinstance(changes, dict):
            raise ApiError(400, "A change of feedback must be a JSON object.")
        with self._database.transaction():
            new = {name: changes[name] for name in _MUTABLE if name in changes}
            return self.add([self.get(feedback_id) | new | {"modified_at": iso(now())}])[0]

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
        return self._listed(conditions, limit, offset)

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
    """Return LangSmith's `feedback_stats` of the scores, values and comments of one key."""
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


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    source, value = record["feedback_source"], record["value"]
    columns = ("id", "run_id", "trace_id", "key", "comment")
    return {name: record[name] for name in columns} | {
        "score": None if record["score"] is None else float(record["score"]),
        "value": None if value is None else json_text(value),
        "source": str(source.get("type")) if isinstance(source, dict) else None,
        "created_at": micros(record["created_at"]),
        "modified_at": micros(record["modified_at"]),
        "body": dumps(record, "feedback"),
    }


class _Scale(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: Literal["continuous", "categorical", "freeform"]


class _Config(ClientBody):
    feedback_key: Name
    feedback_config: _Scale
    is_lower_score_better: StrictBool | None = None


class _Changed(ClientBody):
    feedback_key: Name


class FeedbackConfigs(NamedResource):
    """How the feedback of a key is interpreted: a number in bounds, a category, or text.

    Feedback is not validated against it.
    """

    table, noun, key = "feedback_configs", "feedback configuration", "key"
    columns, order, name = "body", "key", "key"

    def create(self, body: Any) -> dict[str, Any]:
        """Make one: `{feedback_key, feedback_config: {type, min?, max?, categories?}, ...}`.

        The same one may be made again.
        """
        record = _checked(body) | {"is_enforced": body.get("is_enforced") is True}
        with self._database.transaction():
            known = self.all(ids=[record["feedback_key"]])
            if not known:
                return self._write(record)
            if known[0]["feedback_config"] != record["feedback_config"]:
                raise ApiError(400, "The key has another configuration.", param="feedback_key")
            return known[0]

    def change(self, body: Any) -> dict[str, Any]:
        """Update the given fields of a feedback configuration.

        `add_categories` (`[{value, label?}]`) and `remove_categories` (`[value]`) change its
        categories.
        """
        if not isinstance(body, dict):
            raise ApiError(400, "A feedback configuration must be a JSON object.")
        with self._database.transaction():
            known = self.get(validated(_Changed, body).feedback_key)
            if body.get("id") not in (None, _id_of(known["feedback_key"])):
                raise ApiError(404, "The key has no configuration with this id.", param="id")
            given = {name: value for name, value in body.items() if value is not None}
            added, removed = given.pop("add_categories", []), given.pop("remove_categories", [])
            record = known | _checked(known | given)
            if added or removed:
                record["feedback_config"] = _recategorized(
                    record["feedback_config"], validated(_Categories, {"added": added}), removed
                )
            return self._write(record)

    def key_of(self, config_id: str) -> str:
        """Return the key of a configuration's id.

        Raises:
            ApiError: 404; there is no such configuration.
        """
        keys = (each["feedback_key"] for each in self.all(limit=-1))
        found = next((key for key in keys if _id_of(key) == config_id), None)
        if found is None:
            raise ApiError(404, "There is no feedback configuration with this id.", param="id")
        return str(found)

    def _write(self, record: dict[str, Any]) -> dict[str, Any]:
        time = now()
        record |= {"tenant_id": TENANT_ID, "modified_at": iso(time)}
        record["id"] = _id_of(record["feedback_key"])
        body = dumps(record, "feedback_config")
        row = {"key": record["feedback_key"], "modified_at": time, "body": body}
        self._database.put("feedback_configs", row)
        return record


def _id_of(key: str) -> str:
    """Return the id of a key's configuration: here a key has one at most."""
    return str(uuid5(NAMESPACE_URL, key))


class _Category(ClientBody):
    value: float
    label: str | None = None


class _Categories(ClientBody):
    added: list[_Category]


def _recategorized(scale: dict[str, Any], given: _Categories, removed: Any) -> dict[str, Any]:
    """Return a categorical scale with other categories."""
    if scale["type"] != "categorical":
        raise ApiError(422, "Only a categorical configuration has categories.")
    gone = removed if isinstance(removed, list) else [removed]
    kept = [each for each in scale.get("categories") or () if each.get("value") not in gone]
    categories = [*kept, *(each.model_dump(exclude_none=True) for each in given.added)]
    for name in ("value", "label"):
        used = [each[name] for each in categories if each.get(name) is not None]
        if len(set(used)) < len(used):
            raise ApiError(422, f"Two categories have the same {name}.", param="add_categories")
    return {**scale, "categories": categories}


def _checked(body: Any) -> dict[str, Any]:
    return validated(_Config, body).model_dump()


class _Lifetime(ClientBody):
    days: int = Field(default=0, ge=0, le=10**4)
    hours: int = Field(default=0, ge=0, le=10**4)
    minutes: int = Field(default=0, ge=0, le=10**4)


class _NewToken(ClientBody):
    id: Id = Field(default_factory=new_uuid)
    run_id: Id
    feedback_key: Name
    expires_at: ClientTime | None = None
    expires_in: _Lifetime = _Lifetime(hours=3)


class _TokenAnswer(ClientBody):
    score: Any = None
    value: Any = None
    comment: Any = None
    correction: Any = None
    metadata: Any = None


class FeedbackTokens:
    """Tokens by which an app's users leave feedback from their browsers, without the key.

    Feedback by a token gets the token's id: who answers again changes the first answer.
    """

    def __init__(self, database: StoreDatabase, feedback: Feedback) -> None:
        self._database = database
        self._feedback = feedback

    def create(self, body: Any, root: str) -> dict[str, Any]:
        """Make one, its address below `root`: `{run_id, feedback_key, expires_in?, ...}`."""
        asked = validated(_NewToken, body)
        lifetime = dt.timedelta(**asked.expires_in.model_dump()) // _MICROSECOND
        row = {
            "id": asked.id,
            "run_id": asked.run_id,
            "key": asked.feedback_key,
            "expires_at": now() + lifetime if asked.expires_at is None else asked.expires_at,
        }
        with self._database.transaction():
            self._database.run("DELETE FROM feedback_tokens WHERE expires_at < ?", (now(),))
            self._database.put("feedback_tokens", row)
        return _token(row, root)

    def all(
        self, run_id: str, root: str, *, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return the tokens of a run that still work."""
        where, order = Where("run_id = ? AND expires_at >= ?", (run_id, now())), "expires_at, id"
        rows = self._database.listed("* FROM feedback_tokens", [where], order, limit, offset)
        return [_token(row, root) for row in rows]

    def use(self, token: str, body: Any) -> None:
        """Leave feedback by a token: `{score?, value?, comment?, correction?, metadata?}`."""
        given = validated(_TokenAnswer, body).model_dump(exclude_none=True)
        row = self._database.row("SELECT * FROM feedback_tokens WHERE id = ?", (token,))
        if row is None or row["expires_at"] < now():
            raise ApiError(404, "There is no such feedback token, or it has expired.")
        metadata = given.pop("metadata", None)
        source = {"type": "api", "metadata": metadata if isinstance(metadata, dict) else {}}
        kept = {name: row[name] for name in ("id", "run_id", "key")}
        self._feedback.add([given | kept | {"feedback_source": source}])


def _token(row: dict[str, Any], root: str) -> dict[str, Any]:
    url = f"{root}/feedback/tokens/{row['id']}"
    return {"id": row["id"], "url": url, "expires_at": iso(row["expires_at"])}
