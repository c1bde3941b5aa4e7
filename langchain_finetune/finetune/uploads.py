"""Uploading a training file once, though answers get lost and processes die."""

from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.errors import (
    error_hint_s,
    explained,
    is_missing,
    may_pass,
    nobody_there,
)
from langchain_finetune.finetune.engines.openai import (
    delete_file,
    list_files,
    retrieve_file,
    upload,
)
from langchain_finetune.finetune.flow import Do, Flow, Sleep
from langchain_finetune.finetune.pagination import Pages
from langchain_finetune.finetune.retry import answered, ask

_FILE = ("id",)
_PAGES = 5
_UNUSABLE = frozenset({"error", "deleted"})


def upload_once(file: WrittenFile, place: Account) -> Flow[tuple[str, bool]]:
    """Return the id of the uploaded file, and whether it was uploaded just now.

    A file that the ledger knows is taken again, and one whose upload had no answer is looked for
    by its name, which is its SHA-256, and its size. A file that is missed costs nothing but the
    upload.

    Raises:
        EngineError: The engine can't be reached, or refuses.
    """
    begun, file_id = yield Do(partial(place.ledger.upload, place.account, file.sha256))
    if file_id is not None:
        known = yield from ask(
            partial(retrieve_file, file_id=file_id),
            place.base_url,
            _FILE,
            none_if=is_missing,
            retry=place.retry,
        )
        if known is not None and getattr(known, "status", None) not in _UNUSABLE:
            return file_id, False
    elif begun and (found := (yield from _find(file, place))):
        return (yield from _settled(file, found, place)), True
    yield Do(partial(place.ledger.settle_upload, place.account, file.sha256, None))
    yield Do(partial(place.ledger.begin_upload, place.account, file.sha256))
    return (yield from _settled(file, (yield from _upload(file, place)), place)), True


def delete_upload(file: WrittenFile, file_id: str, place: Account) -> Flow[None]:
    """Delete an uploaded file that nothing came of; that it can't be done is no error."""
    try:
        yield from answered(partial(delete_file, file_id=file_id), place.base_url)
    except OpenAIError:
        return
    yield Do(partial(place.ledger.settle_upload, place.account, file.sha256, None))


def _upload(file: WrittenFile, place: Account) -> Flow[str]:
    name = _name(file)
    retry = place.retry
    for turn, pause in enumerate([*retry.pauses(), None], start=1):
        try:
            answer = yield from answered(
                partial(upload, name=name, path=file.path), place.base_url, _FILE
            )
        except OpenAIError as error:
            gone = nobody_there(error) and turn >= retry.refused_attempts
            if pause is None or gone or not may_pass(error):
                raise explained(error, place.base_url) from error
            hint = error_hint_s(error)
        else:
            return str(answer.id)
        yield Sleep(max(pause, hint))
        if found := (yield from _find(file, place)):
            return found
    raise AssertionError


def _find(file: WrittenFile, place: Account) -> Flow[str | None]:
    pages = Pages(list_files, place, most=_PAGES)
    while pages.more:
        for uploaded in (yield from pages.following()):
            if _is(uploaded, file):
                return str(uploaded.id)
    return None


def _is(uploaded: Any, file: WrittenFile) -> bool:
    return (
        getattr(uploaded, "filename", None) == _name(file)
        and getattr(uploaded, "bytes", None) == file.size
        and getattr(uploaded, "status", None) not in _UNUSABLE
    )


def _name(file: WrittenFile) -> str:
    return f"{file.sha256}.jsonl"


def _settled(file: WrittenFile, file_id: str, place: Account) -> Flow[str]:
    yield Do(partial(place.ledger.settle_upload, place.account, file.sha256, file_id))
    return file_id
