"""`/v1/uploads`: files that come in parts (OpenAI's Uploads API)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import answer
from langchain_finetune.local.uploads import MAX_UPLOAD_BYTES, Uploads

Bytes = Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES)]


class _CreateUpload(BaseModel):
    model_config = ConfigDict(extra="forbid")

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    bytes: Bytes
    mime_type: Annotated[str, Field(max_length=255)]
    purpose: Literal["fine-tune"]


class _CompleteUpload(BaseModel):
    model_config = ConfigDict(extra="forbid")

    part_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


def create_uploads_router(uploads: Uploads) -> APIRouter:
    """Return the routes of the Uploads API."""
    router = APIRouter(prefix="/uploads")

    @router.post("")
    async def create(request: _CreateUpload) -> dict[str, Any]:
        return answer(
            uploads.create(
                filename=request.filename, size=request.bytes, mime_type=request.mime_type
            )
        )

    @router.post("/{upload_id}/parts")
    async def add_part(upload_id: str, request: Request) -> dict[str, Any]:
        async with request.form(max_files=1, max_fields=1) as form:
            data = form.get("data")
            if not isinstance(data, UploadFile):
                raise ApiError(400, "The form needs the part's data.", param="data")
            return answer(await uploads.add_part(upload_id, data.file))

    @router.post("/{upload_id}/complete")
    async def complete(upload_id: str, request: _CompleteUpload) -> dict[str, Any]:
        return answer(await uploads.complete(upload_id, request.part_ids, request.md5))

    @router.post("/{upload_id}/cancel")
    async def cancel(upload_id: str) -> dict[str, Any]:
        return answer(uploads.cancel(upload_id))

    return router
