"""Rescue: fetch what an account has of its fine-tuned models, by requests that only read."""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import SecretStr

from langchain_finetune.engines.flow import Do, Flow, Pages, Tell, Together, ask
from langchain_finetune.engines.jobs import ApiRecord, DownloadedFile
from langchain_finetune.engines.openai_errors import GarbledError, explained
from langchain_finetune.errors import EngineAuthenticationError, EngineError, Failure
from langchain_finetune.finetune.connection import Account
from langchain_finetune.migration.archive import (
    Archive,
    MissingItem,
    MissingState,
    RescuedModel,
    RescueManifest,
    copy,
    decode,
)
from langchain_finetune.migration.completions import CompletionLines
from langchain_finetune.migration.listing import (
    Listing,
    TunedModel,
    account_at,
    every,
    names_of,
    public_address,
    read_listing,
    steps_of,
    text,
    time_of,
)
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.tolerant_json import dumps

_GONE = frozenset({404, 410})
_CHECKPOINTS = "checkpoints.json"
_AT_ONCE = 8
"""Requests for the messages of chat completions at the same time."""

_MOST_FAILURES = 3
"""Things in a row that the engine did not answer for; then it is down, and the rescue ends."""


def rescue(
    models: str | Sequence[str] | None = None,
    *,
    out: str | Path,
    engine: str = "openai",
    base_url: str | None = None,
    api_key: SecretStr | str | None = None,
    on_progress: Callable[[MigrationProgress], None] | None = None,
) -> RescueManifest:
    """Fetch what the account has of fine-tuned models into a folder. It only reads.

    For each model: its job with hyperparameters, seed and metadata (`job.json`), events,
    checkpoints, training and validation file, result files, and stored chat completions with their
    messages. What is complete is not fetched again: call it again after an error, or to add
    newer chat completions.

    Args:
        models: Names of models or ids of jobs; by default all of the account.
        out: The folder. Only its owner can read what is written there.
        engine: The engine: `openai` for each server of OpenAI's API, `azure`, ...
        base_url: Address of the engine, by default its own.
        api_key: Key of the engine; by default from its environment variable.
        on_progress: Called with each step.

    Returns:
        What there is, and what is missing and why. If the engine did not answer for something,
        `failed` holds it.

    Raises:
        EngineError: The engine is down, refuses the key, or does not have a model.
        FineTuningError: The folder cannot be used.

    Example:
        ```python
        found = rescue("ft:gpt-4o-mini-2024-07-18:acme::a1", out="rescued")
        ```
    """
    connection = account_at(engine, base_url, api_key)
    with Archive.opened(Path(out)) as archive:
        return connection.run(partial(_rescue, names_of(models), archive), on_progress)


async def arescue(
    models: str | Sequence[str] | None = None,
    *,
    out: str | Path,
    engine: str = "openai",
    base_url: str | None = None,
    api_key: SecretStr | str | None = None,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
) -> RescueManifest:
    """Fetch what the account has of fine-tuned models, without blocking; as `rescue` otherwise."""
    connection = account_at(engine, base_url, api_key)
    with Archive.opened(Path(out)) as archive:
        return await connection.arun(partial(_rescue, names_of(models), archive), on_progress)


def _rescue(wanted: tuple[str, ...], archive: Archive, account: Account) -> Flow[RescueManifest]:
    yield Do(partial(archive.begin, account.engine.name, public_address(account)))
    yield Tell(MigrationProgress("rescue", "listing models and jobs"))
    listing = yield from read_listing(account)
    today = dt.datetime.fromtimestamp(account.now(), dt.UTC).date()
    last = [one for one in listing.tuned(account.api, today) if one.checkpoint_of is None]
    chosen = list(_chosen(wanted, last))
    run = _Run(archive, listing, account)
    for done, model in enumerate(chosen):
        yield from run.one(model, partial(_told, model.name, done, len(chosen)))
    yield Do(archive.save)
    yield Tell(MigrationProgress("rescue", "finished", len(chosen), len(chosen)))
    return archive.manifest


def _told(model: str, done: int, total: int, what: str) -> Tell:
    return Tell(MigrationProgress("rescue", f"{model}: {what}", done, total))


def _chosen(wanted: tuple[str, ...], models: list[TunedModel]) -> Iterator[TunedModel]:
    """Yield the models of names, of models of their checkpoints, and of ids of jobs; each once.

    Raises:
        EngineError: There is no such model.
    """
    names = {name: name.partition(":ckpt-step-")[0] for name in wanted}
    known = {model.name for model in models} | {model.job_id for model in models}
    for name, model in names.items():
        if model not in known:
            raise EngineError(
                f"The account has no fine-tuned model {name!r}: `langchain-finetune inventory` "
                "lists those that it has.",
                failure=Failure(missing=True, model_missing=True),
            )
    parts = set(names.values())
    yield from (one for one in models if not parts or {one.name, one.job_id} & parts)


class _Run:
    """One run of a rescue; each step of a model is a flow."""

    def __init__(self, archive: Archive, listing: Listing, account: Account) -> None:
        self._archive, self._listing, self._account = archive, listing, account
        self._retry = account.engine.pace.retry
        self._failures = 0
        self._completions_listed = True

    def one(self, model: TunedModel, told: Callable[[str], Tell]) -> Flow[None]:
        """Fetch all that there is of a model."""
        entry = yield Do(partial(self._archive.add, model))
        records = {
            "job.json": self._listing.jobs.get(model.job_id or ""),
            "model.json": (self._listing.models or {}).get(model.name),
        }
        for name, fields in records.items():
            if fields is not None and not (yield Do(partial(self._archive.has, entry, name))):
                yield Do(partial(self._archive.write, entry, name, _json(fields)))
        steps: list[tuple[str, str | None, Callable[[], Flow[None]]]] = []
        if model.job_id:
            steps += [
                (kind, model.job_id, partial(self._list, entry, kind, model.job_id))
                for kind in ("events", "checkpoints")
            ]
        files = [("training file", "training.jsonl", model.training_file)]
        files += [("validation file", "validation.jsonl", model.validation_file)]
        files += [("result file", "", file_id) for file_id in model.result_files]
        for what, name, file_id in files:
            if file_id:
                fetch = self._file if name else self._result
                steps.append((what, file_id, partial(fetch, entry, name, file_id)))
        steps.append(("stored chat completions", None, partial(self._stored, entry)))
        for what, item_id, step in steps:
            yield told(what)
            yield from self._attempt(entry, what, item_id, step)
        entry.complete = not any(item.state == "failed" for item in entry.missing)
        yield Do(self._archive.save)

    def _attempt(
        self, entry: RescuedModel, what: str, item_id: str | None, step: Callable[[], Flow[None]]
    ) -> Flow[None]:
        """Take a step; note what the engine does not have, not give out, or not answer for.

        Raises:
            EngineError: It refuses the key, or is down.
        """
        try:
            yield from step()
        except EngineError as error:
            if isinstance(error, EngineAuthenticationError):
                raise
            status = getattr(error.__cause__, "status_code", None)
            state: MissingState = "gone" if status in _GONE else "refused"
            if error.failure.may_pass:
                state = "failed"
                # One that answers, with something else, is not down.
                self._failures += not isinstance(error.__cause__, GarbledError)
            if self._failures >= _MOST_FAILURES or error.failure.unreachable:
                raise EngineError(
                    f"{error} What was rescued so far is in {self._archive.folder}: run the same "
                    "again to go on.",
                    failure=error.failure,
                ) from error
            now = dt.datetime.now(dt.UTC)
            reason = error.failure.reason or str(error)
            item = MissingItem(what=what, id=item_id, state=state, reason=reason, since=now)
            yield Do(partial(self._archive.miss, entry, item))
        else:
            self._failures = 0
            self._archive.found(entry, what, item_id)

    def _list(
        self, entry: RescuedModel, kind: Literal["events", "checkpoints"], job_id: str
    ) -> Flow[None]:
        """Fetch a list of a job: events as lines, the first one first, or checkpoints."""
        name = {"events": "events.jsonl", "checkpoints": _CHECKPOINTS}[kind]
        if (yield Do(partial(self._archive.has, entry, name))):
            return
        found = [each.fields for each in (yield from every(kind, job_id, self._account))]
        content = _json(found)
        if kind == "events":
            content = b"".join(dumps(each, orjson.OPT_APPEND_NEWLINE) for each in found[::-1])
        yield Do(partial(self._archive.write, entry, name, content))

    def _file(self, entry: RescuedModel, name: str, file_id: str) -> Flow[None]:
        """Fetch an uploaded file; one that several models have is fetched once."""
        if (yield Do(partial(self._archive.has, entry, name))):
            return
        part = self._archive.part(entry, name)
        same = yield Do(partial(self._archive.same_file, file_id))
        api = self._account.api
        known = yield from ask(partial(api.file_record, file_id), self._retry)
        if same is not None:
            written = yield Do(partial(copy, same, part))
        else:
            written = yield from ask(partial(self._whole, known, part), self._retry)
        finish = partial(
            self._archive.finish,
            entry,
            name,
            written,
            file_id=file_id,
            filename=text(known.fields.get("filename")),
            created_at=time_of(known.fields.get("created_at")),
        )
        yield Do(finish)

    def _whole(self, known: ApiRecord, part: Path) -> Flow[DownloadedFile]:
        """Fetch a file of the size that the engine tells.

        Raises:
            EngineError: It has another size, such as one that a proxy cut off.
        """
        written = yield from self._account.api.download(known.id, part)
        size = known.fields.get("bytes")
        sizes = {size, 4 * -(-size // 3)} if isinstance(size, int) and size > 0 else set()
        # A result file may be sent as base64 of what was counted.
        if sizes and written.size not in (sizes if _is_result(known) else {size}):
            wrong = GarbledError(f"the file has {size} bytes, and {written.size} came.")
            raise explained(wrong, self._account.base_url) from wrong
        return written

    def _result(self, entry: RescuedModel, _: str, file_id: str) -> Flow[None]:
        """Fetch a result file as it comes, and decode it: OpenAI's is base64 of a CSV."""
        name = f"result-{1 + entry.model.result_files.index(file_id)}"
        yield from self._file(entry, f"{name}.original", file_id)
        if (yield Do(partial(self._archive.has, entry, f"{name}.csv"))):
            return
        original = self._archive.path(entry, f"{name}.original")
        part = self._archive.part(entry, f"{name}.csv")
        decoded = yield Do(partial(decode, original, part))
        if decoded is None:
            decoded = yield Do(partial(copy, original, part))
        yield Do(partial(self._archive.finish, entry, f"{name}.csv", decoded))

    def _stored(self, entry: RescuedModel) -> Flow[None]:
        """Fetch the stored chat completions that are not there yet, with their messages."""
        if not self._completions_listed:
            return
        lines: CompletionLines = yield Do(partial(CompletionLines, self._archive, entry))
        try:
            errors = []
            for model in (yield Do(partial(self._names, entry))):
                errors += yield from self._stored_of(model, lines)
            yield Do(lines.archive)
        except EngineError as error:
            # A server of OpenAI's shape need not store any.
            if isinstance(error, EngineAuthenticationError) or error.failure.may_pass:
                raise
            errors = []
            self._completions_listed = False
            self._archive.manifest.notes = [
                f"The engine does not list stored chat completions: {error.failure.reason}"
            ]
        finally:
            lines.close()
        if errors:
            raise errors[0]

    def _stored_of(self, model: str, lines: CompletionLines) -> Flow[list[EngineError]]:
        """Fetch the chat completions of a model; return the errors of those that did not come."""
        errors = []
        pages = Pages(partial(self._account.api.records, "completions", model), self._retry)
        while pages.more:
            fresh = [
                one
                for one in (yield from pages.following())
                # A server may ignore the condition on the model.
                if one.id not in lines.ids and one.fields.get("model", model) == model
            ]
            for start in range(0, len(fresh), _AT_ONCE):
                part = fresh[start : start + _AT_ONCE]
                found = yield Together([self._messages(one.id) for one in part])
                for one, messages in zip(part, found, strict=True):
                    if isinstance(messages, EngineError):
                        errors.append(messages)
                    else:
                        yield Do(partial(lines.add, one, messages))
                if len(errors) >= _MOST_FAILURES:
                    raise errors[0]
        return errors

    def _messages(self, completion_id: str) -> Flow[list[ApiRecord] | EngineError]:
        """Return the messages of a chat completion, or why they did not come."""
        try:
            return (yield from every("messages", completion_id, self._account, optional=True))
        except EngineError as error:
            if isinstance(error, EngineAuthenticationError):
                raise
            return error

    def _names(self, entry: RescuedModel) -> list[str]:
        """Return the names of a model and of its checkpoints."""
        names = [entry.model.name]
        if self._archive.has(entry, _CHECKPOINTS):
            kept = orjson.loads(self._archive.path(entry, _CHECKPOINTS).read_bytes())
            names += [name for name in steps_of(kept) if name not in names]
        return names


def _is_result(known: ApiRecord) -> bool:
    return known.fields.get("purpose") == "fine-tune-results"


def _json(content: Any) -> bytes:
    return dumps(content, orjson.OPT_INDENT_2)
