"""Routes that require no key: their URLs contain an unguessable secret."""

import re

from fastapi import APIRouter, Response

from langchain_finetune.local.store.store import RunStore

_WITHOUT_KEY = re.compile(
    r"(?:/api/v1|/api|/v1)?(?:/public/attachments/|/feedback/tokens/)[0-9a-fA-F-]{36}"
)


def is_presigned(method: str, path: str) -> bool:
    """Return whether a request's address authorises it, so that it needs no key.

    These are the downloads of attachments, and the feedback of an app's users in their browsers.
    """
    if not _WITHOUT_KEY.fullmatch(path):
        return False
    return method in {"GET", "HEAD"} or (method == "POST" and "/feedback/tokens/" in path)


def create_public_router(store: RunStore) -> APIRouter:
    """Return the route behind the addresses in `s3_urls` and `attachment_urls`."""
    router = APIRouter()

    @router.get("/public/attachments/{blob_id}")
    def download(blob_id: str, expires: int, signature: str) -> Response:
        mime_type, data = store.attachments.read(blob_id, expires, signature)
        headers = {
            # What strangers traced must not run as a page of this server.
            "Content-Disposition": "attachment",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private",
        }
        return Response(data, media_type=mime_type, headers=headers)

    return router
