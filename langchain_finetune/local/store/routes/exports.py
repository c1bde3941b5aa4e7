"""Routes of exports, as LangSmith's bulk exports have them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import Json, answer
from langchain_finetune.local.store.exports import DESTINATION_ID
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import TENANT_ID, ClientBody, Id, PageQuery, validated


class _Cancellation(ClientBody):
    status: Literal["Cancelled"]


def create_exports_router(store: RunStore) -> APIRouter:
    """Return the routes under `/bulk-exports`; the files are in the engine's home."""
    router = APIRouter(prefix="/bulk-exports")
    exports = store.exports

    @router.get("/destinations")
    def list_destinations() -> Response:
        home = {
            "id": DESTINATION_ID,
            "tenant_id": TENANT_ID,
            "destination_type": "folder",
            "display_name": "This engine's home",
            "config": {"prefix": str(exports.folder)},
        }
        return answer([home])

    @router.post("/destinations")
    def create_destination() -> Response:
        raise ApiError(
            400, f"This server exports to a folder of its own, the destination {DESTINATION_ID}."
        )

    @router.post("")
    def create_export(body: Json) -> Response:
        return answer(exports.create(body))

    @router.get("")
    def list_exports(page: Annotated[PageQuery, Query()]) -> Response:
        return answer(exports.all(**vars(page)))

    @router.get("/{export_id}")
    def read_export(export_id: Id) -> Response:
        return answer(exports.get(export_id))

    @router.patch("/{export_id}")
    def cancel_export(export_id: Id, body: Json) -> Response:
        validated(_Cancellation, body)
        return answer(exports.cancel(export_id))

    return router
