"""Projects: what LangSmith's API calls sessions, the folders of runs."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT
from langchain_finetune.local.store.values import dumps, iso, micros, now, uuid_text

TENANT_ID = "5d1f9a52-0c0b-5f0a-9f6e-6c6f63616c00"
"""The one tenant of a local store; LangSmith's clients want to see a UUID."""


class ProjectStore:
    """The projects of a store. There is always one called `default`, as in LangSmith.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # LangSmith's client asks for any project's tenant with every example, until it finds one.
        self.ensure(DEFAULT_PROJECT)

    def ensure(self, name: str) -> str:
        """Return the id of the project of this name; make it where there is none."""
        with self._database.transaction():
            row = self._database.row("SELECT id FROM projects WHERE name = ?", (name,))
            return str(row["id"]) if row else self._add({"name": name})

    def create(self, body: Any, *, upsert: bool) -> dict[str, Any]:
        """Make a project from a `TracerSessionCreate`: `{name, id?, description?, extra?}`.

        Raises:
            ApiError: 409 where one of that name exists and `upsert` is false.
        """
        if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
            raise ApiError(400, "A project needs a name.", param="name")
        with self._database.transaction():
            row = self._database.row("SELECT id FROM projects WHERE name = ?", (body["name"],))
            if row and not upsert:
                raise ApiError(409, "There is a project of this name already.", param="name")
            return self.get(str(row["id"]) if row else self._add(body))

    def change(self, project_id: str, body: Any) -> dict[str, Any]:
        """Change what is named: `{name?, description?, extra?, end_time?}`.

        Raises:
            ApiError: 404 where there is none, 409 where another has the name, 400 where a field
                is not what it should be.
        """
        if not isinstance(body, dict):
            raise ApiError(400, "A change of a project must be a JSON object.")
        end_time = body.get("end_time")
        if end_time is not None and micros(end_time) is None:
            raise ApiError(400, "end_time must be a time in ISO 8601.", param="end_time")
        name, description = (body.get(each) for each in ("name", "description"))
        extra = _extra(body)
        with self._database.transaction():
            self.get(project_id)
            taken = "SELECT 1 FROM projects WHERE name = ? AND id <> ?"
            if self._database.row(taken, (str(name), project_id)):
                raise ApiError(409, "There is a project of this name already.", param="name")
            self._database.run(
                "UPDATE projects SET name = coalesce(?, name), extra = coalesce(?, extra), "
                "description = coalesce(?, description), end_time = coalesce(?, end_time) "
                "WHERE id = ?",
                (
                    name if isinstance(name, str) and name else None,
                    None if extra is None else dumps(extra, "extra"),
                    description if isinstance(description, str) else None,
                    micros(end_time),
                    project_id,
                ),
            )
            return self.get(project_id)

    def get(self, project_id: str) -> dict[str, Any]:
        """Return the project of this id.

        Raises:
            ApiError: 404 where there is none.
        """
        found = self.all(ids=[project_id], limit=1)
        if not found:
            raise ApiError(404, f"There is no project {project_id}.", code="project_not_found")
        return found[0]

    def all(
        self,
        *,
        ids: Sequence[str] = (),
        name: str | None = None,
        name_contains: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return projects as `TracerSession`s, newest first."""
        conditions = []
        if ids:
            listed = orjson.dumps([uuid_text(each, "id") for each in ids]).decode()
            conditions.append(Where("id IN (SELECT value FROM json_each(?))", (listed,)))
        if name is not None:
            conditions.append(Where("name = ?", (name,)))
        if name_contains is not None:
            needle = name_contains.casefold()
            conditions.append(Where("instr(casefold(name), ?) > 0", (needle,)))
        where = all_of(conditions)
        rows = self._database.rows(
            f"SELECT * FROM projects WHERE {where.sql} "  # noqa: S608 constants and "?"
            "ORDER BY start_time DESC, id LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [_answer(row) for row in rows]

    def delete(self, project_id: str) -> None:
        """Forget a project with all its runs and their feedback.

        Raises:
            ApiError: 404 where there is none.
        """
        project_id = self.get(project_id)["id"]
        with self._database.transaction():
            # A trigger takes away what belongs to a run.
            self._database.run("DELETE FROM runs WHERE project_id = ?", (project_id,))
            self._database.run("DELETE FROM projects WHERE id = ?", (project_id,))
        self._database.give_back()

    def _add(self, body: dict[str, Any]) -> str:
        project_id = uuid_text(body.get("id"), "id") or str(uuid4())
        description = body.get("description")
        row = {
            "id": project_id,
            "name": body["name"],
            "start_time": now(),
            "description": description if isinstance(description, str) else None,
            "extra": dumps(_extra(body), "extra"),
            "reference_dataset_id": uuid_text(
                body.get("reference_dataset_id"), "reference_dataset_id"
            ),
        }
        if self._database.row("SELECT 1 FROM projects WHERE id = ?", (project_id,)):
            raise ApiError(409, "There is a project of this id already.", param="id")
        self._database.put("projects", row)
        return project_id


def _extra(body: dict[str, Any]) -> dict[str, Any] | None:
    extra = body.get("extra")
    if extra is not None and not isinstance(extra, dict):
        raise ApiError(400, "extra must be an object.", param="extra")
    return extra


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "tenant_id": TENANT_ID,
        "name": row["name"],
        "start_time": iso(row["start_time"]),
        "end_time": None if row["end_time"] is None else iso(row["end_time"]),
        "description": row["description"],
        "extra": orjson.loads(row["extra"]),
        "reference_dataset_id": row["reference_dataset_id"],
    }
