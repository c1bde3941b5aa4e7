"""Comparisons of experiments on one dataset; LangSmith calls them comparative experiments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, all_of, one_of
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.resource import Resource
from langchain_finetune.local.store.values import (
    TENANT_ID,
    ClientBody,
    ClientTime,
    Id,
    dumps,
    iso,
    new_uuid,
    now,
    validated,
)


class _NewComparison(ClientBody):
    id: Id = Field(default_factory=new_uuid)
    name: Any = None
    description: Any = None
    created_at: ClientTime = Field(default_factory=now)
    reference_dataset_id: Id
    extra: Any = None
    experiment_ids: list[Id] = Field(min_length=1)


@dataclass(frozen=True)
class CaseScore:
    """The mean score of an experiment's answers to an example, by one feedback key."""

    project_id: str
    example_id: str
    key: str
    score: float


class Comparisons(Resource):
    """The comparisons of a store, which pairwise feedback belongs to."""

    table, noun, columns = "comparisons", "comparison", "body"

    def __init__(self, database: StoreDatabase, projects: ProjectStore) -> None:
        super().__init__(database)
        self._projects = projects

    def create(self, body: Any) -> dict[str, Any]:
        """Make one: `{id?, name?, experiment_ids, reference_dataset_id, description?, extra?}`."""
        asked = validated(_NewComparison, body)
        projects = [self._projects.get(each) for each in asked.experiment_ids]
        record = {
            "id": asked.id,
            "tenant_id": TENANT_ID,
            "name": asked.name,
            "description": asked.description,
            "created_at": iso(asked.created_at),
            "modified_at": iso(now()),
            "reference_dataset_id": asked.reference_dataset_id,
            "extra": asked.extra,
            "experiments_info": [{"id": each["id"], "name": each["name"]} for each in projects],
        }
        row = {
            "id": asked.id,
            "dataset_id": asked.reference_dataset_id,
            "created_at": asked.created_at,
            "body": dumps(record, "comparison"),
        }
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM comparisons WHERE id = ?", (asked.id,)):
                raise ApiError(409, "There is a comparison of this id already.", param="id")
            self._database.put("comparisons", row)
        return record

    def all(
        self, dataset_id: str | None = None, *, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return the comparisons, all or those on a dataset, newest first."""
        where = [] if dataset_id is None else [Where("dataset_id = ?", (dataset_id,))]
        return self._listed(where, limit, offset)

    def answers(
        self, project_ids: Sequence[str], example_ids: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return rows of the experiments' answers: the roots of traces, oldest first.

        Of the answers to some examples, also inputs, outputs and errors.
        """
        columns = "id, project_id, trace_id, reference_example_id, status, start_time, end_time"
        where: list[Where] = [Where(_IS_ANSWER), one_of("project_id", project_ids)]
        if example_ids is not None:
            columns += ", run_type, name, error, inputs, outputs"
            where.append(one_of("reference_example_id", example_ids))
        asked = all_of(where)
        return self._database.search(
            f"SELECT {columns} FROM runs AS r WHERE {asked.sql} "  # noqa: S608 constants and "?"
            "ORDER BY start_time, id",
            asked.values,
        )

    def scores(self, comparison_id: str, project_ids: Sequence[str]) -> list[CaseScore]:
        """Return the mean scores of the experiments' answers; other comparisons' don't count."""
        projects: Where = one_of("r.project_id", project_ids)
        rows = self._database.search(
            "SELECT r.project_id, r.reference_example_id AS example_id, f.key, "  # noqa: S608
            "avg(f.score) AS score FROM runs AS r JOIN feedback AS f ON f.run_id = r.id "
            f"WHERE {_IS_ANSWER} AND {projects.sql} AND f.score IS NOT NULL "
            "AND coalesce(json_extract(f.body, '$.comparative_experiment_id'), ?) = ? "
            "GROUP BY r.project_id, r.reference_example_id, f.key",
            (*projects.values, comparison_id, comparison_id),
        )
        return [CaseScore(**row) for row in rows]


_IS_ANSWER = "r.posted AND r.parent_run_id IS NULL AND r.reference_example_id IS NOT NULL"
