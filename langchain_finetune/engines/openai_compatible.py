"""Engines of OpenAI's shape: any server of its fine-tuning API, through its SDK.

Requests go through the SDK's raw form: the headers of an answer say when to ask again, and a
broken body is an answer that did not come, not an error of the SDK.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from httpx2 import HTTPError
from langchain_openai import ChatOpenAI
from openai import APIStatusError, AsyncOpenAI, OpenAI, OpenAIError

from langchain_finetune.engines.access import Access
from langchain_finetune.engines.addresses import aopenai_client, openai_client, without_secrets
from langchain_finetune.engines.base import Engine, Steering
from langchain_finetune.engines.flow import Call, Flow, Retry, ask_or_none
from langchain_finetune.engines.jobs import (
    ApiRecord,
    DownloadedFile,
    JobCheckpoint,
    JobEvent,
    JobStatus,
    ListPage,
    ModelEnd,
    NewJob,
    RecordKind,
    RemoteJob,
    UploadedFile,
)
from langchain_finetune.engines.openai_errors import (
    GarbledError,
    checked,
    explained,
    hinted_s,
    reason_of,
)
from langchain_finetune.engines.openai_records import (
    checkpoint,
    download,
    event,
    lister,
    metrics_table,
    record,
    uploaded_file,
)
from langchain_finetune.errors import (
    EngineError,
    Failure,
    JobSubmissionError,
    TrainingNotAvailableError,
)

_FILE = ("id",)

_POLL_TIMEOUT_S = 60.0
"""A question that is asked again anyway need not wait as long as an upload."""

PAGE = 100
"""Entries that are asked for at once (OpenAI's largest page of jobs and events)."""


def account_of(base_url: str, organization: str | None, project: str | None) -> str:
    """Return a hash that names an account at an engine.

    Nothing of the key goes in, not even a hash: a key is changed now and then, and the job must
    be found with the new one. Two accounts that share an address are told apart by the engine
    itself, which does not know the other's jobs.
    """
    account = orjson.dumps([base_url.rstrip("/"), organization, project])
    return hashlib.sha256(b"langchain-finetune account\n" + account).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenAICompatibleEngine(Engine):
    """An engine that is reached with OpenAI's SDK.

    Example:
        ```python
        ENGINE = OpenAICompatibleEngine(
            name="globex",
            summary="Globex",
            base_url="https://api.globex.example/v1",
            key_variable="GLOBEX_API_KEY",
        )
        ```
    """

    streams_usage: bool = False  # LangChain asks by itself only where no address is set.

    key_variable: str | None = "OPENAI_API_KEY"

    @property
    def _address(self) -> str:
        return without_secrets(self.base_url or "")

    @property
    def _asked(self) -> str:
        return f"The engine at {self._address}"

    def client(self, access: Access) -> OpenAI:
        """Open the SDK's client; the flows ask again by themselves."""
        return openai_client(access)

    def aclient(self, access: Access) -> AsyncOpenAI:
        """Open the SDK's async client."""
        return aopenai_client(access)

    def account(self, access: Access, client: Any) -> str:
        """Return a hash of the address, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`."""
        return account_of(access.base_url, client.organization, client.project)

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return a sentence if the engine reports a date when the base shuts down."""
        try:
            model = yield from ask_or_none(partial(self._model, base), Retry(attempts=2))
        except EngineError:
            return []  # An engine that does not list its models is no obstacle.
        date = date_of(getattr(model, "shutdown_date", None))
        source = f"the model list at {self._address}"
        return [retirement(base, date, today, source)] if date else []

    def upload(self, name: str, path: Path) -> Flow[str]:
        """Upload a training file; the async SDK reads it without blocking."""
        file, _ = yield from self._object(
            lambda client: client.files.with_raw_response.create(
                file=(name, path), purpose="fine-tune"
            ),
            _FILE,
        )
        return str(file.id)

    def file_is_usable(self, file_id: str) -> Flow[bool]:
        """Return whether the engine still has a file and finds no fault in it."""
        file, _ = yield from self._object(
            lambda client: client.files.with_raw_response.retrieve(
                file_id, timeout=_POLL_TIMEOUT_S
            ),
            _FILE,
        )
        return uploaded_file(file).usable

    def files(self, after: str | None) -> Flow[ListPage[UploadedFile]]:
        """List the training files, newest first."""
        return self._page(
            lambda client: client.files.with_raw_response.list, after, uploaded_file,
            purpose="fine-tune", order="desc",
        )  # fmt: skip

    def delete_file(self, file_id: str) -> Flow[None]:
        """Delete an uploaded file."""
        yield from self._object(
            lambda client: client.files.with_raw_response.delete(file_id, timeout=_POLL_TIMEOUT_S)
        )

    def create(self, request: NewJob) -> Flow[RemoteJob]:
        """Create a job from the uploaded files."""
        body: dict[str, Any] = {
            "model": request.model,
            "training_file": request.training_file,
            "metadata": request.metadata,
        }
        if request.hyperparameters or request.method != "supervised":
            chosen = request.hyperparameters
            settings = {"hyperparameters": chosen} if chosen else {}
            body["method"] = {"type": request.method, request.method: settings}
        optional = {
            "validation_file": request.validation_file,
            "suffix": request.suffix,
            "seed": request.seed,
            "extra_body": request.extra_body or None,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        made = self._record(lambda client: client.fine_tuning.jobs.with_raw_response.create(**body))
        try:
            return (yield from made)
        except EngineError as error:
            raise self.refusal(error) from error.__cause__

    def refusal(self, error: EngineError) -> EngineError:
        """Return the error to raise for a job that was not created."""
        cause = error.__cause__
        if not isinstance(cause, APIStatusError):
            return error
        if cause.code == "training_not_available":
            return TrainingNotAvailableError(
                f"{self._asked} lets this account make no fine-tuning jobs "
                f"({cause.code}): {reason_of(cause)}{self.why_not_available()} What remains: "
                "engine='local', the embedded engine, which needs no account; or another server "
                "of OpenAI's fine-tuning API, by base_url.",
                failure=error.failure,
            )
        if type(error) is EngineError:
            return JobSubmissionError(
                f"{self._asked} refused the job ({cause.status_code}): {reason_of(cause)}",
                failure=error.failure,
            )
        return error

    def why_not_available(self) -> str:
        """Return what is known about why an account may not fine-tune, after a space."""
        return ""

    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the jobs, newest first; servers may ignore the condition on their metadata."""
        condition = {"metadata": metadata} if metadata else {}
        return self._page(
            lambda client: client.fine_tuning.jobs.with_raw_response.list,
            after,
            remote_job,
            **condition,
        )

    def status(self, job_id: str) -> Flow[RemoteJob]:
        """Return a job."""
        return self._record(
            lambda client: client.fine_tuning.jobs.with_raw_response.retrieve(
                job_id, timeout=_POLL_TIMEOUT_S
            ),
            job_id,
        )

    def steer(self, job_id: str, verb: Steering) -> Flow[RemoteJob]:
        """Cancel, pause or resume a job."""
        return self._record(
            lambda client: getattr(client.fine_tuning.jobs.with_raw_response, verb)(
                job_id, timeout=_POLL_TIMEOUT_S
            )
        )

    def events(self, job_id: str, after: str | None) -> Flow[ListPage[JobEvent]]:
        """List a job's events, newest first."""
        return self._page(
            lambda client: partial(client.fine_tuning.jobs.with_raw_response.list_events, job_id),
            after,
            event,
        )

    def checkpoints(self, job_id: str, after: str | None) -> Flow[ListPage[JobCheckpoint]]:
        """List a job's checkpoints, newest first."""
        return self._page(
            lambda client: partial(
                client.fine_tuning.jobs.checkpoints.with_raw_response.list, job_id
            ),
            after,
            checkpoint,
        )

    def metrics(self, status: JobStatus) -> Flow[list[dict[str, float]]]:
        """Return the figures of the first result file that can be read."""
        for file_id in status.result_files:
            try:
                answer = yield Call(partial(_read_file, file_id), (OpenAIError,))
            except OpenAIError:
                continue
            if rows := metrics_table(answer.content):
                return rows
        return []

    def records(
        self, kind: RecordKind, of: str | None, after: str | None
    ) -> Flow[ListPage[ApiRecord]]:
        """List objects with all fields that the server sent."""
        return self._page(partial(lister, kind, of), after, record)

    def file_record(self, file_id: str) -> Flow[ApiRecord]:
        """Return what the engine knows of an uploaded file."""
        file, _ = yield from self._object(
            lambda client: client.files.with_raw_response.retrieve(
                file_id, timeout=_POLL_TIMEOUT_S
            ),
            _FILE,
        )
        return record(file)

    def download(self, file_id: str, path: Path) -> Flow[DownloadedFile]:
        """Write an uploaded file's content to a path."""
        try:
            written: DownloadedFile = yield Call(
                partial(download, file_id, path, _POLL_TIMEOUT_S), (OpenAIError, HTTPError)
            )
        except OpenAIError as error:
            raise explained(error, self.base_url or "", self.key_variable) from error
        except HTTPError as error:  # While it was read: the SDK passes these on as they are.
            raise EngineError(
                f"The file {file_id} came incomplete from {self._address}.",
                failure=Failure(may_pass=True, reason="the connection was cut"),
            ) from error
        return written

    def model_end(self, base: str, *listed: Mapping[str, Any]) -> ModelEnd | None:
        """Return the date in the list of models: the model's own, else its base's."""
        del base
        dates = (date_of(fields.get("shutdown_date")) for fields in listed)
        stops = next((date for date in dates if date), None)
        return ModelEnd(stops, "the engine's list of models") if stops else None

    def check_model(self, name: str) -> Flow[None]:
        """Look at a model."""
        yield from self._model(name)

    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> ChatOpenAI:
        """Return a `ChatOpenAI`."""
        settings = {"stream_usage": self.streams_usage or None, **settings}
        return ChatOpenAI(model=name, base_url=access.base_url, api_key=access.api_key, **settings)

    def _model(self, name: str) -> Flow[Any]:
        model, _ = yield from self._object(
            lambda client: client.models.with_raw_response.retrieve(name, timeout=_POLL_TIMEOUT_S)
        )
        return model

    def _record(self, request: Callable[[Any], Any], job_id: str | None = None) -> Flow[RemoteJob]:
        return remote_job(*(yield from self._object(request, ("id", "status"), job_id)))

    def _page(
        self,
        method: Callable[[Any], Callable[..., Any]],
        after: str | None,
        entry: Callable[[Any], Any],
        **conditions: Any,
    ) -> Flow[ListPage[Any]]:
        if after:
            conditions["after"] = after
        page, _ = yield from self._object(
            lambda client: method(client)(limit=PAGE, timeout=_POLL_TIMEOUT_S, **conditions),
            ("data",),
        )
        more = getattr(page, "has_more", False) and page.data
        return ListPage([entry(one) for one in page.data], page.data[-1].id if more else None)

    def _object(
        self,
        request: Callable[[Any], Any],
        fields: tuple[str, ...] = (),
        wanted_id: str | None = None,
    ) -> Flow[tuple[Any, Mapping[str, str]]]:
        """Return the object of an answer, if it has the fields and the id, and the headers."""
        try:
            answer = yield Call(request, (OpenAIError,))
            found = checked(answer, fields, self.base_url or "").parse()
            if wanted_id is not None and found.id != wanted_id:
                raise GarbledError(f"the answer is about {found.id}.")
        except OpenAIError as error:
            raise explained(error, self.base_url or "", self.key_variable) from error
        return found, answer.headers


def date_of(value: Any) -> dt.date | None:
    """Return a date that a server gave as text, or None.

    Example:
        >>> date_of("2027-01-14"), date_of("soon")
        (datetime.date(2027, 1, 14), None)
    """
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def retirement(base: str, date: dt.date, today: dt.date, source: str) -> str:
    """Return a sentence on when a base shuts down, with its source."""
    tense = "was shut down" if date <= today else "will be shut down"
    return (
        f"The base {base} {tense} on {date}, and every model fine-tuned from it ({source}). "
        "Choose a base that stays."
    )


def remote_job(job: Any, headers: Mapping[str, str] | None = None) -> RemoteJob:
    """Return a job of the SDK as a record; servers may omit fields."""
    # An empty error object of a good job is truthy in the SDK, so the code decides.
    error = getattr(job, "error", None)
    status = JobStatus(
        job_id=job.id,
        status=str(job.status),
        fine_tuned_model=getattr(job, "fine_tuned_model", None) or None,
        trained_tokens=getattr(job, "trained_tokens", None),
        error_code=getattr(error, "code", None),
        error_message=getattr(error, "message", None),
        created_at=getattr(job, "created_at", None),
        finished_at=getattr(job, "finished_at", None),
        result_files=tuple(getattr(job, "result_files", None) or ()),
    )
    base, trained_at = (getattr(job, name, None) or None for name in ("model", "trained_at"))
    metadata = getattr(job, "metadata", None) or {}
    return RemoteJob(status, base, metadata, hinted_s(headers or {}), trained_at)


def _read_file(file_id: str, client: Any) -> Any:
    return client.files.with_raw_response.content(file_id, timeout=_POLL_TIMEOUT_S)
