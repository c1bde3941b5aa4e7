"""What a client asks of an export, checked. Pure functions; no I/O."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, ConfigDict

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.export_rows import COLUMNS, Compression, Format
from langchain_finetune.local.store.filter_fields import RUN_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.filters import parse_filter
from langchain_finetune.local.store.projects import TENANT_ID
from langchain_finetune.local.store.run_queries import Time, micros_of, validated
from langchain_finetune.local.store.sql import Where, all_of
from langchain_finetune.local.store.timestamps import EPOCH, iso, now

DESTINATION_ID = str(uuid5(UUID(TENANT_ID), "exports"))
"""The one place where a local store exports to: a folder of its own."""


class _ExportRequest(BaseModel):
    """An unknown field is refused: dropped, something else would be exported."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    bulk_export_destination_id: UUID = UUID(DESTINATION_ID)
    start_time: Time = EPOCH
    end_time: Time | None = None
    filter: str | None = None
    format: Format = "Parquet"
    format_version: str | None = None
    compression: Compression = "gzip"
    export_fields: list[str] | None = None
    # What recurs is for a scheduler of the user's own.
    interval_hours: None = None


def export_record(body: Any) -> dict[str, Any]:
    """Read the body of `POST /bulk-exports`; return the export as the API tells it.

    Raises:
        ApiError: 400 where it is malformed, 404 for another destination.
    """
    asked = validated(_ExportRequest, body)
    if str(asked.bulk_export_destination_id) != DESTINATION_ID:
        raise ApiError(404, f"This server exports to the destination {DESTINATION_ID} only.")
    if asked.format == "JSONL" and asked.compression == "snappy":
        raise ApiError(400, "JSON lines can't be packed with snappy.", param="compression")
    unknown = set(asked.export_fields or ()).difference(COLUMNS)
    if unknown:
        raise ApiError(
            400, f"Unknown export_fields: {', '.join(sorted(unknown))}.", param="export_fields"
        )
    if asked.filter:
        filter_condition(parse_filter(asked.filter), RUN_FILTERS, "r")
    time = iso(now())
    return {
        "id": str(uuid4()),
        "tenant_id": TENANT_ID,
        "bulk_export_destination_id": DESTINATION_ID,
        "session_id": str(asked.session_id),
        "status": "Created",
        "created_at": time,
        "updated_at": time,
        "finished_at": None,
        # So that an export that is begun anew gives the same runs.
        "start_time": iso(micros_of(asked.start_time)),
        "end_time": iso(micros_of(asked.end_time) if asked.end_time else now()),
        "filter": asked.filter,
        "format": asked.format,
        "format_version": asked.format_version,
        "compression": asked.compression,
        "interval_hours": None,
        "export_fields": asked.export_fields,
        "source_bulk_export_id": None,
        # These are this server's own.
        "folder": None,
        "exported_runs": 0,
        "error": None,
    }


def export_condition(record: Mapping[str, Any]) -> Where:
    """Return the condition on `runs AS r` of what an export holds."""
    times = [
        micros_of(dt.datetime.fromisoformat(record[name])) for name in ("start_time", "end_time")
    ]
    conditions = [
        Where("r.project_id = ?", (record["session_id"],)),
        Where("r.start_time >= ? AND r.start_time < ?", tuple(times)),
    ]
    if record["filter"]:
        conditions.append(filter_condition(parse_filter(record["filter"]), RUN_FILTERS, "r"))
    return all_of(conditions)
