"""Comparisons of experiments: what pairwise feedback belongs to."""

from typing import Any
from uuid import uuid4

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database
from langchain_finetune.local.store.projects import TENANT_ID, ProjectStore
from langchain_finetune.local.store.values import dumps, iso, micros, now, uuid_text


class Comparisons:
    """All comparisons of a store; LangSmith calls them comparative experiments.

    Args:
        database: Where they are kept.
        projects: Has the experiments that are compared.
    """

    def __init__(self, database: Database, projects: ProjectStore) -> None:
        self._database = database
        self._projects = projects

    def create(self, body: Any) -> dict[str, Any]:
        """Make one: `{id?, name?, experiment_ids, reference_dataset_id, description?, extra?}`.

        Raises:
            ApiError: 400 where it names no experiments or no dataset, 404 where one of the
                experiments does not exist, 409 where there is a comparison of this id.
        """
        experiments = body.get("experiment_ids") if isinstance(body, dict) else None
        if not isinstance(experiments, list) or not experiments:
            raise ApiError(400, "A comparison needs experiment_ids.", param="experiment_ids")
        dataset_id = uuid_text(body.get("reference_dataset_id"), "reference_dataset_id")
        if dataset_id is None:
            raise ApiError(400, "A comparison needs a dataset.", param="reference_dataset_id")
        projects = [self._projects.get(str(each)) for each in experiments]
        created = micros(body.get("created_at")) or now()
        record = {
            "id": uuid_text(body.get("id"), "id") or str(uuid4()),
            "tenant_id": TENANT_ID,
            "name": body.get("name"),
            "description": body.get("description"),
            "created_at": iso(created),
            "modified_at": iso(now()),
            "reference_dataset_id": dataset_id,
            "extra": body.get("extra"),
            "experiments_info": [{"id": each["id"], "name": each["name"]} for each in projects],
        }
        row = {
            "id": record["id"],
            "dataset_id": dataset_id,
            "created_at": created,
            "body": dumps(record, "comparison"),
        }
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM comparisons WHERE id = ?", (row["id"],)):
                raise ApiError(409, "There is a comparison of this id already.", param="id")
            self._database.put("comparisons", row)
        return record

    def all(self, dataset_id: str, *, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Return the comparisons of a dataset's experiments, newest first."""
        rows = self._database.rows(
            "SELECT body FROM comparisons WHERE dataset_id = ? "
            "ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            (dataset_id, limit, offset),
        )
        return [orjson.loads(row["body"]) for row in rows]
