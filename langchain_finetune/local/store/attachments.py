"""Files that belong to runs and examples, and the signed addresses that they are read back by.

They lie as blobs in the store's own file, so that a run and its attachments are kept together or
not at all, and nothing that a client names ever becomes a path. A request's size bounds them.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import one_of
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.values import now

VALID_S = 24 * 3600
"""How long a signed address works; readers fetch at once."""

_UNKNOWN_TYPE = "application/octet-stream"
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,80}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}")


@dataclass(frozen=True)
class Attachment:
    """A file as a client sends it."""

    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True)
class Link:
    """A stored attachment: its URL and content type."""

    blob_id: str
    path: str
    mime_type: str


Links = Mapping[str, Link]
"""Files by their names."""


class Attachments:
    """All attachments of a store.

    Owners are runs, by their id, and versions of examples, by their number.
    """

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database
        self._key = _signing_key(database)

    def add(self, owner: str, attachments: Iterable[Attachment]) -> None:
        """Keep files; one of a known name replaces the old."""
        with self._database.transaction():
            for attachment in attachments:
                blob_id, mime_type = str(uuid4()), _mime_type(attachment.mime_type)
                blob = {"id": blob_id, "mime_type": mime_type, "data": attachment.data}
                self._database.put("blobs", blob)
                self.share(owner, {attachment.name: blob_id})

    def share(self, owner: str, blobs: Mapping[str, str]) -> None:
        """Link stored attachments to another owner, by name, without copying them."""
        for name, blob_id in blobs.items():
            # A row that is replaced would not take its blob away; one that is deleted does.
            sql = "DELETE FROM attachments WHERE owner = ? AND name = ?"
            self._database.run(sql, (owner, name))
            self._database.put("attachments", {"owner": owner, "name": name, "blob_id": blob_id})

    def of(self, owners: Sequence[str]) -> dict[str, dict[str, Link]]:
        """Return the files of some owners, by owner and name."""
        asked = one_of("a.owner", owners)
        rows = self._database.rows(
            "SELECT a.owner, a.name, b.id, b.mime_type FROM attachments AS a "  # noqa: S608
            f"JOIN blobs AS b ON b.id = a.blob_id WHERE {asked.sql} ORDER BY a.name",
            asked.values,
        )
        found: dict[str, dict[str, Link]] = {}
        for row in rows:
            link = Link(row["id"], self._path(row["id"]), row["mime_type"])
            found.setdefault(row["owner"], {})[row["name"]] = link
        return found

    def read(self, blob_id: str, expires: int, signature: str) -> tuple[str, bytes]:
        """Return kind and content of the file that a signed address means.

        Raises:
            ApiError: 403 where the address is not of this store or has expired, 404 where the
                file is gone.
        """
        expected = self._signature(blob_id, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise ApiError(403, "The address of this attachment is not one of this server.")
        if expires < now() // 10**6:
            raise ApiError(403, "The address of this attachment has expired: read the run again.")
        row = self._database.row("SELECT mime_type, data FROM blobs WHERE id = ?", (blob_id,))
        if row is None:
            raise ApiError(404, "There is no such attachment.", code="attachment_not_found")
        return row["mime_type"], row["data"]

    def _path(self, blob_id: str) -> str:
        expires = now() // 10**6 + VALID_S
        signature = self._signature(blob_id, expires)
        return f"/public/attachments/{blob_id}?expires={expires}&signature={signature}"

    def _signature(self, blob_id: str, expires: int) -> str:
        text = f"{blob_id} {expires}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def attachment_urls(links: Links) -> dict[str, Any]:
    """Return attachments in the format of LangSmith's v1 API: by `attachment.<name>`.

    The addresses begin at the server's root: LangSmith's client puts its own endpoint before.
    """
    return {
        f"attachment.{name}": {"presigned_url": link.path, "mime_type": link.mime_type}
        for name, link in links.items()
    }


def _mime_type(text: str) -> str:
    """Return a kind that is safe in a header, and by which no browser runs anything unasked."""
    kind = text.strip().lower()
    return kind if _TYPE.fullmatch(kind) else _UNKNOWN_TYPE


def _signing_key(database: StoreDatabase) -> bytes:
    with database.transaction():
        row = database.row("SELECT value FROM secrets WHERE name = 'attachments'")
        if row is None:
            row = {"name": "attachments", "value": secrets.token_bytes(32)}
            database.put("secrets", row)
        return bytes(row["value"])
