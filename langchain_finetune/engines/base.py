"""The contract of an engine: data about it, and the operations that jobs need.

An operation is a flow of one attempt: it yields `Call` for each request and returns this package's
own types. Where it fails it raises an `EngineError` whose `failure` says what that means; whoever
runs it decides whether to ask again. So submitting exactly once, waiting and `Job` know no engine,
and the same operations serve sync and async callers.
"""

import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from langchain_finetune.checks import OPENAI, Profile
from langchain_finetune.engines.flow import Flow, Retry, finished
from langchain_finetune.engines.jobs import (
    JobCheckpoint,
    JobEvent,
    JobStatus,
    ListPage,
    NewJob,
    RemoteJob,
    UploadedFile,
)
from langchain_finetune.errors import EngineAuthenticationError, EngineError
from langchain_finetune.methods import LineKind

Capability = Literal["cancel", "pause", "resume", "events", "metrics", "checkpoints"]
"""What some engines can't do."""

CAPABILITIES: Mapping[Capability, str] = {
    "cancel": "cancel jobs",
    "pause": "pause jobs",
    "resume": "resume jobs",
    "events": "list a job's events",
    "metrics": "report a job's metrics",
    "checkpoints": "list a job's checkpoints",
}
"""In words, for errors."""

Steering = Literal["cancel", "pause", "resume"]


def is_address(text: str) -> bool:
    """Return whether a text can be the base URL of an API."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Brackets that do not close, a port that is not a number.
        return False


def _checked_address(text: str) -> str:
    if not is_address(text):
        raise ValueError("An address is needed, such as http://127.0.0.1:8000/v1.")
    return text


Address = Annotated[str, AfterValidator(_checked_address)]
"""The base URL of an API."""


def same_address(one: str, other: str) -> bool:
    """Return whether two base URLs are the same; a slash at the end makes no difference."""
    return one.rstrip("/") == other.rstrip("/")


@dataclass(frozen=True)
class Access:
    """How to reach an account.

    Attributes:
        base_url: The address; empty at an engine that has none.
        api_key: The key; empty at an engine that needs none.
    """

    base_url: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))


class Price(BaseModel):
    """What a million trained tokens cost.

    Attributes:
        usd: Per million.
        source: Who says so.
        as_of: The month of the source, `YYYY-MM`; None where the user gave the price.
    """

    model_config = ConfigDict(frozen=True)

    usd: float
    source: str
    as_of: str | None = None

    def __str__(self) -> str:
        when = f", {self.as_of}" if self.as_of else ""
        return f"${self.usd:g} per million trained tokens ({self.source}{when})"


@dataclass(frozen=True)
class Speed:
    """How fast an engine trains a base.

    Attributes:
        tokens_per_s: Trained tokens a second.
        parameters: Of the base; the engine's own choice of epochs depends on it.
        source: Where that was measured.
    """

    tokens_per_s: float
    parameters: int
    source: str


@dataclass(frozen=True)
class Pace:
    """How often an engine is asked.

    Attributes:
        retry: For an answer that does not come.
        looks: Pauses before each search for a job that may exist; a list may lag behind.
        poll_s: Seconds between two questions about a job: the first, and the maximum.
        model_appears_s: How long a finished job's model may still be unknown at the engine.
    """

    retry: Retry = field(default_factory=Retry)
    looks: tuple[float, ...] = (1.0, 3.0, 8.0)
    poll_s: tuple[float, float] = (5.0, 60.0)
    model_appears_s: float = 900.0


class Deployment(BaseModel):
    """How a fine-tuned model is deployed, at an engine where it answers only then.

    The command line makes an option of each field, `--<engine>-<field>`; `name` is
    `--deployment`. A field's `json_schema_extra` may hold `option`, another ending of its option,
    or `variable`: it is read from this environment variable instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine(ABC):
    """An engine: how it is reached and keyed, what it takes, and what it does.

    Attributes:
        name: What `FineTune(engine=...)` calls it.
        summary: What it is, for help texts and documentation.
        key_variable: The environment variable of its key; None where it needs no key.
        base_url: Its address; None where it depends on the environment or the account. Operations
            run on a copy that has the account's.
        takes_base_url: Whether another address can be given.
        needs_base_url: Whether each account has an address of its own.
        profile: The rules of its training files.
        lines: Kinds of line that it trains on, what `Convert(method=...)` makes.
        prices: USD per million trained tokens, by base.
        price_source: Who says so.
        price_as_of: The month of that source, `YYYY-MM`.
        price_host: The only host where they hold; None where they hold at every address.
        speeds: How fast it trains, by base, where that is known.
        refused_in_suffix: Characters that a suffix must not contain.
        deployment: How a model is deployed; None where it answers without.
        request_options: Fields of a job's request that `run` has an option for: by option, the
            field and its help.
        capabilities: What it can do of what some can't.
        pace: How often it is asked.
    """

    name: str
    summary: str = ""
    key_variable: str | None = None
    base_url: str | None = None
    takes_base_url: bool = True
    needs_base_url: bool = False
    profile: Profile = OPENAI
    lines: tuple[LineKind, ...] = get_args(LineKind)
    prices: Mapping[str, float] = field(default_factory=dict)
    price_source: str = "its price list"
    price_as_of: str | None = None
    price_host: str | None = None
    speeds: Mapping[str, Speed] = field(default_factory=dict)
    refused_in_suffix: str = ""
    deployment: type[Deployment] | None = None
    request_options: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset(CAPABILITIES)
    pace: Pace = Pace()

    def require(self, capability: Capability) -> None:
        """Refuse what the engine can't do.

        Raises:
            EngineError: It can't.
        """
        if capability not in self.capabilities:
            raise EngineError(f"Engine {self.name!r} cannot {CAPABILITIES[capability]}.")

    # How it is reached.

    def default_base_url(self) -> str:
        """Return its address where none is given; empty where it has none."""
        return self.base_url or ""

    def access(self, base_url: str | None, api_key: SecretStr | None) -> Access:
        """Return how to reach it, from what was given and from the environment; may block.

        Raises:
            EngineAuthenticationError: There is no key, or it can't be one.
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
            # The transport would quote such a key in its error, and so in a traceback and a trace.
            raise EngineAuthenticationError(
                f"The key has characters that no key has: check api_key or {variable}."
            )
        return Access(base_url or self.default_base_url(), SecretStr(key))

    @abstractmethod
    def client(self, access: Access) -> AbstractContextManager[Any]:
        """Open what is given to the requests of sync callers."""

    @abstractmethod
    def aclient(self, access: Access) -> AbstractAsyncContextManager[Any]:
        """Open what is given to the requests of async callers."""

    def reconnect(self, client: Any) -> None:
        """Find the engine again after it did not answer; may block. Most stay where they are."""
        del client

    def account(self, access: Access, client: Any) -> str:
        """Return what names the account, so that jobs of two accounts differ; never the key."""
        del access, client
        return self.name

    # What it costs and takes.

    def price(self, names: list[str], base_url: str | None) -> Price | None:
        """Return the price of training a base, or None where it is not known.

        Args:
            names: The names that the base may be listed under.
            base_url: The address that was given, if any.
        """
        if base_url and self.price_host not in {None, urlsplit(base_url).hostname}:
            return None
        for name in names:
            if name in self.prices:
                usd = self.prices[name]
                return Price(usd=usd, source=self.price_source, as_of=self.price_as_of)
        return None

    def usual_epochs(self, base: str, examples: int) -> tuple[int, str]:
        """Return the epochs that it chooses by itself, and where that is known from."""
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
        """Return a base as the engine finds it."""
        return model

    # Its operations.

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return what to warn of before a job is created, such as the end of a base."""
        del base, today
        return finished([])

    def upload(self, name: str, path: Path) -> Flow[str]:
        """Upload a training file and return its id; here: it is read where it is."""
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

    @abstractmethod
    def create(self, request: NewJob) -> Flow[RemoteJob]:
        """Create a job.

        Raises:
            EngineError: It was not created, or `failure.outcome_unknown`.
        """

    @abstractmethod
    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the jobs, newest first.

        Args:
            metadata: What the jobs must carry; an engine may ignore it.
            after: From the page before.
        """

    @abstractmethod
    def status(self, job_id: str) -> Flow[RemoteJob]:
        """Return a job; where the client drives the training, go on with it a little."""

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
        """Return the figures of each step; nothing where only the events have them."""
        del status
        return finished([])

    def check_model(self, name: str) -> Flow[None]:
        """Raise an `EngineError` with `failure.missing` if a model is not there any more."""
        del name
        return finished(None)

    def deploy(self, status: JobStatus, base: str, deployment: Any) -> Flow[str]:
        """Deploy a job's model and return the name that it answers by.

        Args:
            status: The job, with its model.
            base: What was fine-tuned.
            deployment: An object of `self.deployment`.
        """
        raise NotImplementedError(status, base, deployment)

    @abstractmethod
    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> Any:
        """Return a LangChain chat model of a fine-tuned model.

        Args:
            access: How to reach the engine.
            name: The model.
            settings: Its further arguments: callbacks, metadata and those of the user.
        """
