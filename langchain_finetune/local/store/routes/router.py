"""All routes of the run store, under the prefixes that LangSmith's clients use."""

from importlib.metadata import version

from fastapi import APIRouter, Response

from langchain_finetune.local.search_limits import in_turns
from langchain_finetune.local.store.bodies import answer
from langchain_finetune.local.store.routes.datasets import (
    create_datasets_router,
    create_versions_router,
)
from langchain_finetune.local.store.routes.examples import create_examples_router
from langchain_finetune.local.store.routes.exports import create_exports_router
from langchain_finetune.local.store.routes.feedback import create_feedback_router
from langchain_finetune.local.store.routes.ingest import create_ingest_router
from langchain_finetune.local.store.routes.otlp import create_otlp_router
from langchain_finetune.local.store.routes.projects import create_projects_router
from langchain_finetune.local.store.routes.public import create_public_router
from langchain_finetune.local.store.routes.queues import (
    create_queue_items_router,
    create_queues_router,
)
from langchain_finetune.local.store.routes.runs import create_runs_router, create_v2_router
from langchain_finetune.local.store.store import RunStore

PREFIXES = ("", "/api", "/api/v1", "/v1")
V2_PREFIXES = ("/v2", "/api/v2", "/api/v1/v2", "/v1/v2", "/v1/api/v2")
"""The last is what a client makes of an endpoint that ends in `/v1`."""

LANGSMITH_VERSION = "0.18.0"
"""The oldest LangSmith with all of these routes; clients compare it."""


def create_store_router(store: RunStore) -> APIRouter:
    """Return all routes of a run store; the app adds authentication and the shape of errors."""
    router = APIRouter()
    searches = in_turns()
    info = APIRouter()
    info.get("/info", name="info")(_info)
    parts = (
        create_ingest_router(store),
        create_otlp_router(store),
        create_runs_router(store, searches),
        create_projects_router(store, searches),
        create_feedback_router(store),
        create_queues_router(store),
        create_queue_items_router(store),
        create_datasets_router(store),
        create_versions_router(store),
        create_examples_router(store),
        create_public_router(store),
        create_exports_router(store),
    )
    # The OpenAPI description shows each route once.
    for prefix in PREFIXES:
        router.include_router(info, prefix=prefix, include_in_schema=not prefix)
        for part in parts:
            router.include_router(part, prefix=prefix, include_in_schema=prefix == "/api/v1")
    for prefix in V2_PREFIXES:
        router.include_router(
            create_v2_router(store, searches), prefix=prefix, include_in_schema=prefix == "/api/v2"
        )
    return router


def _info() -> Response:
    return answer(
        {
            "version": LANGSMITH_VERSION,
            "license_expiration_time": None,
            "instance_flags": {
                "zstd_compression_enabled": True,
                "dataset_examples_multipart_enabled": True,
                "examples_multipart_enabled": False,
                # Both ways of reading runs are there.
                "ch_query_enabled": True,
                "sdb_query_enabled": True,
            },
            "batch_ingest_config": {
                "use_multipart_endpoint": True,
                "scale_up_qsize_trigger": 1000,
                "scale_up_nthreads_limit": 4,
                "scale_down_nempty_trigger": 4,
                "size_limit": 100,
                "size_limit_bytes": 20 * 2**20,
            },
            # By this the package recognises its own engine.
            "langchain_finetune": {"version": version("langchain-finetune")},
        }
    )
