"""Stylesheet and scripts, from the package."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from langchain_finetune.local.api_error import ApiError

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def create_assets_router() -> APIRouter:
    """Return the route of the files in `static/`; no other file can be named."""
    router = APIRouter()
    found = {
        file.name: file.read_bytes()
        for file in files("langchain_finetune.local.page").joinpath("static").iterdir()
        if file.name.rpartition(".")[2] in _KINDS
    }
    tags = {name: f'"{hashlib.sha256(data).hexdigest()[:32]}"' for name, data in found.items()}

    @router.get("/ui/static/{name}")
    def read_asset(name: str, request: Request) -> Response:
        if name not in found:
            raise ApiError(404, "There is no such file.")
        headers = {"etag": tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        kind = _KINDS[name.rpartition(".")[2]]
        return Response(found[name], media_type=kind, headers=headers)

    return router
