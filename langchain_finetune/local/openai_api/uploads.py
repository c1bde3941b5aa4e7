"""`/v1/uploads`: upload files in parts (OpenAI's Uploads API)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import answer
from langchain_finetune.local.openai_api.openapi import DescribedAs, form_body
from langchain_finetune.local.uploads import MAX_UPLOAD_BYTES, Uploads

UploadBody = Annotated[dict[str, Any], DescribedAs("openai.types:Upload")]
PartBody = Annotated[dict[str, Any], DescribedAs("openai.types.uploads:UploadPart")]
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
    async def create(request: _CreateUpload) -> UploadBody:
        return answer(
            uploads.create(
                filename=request.filename, size=request.bytes, mime_type=request.mime_type
            )
        )

    @router.post(
        "/{upload_id}/parts", openapi_extra=form_body(data={"type": "string", "format": "binary"})
    )
    async def add_part(upload_id: str, request: Request) -> PartBody:
        async with request.form(max_files=1, max_fields=1) as form:
            data = form.get("data")
            if not isinstance(data, UploadFile):
                raise ApiError(400, "The form needs the part's data.", param="data")
            return answer(await uploads.add_part(upload_id, data.file))

    @router.post("/{upload_id}/complete")
    async def complete(upload_id: str, request: _CompleteUpload) -> UploadBody:
        return answer(await uploads.complete(upload_id, request.part_ids, request.md5))

    @router.post("/{upload_id}/cancel")
    async def cancel(upload_id: str) -> UploadBody:
        return answer(uploads.cancel(upload_id))

    return router
