"""`/v1/files`: upload, list, read and delete files (OpenAI's Files API)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from starlette.datastructures import UploadFile

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import answer
from langchain_finetune.local.files import Files
from langchain_finetune.local.openai_api.openapi import DescribedAs, form_body

_MAX_LIST = 10_000
_FORM = form_body(file={"type": "string", "format": "binary"}, purpose={"const": "fine-tune"})

FileBody = Annotated[dict[str, Any], DescribedAs("openai.types:FileObject")]


def create_files_router(files: Files) -> APIRouter:
    """Return the routes of the Files API."""
    router = APIRouter(prefix="/files")

    @router.post("", openapi_extra=_FORM)
    async def create(request: Request) -> FileBody:
        async with request.form(max_files=1, max_fields=8) as form:
            upload, purpose = form.get("file"), form.get("purpose")
            if not isinstance(upload, UploadFile):
                raise ApiError(400, "The form needs a file.", param="file")
            if purpose != "fine-tune":
                raise ApiError(400, "The purpose must be 'fine-tune' here.", param="purpose")
            if any(field.startswith("expires_after") for field in form):
                raise ApiError(400, "Files do not expire here.", param="expires_after")
            return answer(await files.upload(upload.file, upload.filename or "upload"))

    @router.get("")
    async def page(
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=_MAX_LIST)] = _MAX_LIST,
        order: Literal["asc", "desc"] = "desc",
        purpose: str | None = None,
    ) -> dict[str, Any]:
        return files.page(
            limit=limit, after=after, purpose=purpose, ascending=order == "asc"
        ).body()

    @router.get("/{file_id}")
    async def retrieve(file_id: str) -> FileBody:
        return answer(files.get(file_id))

    @router.get("/{file_id}/content")
    async def content(file_id: str) -> FileResponse:
        return FileResponse(files.path(file_id), media_type="application/octet-stream")

    @router.delete("/{file_id}")
    async def delete(
        file_id: str,
    ) -> Annotated[dict[str, Any], DescribedAs("openai.types:FileDeleted")]:
        files.delete(file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    return router
