"""Uploading a training file once, though answers get lost and processes die."""

from functools import partial
from itertools import count

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.engines.flow import Do, Flow, Pages, Sleep, ask_or_none
from langchain_finetune.errors import EngineError
from langchain_finetune.finetune.connection import Account

_PAGES = 5


def upload_once(file: WrittenFile, account: Account) -> Flow[tuple[str, bool]]:
    """Return the id of the uploaded file, and whether it was uploaded just now.

    A file that the ledger knows is taken again, and one whose upload had no answer is looked for
    by its name, which is its SHA-256, and its size. A file that is missed costs nothing but the
    upload.

    Raises:
        EngineError: The engine is unreachable, or refused.
    """
    ledger, retry = account.ledger, account.engine.pace.retry
    begun, file_id = yield Do(partial(ledger.upload, account.id, file.sha256))
    if file_id is not None:
        check = partial(account.api.file_is_usable, file_id)
        if (yield from ask_or_none(check, retry)):
            return file_id, False
    elif begun and (found := (yield from _find(file, account))):
        yield Do(partial(ledger.settle_upload, account.id, file.sha256, found))
        return found, True
    yield Do(partial(ledger.settle_upload, account.id, file.sha256, None))
    yield Do(partial(ledger.begin_upload, account.id, file.sha256))
    made = yield from _upload(file, account)
    yield Do(partial(ledger.settle_upload, account.id, file.sha256, made))
    return made, True


def delete_upload(file: WrittenFile, file_id: str, account: Account) -> Flow[None]:
    """Delete an uploaded file that no job uses; failures are ignored."""
    try:
        yield from account.api.delete_file(file_id)
    except EngineError:
        return
    yield Do(partial(account.ledger.settle_upload, account.id, file.sha256, None))


def _upload(file: WrittenFile, account: Account) -> Flow[str]:
    for attempt in count(1):
        try:
            return (yield from account.api.upload(_name(file), file.path))
        except EngineError as error:
            pause = account.engine.pace.retry.pause_after(attempt, error.failure)
            if pause is None:
                raise
        yield Sleep(pause)
        if found := (yield from _find(file, account)):
            return found
    raise AssertionError


def _find(file: WrittenFile, account: Account) -> Flow[str | None]:
    pages = Pages(account.api.files, account.engine.pace.retry, max_pages=_PAGES)
    while pages.more:
        for uploaded in (yield from pages.following()):
            if uploaded.usable and (uploaded.name, uploaded.size) == (_name(file), file.size):
                return uploaded.id
    return None


def _name(file: WrittenFile) -> str:
    return f"{file.sha256}.jsonl"
