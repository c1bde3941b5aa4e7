"""Projects: what LangSmith's API calls sessions, the folders of runs."""

from typing import Any

import orjson
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.resource import NamedResource
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT
from langchain_finetune.local.store.values import (
    TENANT_ID,
    ClientBody,
    ClientTime,
    Id,
    Name,
    dumps,
    iso,
    new_uuid,
    now,
    validated,
)


class _ProjectChange(ClientBody):
    name: Name | None = None
    description: str | None = None
    extra: dict[str, Any] | None = None
    end_time: ClientTime | None = None


class _NewProject(ClientBody):
    id: Id = Field(default_factory=new_uuid)
    name: Name
    description: str | None = None
    extra: dict[str, Any] | None = None
    reference_dataset_id: Id | None = None


class ProjectStore(NamedResource):
    """The projects of a store. There is always one called `default`, as in LangSmith."""

    table, noun, order = "projects", "project", "start_time DESC, id"

    def __init__(self, database: StoreDatabase) -> None:
        super().__init__(database)
        # LangSmith's client asks for any project's tenant with every example, until it finds one.
        self.ensure(DEFAULT_PROJECT)

    def ensure(self, name: str) -> str:
        """Return the id of the project of this name; create it if missing."""
        with self._database.transaction():
            return self._id_of(name) or self._add(_NewProject(name=name))

    def create(self, body: Any, *, upsert: bool) -> dict[str, Any]:
        """Make a project from a `TracerSessionCreate`: `{name, id?, description?, extra?}`."""
        asked = validated(_NewProject, body)
        with self._database.transaction():
            known = self._id_of(asked.name)
            if known and not upsert:
                raise ApiError(409, "There is a project of this name already.", param="name")
            return self.get(known or self._add(asked))

    def change(self, project_id: str, body: Any) -> dict[str, Any]:
        """Update the given fields: `{name?, description?, extra?, end_time?}`."""
        asked = validated(_ProjectChange, body)
        with self._database.transaction():
            self.get(project_id)
            if asked.name and self._id_of(asked.name) not in {None, project_id}:
                raise ApiError(409, "There is a project of this name already.", param="name")
            extra = None if asked.extra is None else dumps(asked.extra, "extra")
            self._database.run(
                "UPDATE projects SET name = coalesce(?, name), extra = coalesce(?, extra), "
                "description = coalesce(?, description), end_time = coalesce(?, end_time) "
                "WHERE id = ?",
                (asked.name, extra, asked.description, asked.end_time, project_id),
            )
            return self.get(project_id)

    def delete(self, project_id: str) -> None:
        """Delete a project with all its runs and their feedback."""
        project_id = self.get(project_id)["id"]
        with self._database.transaction():
            # A trigger takes away what belongs to a run.
            self._database.run("DELETE FROM runs WHERE project_id = ?", (project_id,))
            self._database.run("DELETE FROM projects WHERE id = ?", (project_id,))
        self._database.give_back()

    def _id_of(self, name: str) -> str | None:
        row = self._database.row("SELECT id FROM projects WHERE name = ?", (name,))
        return str(row["id"]) if row else None

    def _add(self, asked: _NewProject) -> str:
        row = asked.model_dump() | {"start_time": now(), "extra": dumps(asked.extra, "extra")}
        self._require_new("id", asked.id)
        self._database.put("projects", row)
        return asked.id

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
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
