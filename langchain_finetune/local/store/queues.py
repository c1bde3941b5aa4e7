"""Annotation queues: runs that somebody is to look at."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.database import Database
from langchain_finetune.local.store.projects import TENANT_ID
from langchain_finetune.local.store.run_changes import uuid_text
from langchain_finetune.local.store.sql import all_of, one_of
from langchain_finetune.local.store.timestamps import iso, now


class Queues:
    """All annotation queues of a store.

    Nobody reviews in a local store, so each queued run waits for its review until it is taken out.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, body: Any) -> dict[str, Any]:
        """Make a queue from `{name, id?, description?}`.

        Raises:
            ApiError: 400 where it has no name, 409 where one of its id exists.
        """
        if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
            raise ApiError(400, "An annotation queue needs a name.", param="name")
        description = body.get("description")
        row = {
            "id": uuid_text(body.get("id"), "id") or str(uuid4()),
            "name": body["name"],
            "description": description if isinstance(description, str) else None,
            "created_at": now(),
        }
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM queues WHERE id = ?", (row["id"],)):
                raise ApiError(409, "There is a queue of this id already.", param="id")
            self._database.put("queues", row)
        return _answer(row)

    def all(
        self, *, ids: Sequence[str] = (), name: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return queues, newest first."""
        asked = {"id": ids, "name": [name] if name is not None else []}
        where = all_of(one_of(column, values) for column, values in asked.items() if values)
        rows = self._database.rows(
            f"SELECT * FROM queues WHERE {where.sql} "  # noqa: S608 constants and "?"
            "ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [_answer(row) for row in rows]

    def get(self, queue_id: str) -> dict[str, Any]:
        """Return one queue.

        Raises:
            ApiError: 404 where there is none.
        """
        found = self.all(ids=[queue_id], limit=1)
        if not found:
            raise ApiError(404, f"There is no annotation queue {queue_id}.", code="queue_not_found")
        return found[0]

    def delete(self, queue_id: str) -> None:
        """Forget a queue; the runs stay.

        Raises:
            ApiError: 404 where there is none.
        """
        self.get(queue_id)
        with self._database.transaction():
            self._database.run("DELETE FROM queued_runs WHERE queue_id = ?", (queue_id,))
            self._database.run("DELETE FROM queues WHERE id = ?", (queue_id,))

    def add(self, queue_id: str, run_ids: Iterable[str]) -> None:
        """Put runs into a queue; one that is in it already stays where it is.

        Raises:
            ApiError: 404 where there is no such queue.
        """
        self.get(queue_id)
        with self._database.transaction():
            for run_id in run_ids:
                self._database.run(
                    "INSERT OR IGNORE INTO queued_runs (queue_id, run_id, added_at) "
                    "VALUES (?, ?, ?)",
                    (queue_id, run_id, now()),
                )

    def remove(self, queue_id: str, run_id: str) -> None:
        """Take a run out of a queue.

        Raises:
            ApiError: 404 where it is not in it.
        """
        sql = "DELETE FROM queued_runs WHERE queue_id = ? AND run_id = ?"
        if not self._database.run(sql, (queue_id, run_id)):
            raise ApiError(404, f"The queue holds no run {run_id}.", code="run_not_found")

    def runs(self, queue_id: str, *, limit: int, offset: int) -> list[tuple[str, str]]:
        """Return id and time of what is in a queue, first in first.

        Raises:
            ApiError: 404 where there is no such queue.
        """
        self.get(queue_id)
        rows = self._database.rows(
            "SELECT q.run_id, q.added_at FROM queued_runs AS q "
            "JOIN runs ON runs.id = q.run_id AND runs.posted WHERE q.queue_id = ? "
            "ORDER BY q.added_at, q.rowid LIMIT ? OFFSET ?",
            (queue_id, limit, offset),
        )
        return [(row["run_id"], iso(row["added_at"])) for row in rows]


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    time = iso(row["created_at"])
    return {
        "id": row["id"],
        "tenant_id": TENANT_ID,
        "name": row["name"],
        "description": row["description"],
        "created_at": time,
        "updated_at": time,
    }
