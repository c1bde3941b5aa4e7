"""The engine contract: data about an engine, and the operations that jobs need.

An operation is a flow of a single attempt: it yields a `Call` for each request and returns this
package's own types. If it fails, it raises an `EngineError` whose `failure` classifies the error;
the caller decides whether to retry. Submitting, waiting and `Job` are therefore independent of the
engine, and sync and async callers share the same operations.
"""

import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, SecretStr

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.checks import OPENAI, Profile
from langchain_finetune.engines.access import Access
from langchain_finetune.engines.flow import Flow, Retry, finished
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
from langchain_finetune.engines.prices import Price, Speed
from langchain_finetune.errors import EngineAuthenticationError, EngineError, Failure
from langchain_finetune.methods import LineKind

Capability = Literal["cancel", "pause", "resume", "events", "metrics", "checkpoints", "weights"]
"""Operations that some engines do not support."""

CAPABILITIES: Mapping[Capability, str] = {
    "cancel": "cancel jobs",
    "pause": "pause jobs",
    "resume": "resume jobs",
    "events": "list a job's events",
    "metrics": "report a job's metrics",
    "checkpoints": "list a job's checkpoints",
    "weights": "hand out a model's weights",
}
"""Descriptions for error messages."""

Steering = Literal["cancel", "pause", "resume"]


@dataclass(frozen=True)
class Pace:
    """Retries and polling intervals.

    Attributes:
        retry: Retries of requests without a response.
        looks: Pauses before each search for a job that may exist; lists may lag behind.
        poll_s: First and maximum seconds between two requests for a job's status.
        model_appears_s: How long the model of a finished job may still be unknown.
    """

    retry: Retry = field(default_factory=Retry)
    looks: tuple[float, ...] = (1.0, 3.0, 8.0)
    poll_s: tuple[float, float] = (5.0, 60.0)
    model_appears_s: float = 900.0


class Deployment(CheckedArguments):
    """How a fine-tuned model is deployed, at an engine that requires it.

    Each field is an option of the command line, `--<engine>-<field>`; `name` is `--deployment`. A
    field's `json_schema_extra` may contain `option`, another suffix of its option, or `variable`,
    an environment variable from which it is read instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine(ABC):
    """An engine: its address and key, rules, prices and operations.

    Attributes:
        name: Name for `FineTune(engine=...)`.
        summary: Description for help texts and documentation.
        key_variable: Environment variable of its key; None if it requires no key.
        base_url: Its address; None if it depends on the environment or the account. Operations
            run on a copy with the account's address.
        takes_base_url: Whether another address can be set.
        needs_base_url: Whether each account has its own address.
        extra: The extra with its SDK; None if it requires no other.
        profile: Rules of its training files.
        lines: Methods of `Convert(method=...)` whose examples it can train on; by default those of
            OpenAI's API and of base models.
        prices: USD per million trained tokens, by base.
        price_source: Source of the prices.
        price_as_of: Month of that source, `YYYY-MM`.
        price_host: The only host that the prices apply to; by default that of `base_url`.
        speeds: Speed of training, by base, if known.
        quotes: Whether it tells the price of a job before it is created, see `quote`.
        shares_files: Whether the same content uploaded again is the same file.
        refused_in_suffix: Characters that a suffix must not contain.
        max_suffix: Most characters of a suffix.
        deployment: Model of the deployment settings; None if models need no deployment.
        request_options: Options of `run` for fields of the job's request: by option, the field
            and its help text.
        capabilities: Supported operations of those that are optional.
        pace: Retries and polling intervals.
    """

    name: str
    summary: str = ""
    key_variable: str | None = None
    base_url: str | None = None
    takes_base_url: bool = True
    needs_base_url: bool = False
    extra: str | None = None
    profile: Profile = OPENAI
    lines: tuple[LineKind, ...] = ("supervised", "preference", "completion")
    prices: Mapping[str, float] = field(default_factory=dict)
    price_source: str = "its price list"
    price_as_of: str | None = None
    price_host: str | None = None
    speeds: Mapping[str, Speed] = field(default_factory=dict)
    quotes: bool = False
    shares_files: bool = False
    refused_in_suffix: str = ""
    max_suffix: int = 64
    deployment: type[Deployment] | None = None
    request_options: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset(CAPABILITIES) - {"weights"}
    pace: Pace = Pace()

    def require(self, capability: Capability) -> None:
        """Refuse an operation that the engine does not support.

        Raises:
            EngineError: It is not supported.
        """
        if capability not in self.capabilities:
            raise EngineError(f"Engine {self.name!r} cannot {CAPABILITIES[capability]}.")

    # Address and key.

    def default_base_url(self) -> str:
        """Return the default address; empty if there is none."""
        return self.base_url or ""

    def access(self, base_url: str | None, api_key: SecretStr | None) -> Access:
        """Return address and key, as given or from the environment; may block.

        Raises:
            EngineAuthenticationError: The key is missing or malformed.
        """
        variable = self.key_variable
        if variable is None:
            return Access(base_url or self.default_base_url(), api_key or SecretStr(""))
        key = (api_key.get_secret_value() if api_key else os.environ.get(variable, "")).strip()
        if not key:
            raise EngineAuthenticationError(
                f"The engine needs a key: give api_key, or set {variable}."
            )
        if not (key.isascii() and key.isprintable()):
            # The HTTP client would quote such a key in its error, and so in tracebacks and traces.
            raise EngineAuthenticationError(
                f"The key has characters that no key has: check api_key or {variable}."
            )
        return Access(base_url or self.default_base_url(), SecretStr(key))

    @abstractmethod
    def client(self, access: Access) -> AbstractContextManager[Any]:
        """Open the client of sync requests."""

    @abstractmethod
    def aclient(self, access: Access) -> AbstractAsyncContextManager[Any]:
        """Open the client of async requests."""

    def reconnect(self, client: Any) -> None:
        """Update the client's address after the engine did not respond; may block."""
        del client

    def account(self, access: Access, client: Any) -> str:
        """Return an identifier of the account, which distinguishes its jobs; never the key."""
        del access, client
        return self.name

    # Prices and limits.

    def price(self, names: list[str], base_url: str | None) -> Price | None:
        """Return the price of training a base, or None if unknown.

        Args:
            names: Names under which the base may be listed.
            base_url: The address that was set, if any.
        """
        own = self.price_host or urlsplit(self.base_url or "").hostname
        if base_url and urlsplit(base_url).hostname != own:
            return None
        for name in names:
            if name in self.prices:
                usd = self.prices[name]
                return Price(usd=usd, source=self.price_source, as_of=self.price_as_of)
        return None

    def usual_epochs(self, base: str, examples: int) -> tuple[int, str]:
        """Return the number of epochs that the engine chooses, and the source of this."""
        del base
        usual, fewest_seen, most_seen, most = 3, 100, 25_000, 25
        basis = "assumed: OpenAI's usual choice (its cookbook)"
        # Source: OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning".
        if examples * usual < fewest_seen:
            return min(most, fewest_seen // max(1, examples)), basis
        if examples * usual > most_seen:
            return max(1, most_seen // examples), basis
        return usual, basis

    def base_of(self, model: str) -> str:
        """Return the name of a base in requests."""
        return model

    # Operations.

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return warnings before a job is created, such as the retirement of a base."""
        del base, today
        return finished([])

    def upload(self, name: str, path: Path) -> Flow[str]:
        """Upload a training file and return its id; by default, its path is the id."""
        del name
        return finished(str(path))

    def file_is_usable(self, file_id: str) -> Flow[bool]:
        """Return whether an uploaded file can still be used."""
        return finished(Path(file_id).is_file())

    def files(self, after: str | None) -> Flow[ListPage[UploadedFile]]:
        """List the uploaded training files, newest first."""
        del after
        return finished(ListPage())

    def delete_file(self, file_id: str) -> Flow[None]:
        """Delete an uploaded file."""
        del file_id
        return finished(None)

    def quote(self, request: NewJob) -> Flow[float]:
        """Return the price of a job in USD, from the ids of its uploaded files.

        Raises:
            EngineError: The engine can't tell it.
        """
        raise NotImplementedError(request)

    @abstractmethod
    def create(self, request: NewJob) -> Flow[RemoteJob]:
        """Create a job.

        Raises:
            EngineError: It was not created, or may have been (`failure.outcome_unknown`).
        """

    @abstractmethod
    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the jobs, newest first.

        Args:
            metadata: Metadata of the jobs; an engine may ignore it.
            after: Cursor of the previous page.
        """

    def carries(self, job: RemoteJob, metadata: Mapping[str, str]) -> bool:
        """Return whether a job was created with this metadata."""
        return all(job.metadata.get(key) == value for key, value in metadata.items())

    @abstractmethod
    def status(self, job_id: str) -> Flow[RemoteJob]:
        """Return a job; if the client drives the training, continue it for a while."""

    def steer(self, job_id: str, verb: Steering) -> Flow[RemoteJob]:
        """Cancel, pause or resume a job."""
        raise NotImplementedError(job_id, verb)

    def events(self, job_id: str, after: str | None) -> Flow[ListPage[JobEvent]]:
        """List a job's events, newest first."""
        raise NotImplementedError(job_id, after)

    def checkpoints(self, job_id: str, after: str | None) -> Flow[ListPage[JobCheckpoint]]:
        """List a job's checkpoints, newest first."""
        raise NotImplementedError(job_id, after)

    def metrics(self, status: JobStatus) -> Flow[list[dict[str, float]]]:
        """Return the metrics of each step; empty if only the events have them."""
        del status
        return finished([])

    def check_model(self, name: str) -> Flow[None]:
        """Raise an `EngineError` with `failure.missing` if a model no longer exists."""
        del name
        return finished(None)

    def deploys(self, extra_body: Mapping[str, Any]) -> bool:
        """Return whether a job with these fields needs to be told how its model is deployed."""
        del extra_body
        return self.deployment is not None

    def answers_at_once(self, name: str) -> bool:
        """Return whether a model answers without a deployment."""
        del name
        return self.deployment is None

    def deploy(self, status: JobStatus, base: str, deployment: Any) -> Flow[str]:
        """Deploy a job's model and return the name of the deployed model.

        Args:
            status: Status of the job.
            base: The base model.
            deployment: An instance of `self.deployment`.
        """
        raise NotImplementedError(status, base, deployment)

    def undeploy(self, status: JobStatus, deployment: Any) -> Flow[None]:
        """Remove what an interrupted `deploy` left unfinished, where that costs money."""
        del status, deployment
        return finished(None)

    def weights(self, status: JobStatus, step: int | None, folder: Path) -> Flow[None]:
        """Write the weights of a job's model into an empty folder, in Hugging Face's format.

        Args:
            status: Status of the job.
            step: Step of the checkpoint; None for the final model.
            folder: The folder; a failed download may leave a part in it.
        """
        raise NotImplementedError(status, step, folder)

    # What an account has.

    def records(
        self, kind: RecordKind, of: str | None, after: str | None
    ) -> Flow[ListPage[ApiRecord]]:
        """List objects as the engine's API gives them; `of` is the job, model or completion.

        Raises:
            EngineError: The engine has no such list (`failure.missing`), or refuses.
        """
        del of, after
        missing = Failure(missing=True, reason="it has no such list")
        raise EngineError(f"Engine {self.name!r} does not list its {kind}.", failure=missing)

    def file_record(self, file_id: str) -> Flow[ApiRecord]:
        """Return what the engine knows of an uploaded file."""
        raise NotImplementedError(file_id)

    def download(self, file_id: str, path: Path) -> Flow[DownloadedFile]:
        """Write an uploaded file's content to a path, readable only by its owner."""
        raise NotImplementedError(file_id, path)

    def model_end(self, base: str, *listed: Mapping[str, Any]) -> ModelEnd | None:
        """Return when a fine-tuned model stops, or None if nothing is announced.

        Args:
            base: Its base.
            listed: What the list of models says of the model and of its base.
        """
        del base, listed
        return None

    @abstractmethod
    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> Any:
        """Return a LangChain chat model of a fine-tuned model.

        Args:
            access: Address and key of the engine.
            name: Name of the model.
            settings: Further arguments: callbacks, metadata and those of the user.
        """
