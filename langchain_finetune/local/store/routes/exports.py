"""Routes of exports, as LangSmith's bulk exports have them."""

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.exports import DESTINATION_ID
from langchain_finetune.local.store.projects import TENANT_ID
from langchain_finetune.local.store.routes.shared import Json, PageRange, answer, known_only
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text


def create_exports_router(store: RunStore) -> APIRouter:
    """Return the routes under `/bulk-exports`; the files lie in the engine's home."""
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

    @router.get("", dependencies=[known_only("limit", "offset")])
    def list_exports(page: PageRange) -> Response:
        return answer(exports.all(limit=page.limit, offset=page.offset))

    @router.get("/{export_id}")
    def read_export(export_id: str) -> Response:
        return answer(exports.get(uuid_text(export_id, "export_id") or ""))

    @router.patch("/{export_id}")
    def cancel_export(export_id: str, body: Json) -> Response:
        if not isinstance(body, dict) or body.get("status") != "Cancelled":
            raise ApiError(400, 'The body must be {"status": "Cancelled"}.', param="status")
        return answer(exports.cancel(uuid_text(export_id, "export_id") or ""))

    return router
