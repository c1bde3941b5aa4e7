"""Annotation queues: runs that await review."""

from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.resource import NamedResource
from langchain_finetune.local.store.values import (
    TENANT_ID,
    ClientBody,
    Id,
    Name,
    dumps,
    iso,
    micros,
    new_uuid,
    now,
    validated,
)

_STATES = {
    "needs_my_review": "q.reviewed_at IS NULL",
    "completed": "q.reviewed_at IS NOT NULL",
    # There is one reviewer here.
    "needs_others_review": "FALSE",
}


class _QueueChange(ClientBody):
    name: str | None = None
    description: str | None = None
    rubric_instructions: str | None = None
    rubric_items: list[dict[str, Any]] | None = None

    def columns(self) -> dict[str, Any]:
        items = self.rubric_items
        text = None if items is None else dumps(items, "rubric_items")
        return self.model_dump() | {"rubric_items": text}


class _NewQueue(_QueueChange):
    id: Id = Field(default_factory=new_uuid)
    name: Name


class Queues(NamedResource):
    """All annotation queues of a store.

    A queued run waits for its review until it is marked as reviewed or taken out.
    """

    table, noun = "queues", "annotation queue"

    def create(self, body: Any) -> dict[str, Any]:
        """Make a queue: `{name, id?, description?, rubric_instructions?, rubric_items?}`."""
        asked = validated(_NewQueue, body)
        with self._database.transaction():
            self._require_new("id", asked.id)
            self._database.put("queues", asked.columns() | {"created_at": now()})
            return self.get(asked.id)

    def change(self, queue_id: str, body: Any) -> dict[str, Any]:
        """Update the given fields of those that `create` accepts."""
        columns = validated(_QueueChange, body).columns() | {"updated_at": now()}
        with self._database.transaction():
            self.get(queue_id)
            for name, value in columns.items():
                # The names are constants of this module.
                sql = f"UPDATE queues SET {name} = coalesce(?, {name}) WHERE id = ?"  # noqa: S608
                self._database.run(sql, (value, queue_id))
            return self.get(queue_id)

    def of_run(self, run_id: str) -> list[dict[str, Any]]:
        """Return the queues that a run is in, newest first."""
        holds = "id IN (SELECT queue_id FROM queued_runs WHERE run_id = ?)"
        return self.all(where=[Where(holds, (run_id,))])

    def delete(self, queue_id: str) -> None:
        """Delete a queue; the runs stay."""
        with self._database.transaction():
            super().delete(queue_id)
            self._database.run("DELETE FROM queued_runs WHERE queue_id = ?", (queue_id,))

    def add(self, queue_id: str, run_ids: Iterable[str]) -> None:
        """Add runs to a queue; runs that are already in it keep their position."""
        self.get(queue_id)
        with self._database.transaction():
            for run_id in run_ids:
                self._database.run(
                    "INSERT INTO queued_runs (queue_id, run_id, added_at) "
                    "VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (queue_id, run_id, now()),
                )

    def remove(self, queue_id: str, run_id: str) -> None:
        """Take a run out of a queue."""
        sql = "DELETE FROM queued_runs WHERE queue_id = ? AND run_id = ?"
        if not self._database.run(sql, (queue_id, run_id)):
            raise _not_queued(run_id)

    def review(self, queue_id: str, run_id: str, time: Any) -> None:
        """Record when a run of a queue was reviewed; None means that it waits again."""
        reviewed = micros(time)
        if time is not None and reviewed is None:
            raise ApiError(400, "last_reviewed_time must be a time.", param="last_reviewed_time")
        sql = "UPDATE queued_runs SET reviewed_at = ? WHERE queue_id = ? AND run_id = ?"
        if not self._database.run(sql, (reviewed, queue_id, run_id)):
            raise _not_queued(run_id)

    def runs(
        self, queue_id: str, *, status: str | None = None, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        """Return the runs in a queue and since when, oldest first; of one status, if given."""
        rows = self._database.rows(
            "SELECT q.queue_id, q.run_id, q.added_at, q.reviewed_at "
            f"{self._source(queue_id, status)} ORDER BY q.added_at, q.rowid LIMIT ? OFFSET ?",
            (queue_id, limit, offset),
        )
        for row in rows:
            reviewed = row.pop("reviewed_at")
            row["added_at"] = iso(row["added_at"])
            row["last_reviewed_time"] = None if reviewed is None else iso(reviewed)
        return rows

    def size(self, queue_id: str, status: str | None = None) -> int:
        """Return the number of runs in a queue, optionally of one status."""
        source = self._source(queue_id, status)
        row = self._database.row(f"SELECT count(*) AS n {source}", (queue_id,))
        return int(row["n"]) if row else 0

    def _source(self, queue_id: str, status: str | None) -> str:
        self.get(queue_id)
        if status is not None and status not in _STATES:
            raise ApiError(400, f"status must be one of {', '.join(_STATES)}.", param="status")
        return (
            "FROM queued_runs AS q JOIN runs ON runs.id = q.run_id AND runs.posted "
            f"WHERE q.queue_id = ? AND {_STATES[status] if status else 'TRUE'}"
        )

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        made, changed = row["created_at"], row["updated_at"]
        return {
            "id": row["id"],
            "tenant_id": TENANT_ID,
            "name": row["name"],
            "description": row["description"],
            "rubric_instructions": row["rubric_instructions"],
            "rubric_items": orjson.loads(row["rubric_items"] or "[]"),
            "created_at": iso(made),
            "updated_at": iso(changed or made),
        }


def _not_queued(run_id: str) -> ApiError:
    return ApiError(404, f"The queue holds no run {run_id}.", code="run_not_found")
