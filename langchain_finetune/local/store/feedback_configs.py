"""How the feedback of a key is to be read: a number in bounds, one of some categories, or text."""

from collections.abc import Sequence
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of, one_of
from langchain_finetune.local.store.projects import TENANT_ID
from langchain_finetune.local.store.values import dumps, iso, now

_TYPES = ("continuous", "categorical", "freeform")


class FeedbackConfigs:
    """All feedback configurations of a store. They tell readers; feedback is not held to them.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, body: Any) -> dict[str, Any]:
        """Make one: `{feedback_key, feedback_config: {type, min?, max?, categories?}, ...}`.

        The same one may be made again.

        Raises:
            ApiError: 400 where it is malformed, or the key has another one.
        """
        record = _checked(body) | {"is_enforced": body.get("is_enforced") is True}
        with self._database.transaction():
            known = self.all(keys=[record["feedback_key"]])
            if not known:
                return self._write(record)
            if known[0]["feedback_config"] != record["feedback_config"]:
                raise ApiError(400, "The key has another configuration.", param="feedback_key")
            return known[0]

    def change(self, body: Any) -> dict[str, Any]:
        """Change what is named beside `feedback_key`.

        Raises:
            ApiError: 404 where the key has none, 400 where it is malformed.
        """
        if not isinstance(body, dict):
            raise ApiError(400, "A feedback configuration must be a JSON object.")
        with self._database.transaction():
            known = self._get(body.get("feedback_key"))
            names = ("feedback_config", "is_lower_score_better")
            new = known | {name: body[name] for name in names if body.get(name) is not None}
            _checked(new)
            return self._write(new)

    def delete(self, key: str) -> None:
        """Forget the configuration of a key.

        Raises:
            ApiError: 404 where it has none.
        """
        self._get(key)
        self._database.run("DELETE FROM feedback_configs WHERE key = ?", (key,))

    def all(
        self,
        *,
        keys: Sequence[str] = (),
        name_contains: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return configurations by key."""
        conditions = [one_of("key", keys)] if keys else []
        if name_contains:
            needle = name_contains.casefold()
            conditions.append(Where("instr(casefold(key), ?) > 0", (needle,)))
        where = all_of(conditions)
        rows = self._database.rows(
            f"SELECT body FROM feedback_configs WHERE {where.sql} "  # noqa: S608 constants and "?"
            "ORDER BY key LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [orjson.loads(row["body"]) for row in rows]

    def _get(self, key: Any) -> dict[str, Any]:
        found = self.all(keys=[str(key)])
        if not found:
            raise ApiError(404, "The key has no feedback configuration.", param="feedback_key")
        return found[0]

    def _write(self, record: dict[str, Any]) -> dict[str, Any]:
        time = now()
        record |= {"tenant_id": TENANT_ID, "modified_at": iso(time)}
        body = dumps(record, "feedback_config")
        row = {"key": record["feedback_key"], "modified_at": time, "body": body}
        self._database.put("feedback_configs", row)
        return record


def _checked(body: Any) -> dict[str, Any]:
    key = body.get("feedback_key") if isinstance(body, dict) else None
    config = body.get("feedback_config") if isinstance(body, dict) else None
    if not isinstance(key, str) or not key:
        raise ApiError(400, "A feedback configuration needs a key.", param="feedback_key")
    if not isinstance(config, dict) or config.get("type") not in _TYPES:
        kinds = ", ".join(_TYPES)
        raise ApiError(400, f"The type must be one of {kinds}.", param="feedback_config")
    lower = body.get("is_lower_score_better")
    if lower is not None and not isinstance(lower, bool):
        raise ApiError(
            400, "is_lower_score_better must be true or false.", param="is_lower_score_better"
        )
    return {"feedback_key": key, "feedback_config": config, "is_lower_score_better": lower}
