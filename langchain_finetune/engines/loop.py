"""Engines whose model is trained step by step at a host, by the embedded engine.

Such a session lives only as long as its client, so the job is one of the embedded engine, whose
training process sends the steps: it goes on after the client has ended, and after a restart.
"""

import asyncio
import datetime as dt
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_openai import ChatOpenAI
from openai import APIStatusError, AsyncOpenAI, OpenAI, OpenAIError
from pydantic import SecretStr

from langchain_finetune.engines.access import Access
from langchain_finetune.engines.addresses import aopenai_client, openai_client
from langchain_finetune.engines.flow import Call, Do, Flow, finished
from langchain_finetune.engines.jobs import ListPage, NewJob, RemoteJob
from langchain_finetune.engines.local import ENGINE as EMBEDDED
from langchain_finetune.engines.local import ensure_engine, jobs_trained_at
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine, account_of
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.errors import EngineAuthenticationError, EngineError, Failure
from langchain_finetune.extras import require_modules
from langchain_finetune.home import ensure_home, home_path, host_key_file, save_host_key
from langchain_finetune.private_files import disk_errors

_GONE = 404
_TIMEOUT_S = 60.0

WEIGHTS_OPTION = {
    "--weights": (
        "weights",
        "Where the model answers: host (the default), or home, on the embedded engine.",
    )
}
"""The option of `run` for where the weights are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopEngine(OpenAICompatibleEngine):
    """An engine that trains at a host by a loop; its requests go to the embedded engine.

    Attributes:
        address_variable: Environment variable of the host's address, as its SDK reads it.
        modules: Modules of the host's SDK.
        hosted: How the names of models begin that answer at the host.
        answers_at: Where they answer, below the host's address.
        host_options: Fields of a request that are settings of the host.
    """

    address_variable: str
    modules: tuple[str, ...]
    hosted: str
    answers_at: str
    host_options: tuple[str, ...] = ("weights",)

    @property
    def _asked(self) -> str:
        return "The embedded engine"

    @abstractmethod
    def is_gone(self, name: str) -> Flow[bool]:
        """Return whether the host, beyond doubt, no longer has a model."""

    def default_base_url(self) -> str:
        """Return the address in the environment, as the SDK does, or the host's own."""
        return os.environ.get(self.address_variable) or super().default_base_url()

    def access(self, base_url: str | None, api_key: SecretStr | None) -> Access:
        """Return address and key of the host; keep the key for the embedded engine."""
        require_modules(f"Engine {self.name!r}", self.extra or "", *self.modules)
        access = super().access(base_url, api_key)
        with disk_errors("Keeping the key"):
            save_host_key(ensure_home(home_path()), access.base_url, access.api_key)
        return access

    @contextmanager
    def client(self, access: Access) -> Iterator[OpenAI]:  # type: ignore[override]
        """Open the client of the embedded engine, which is started if it does not run."""
        del access
        with openai_client(_embedded()) as client:
            yield client

    @asynccontextmanager
    async def aclient(self, access: Access) -> AsyncIterator[AsyncOpenAI]:  # type: ignore[override]
        """Open its async client."""
        del access
        async with aopenai_client(await asyncio.to_thread(_embedded)) as client:
            yield client

    def reconnect(self, client: Any) -> None:
        """Start the embedded engine again if it has stopped; it may listen elsewhere then."""
        client.base_url = _embedded().base_url

    def account(self, access: Access, client: Any) -> str:
        """Return a hash of the host's address."""
        del client
        return account_of(access.base_url, None, None)

    def usual_epochs(self, base: str, examples: int) -> tuple[int, str]:
        """Return the epochs of the embedded engine's plan."""
        return EMBEDDED.usual_epochs(base, examples)

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return nothing: no ends of bases are announced."""
        del base, today
        return finished([])

    def create(self, request: NewJob) -> Flow[RemoteJob]:
        """Create a job of the embedded engine that trains at this host."""
        host = {"name": self.name, "base_url": self.host}
        body = {**request.extra_body, "host": host}
        host |= {name: body.pop(name) for name in self.host_options if body.get(name)}
        return super().create(replace(request, extra_body=body))

    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the embedded engine's jobs that train at this host."""
        return jobs_trained_at(self.host, partial(super().jobs, metadata), after)

    def check_model(self, name: str) -> Flow[None]:
        """Look at a model, at the host or here.

        Raises:
            EngineError: It is gone (`failure.missing`), or the host does not answer.
        """
        if not name.startswith(self.hosted):
            yield from super().check_model(name)
        elif (yield from self.is_gone(name)):
            raise EngineError(
                f"The model {name} is no longer at {self.host}.",
                failure=Failure(missing=True, model_missing=True, reason="it was deleted there"),
            )

    def ask_host(self, verb: str, path: str, **sent: Any) -> Flow[Any]:
        """Return the host's answer to a request of its own API, with the key that was kept.

        Raises:
            EngineError: It refuses, or does not answer.
        """
        key = yield Do(self._key)
        headers = {"X-API-Key": key, "Authorization": f"Bearer {key}"}
        options = {"headers": headers, "timeout": _TIMEOUT_S}
        try:
            return (
                yield Call(
                    lambda client: getattr(client, verb)(
                        self.host + path, cast_to=object, options=options, **sent
                    ),
                    (OpenAIError,),
                )
            )
        except OpenAIError as error:
            if isinstance(error, APIStatusError) and error.status_code == _GONE:
                raise EngineError(
                    f"The host at {self.host} does not have it.", failure=Failure(missing=True)
                ) from error
            raise explained(error, self.host, self.key_variable) from error

    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> ChatOpenAI:
        """Return a `ChatOpenAI` at the host, or here for weights that came home."""
        if not name.startswith(self.hosted):
            return EMBEDDED.chat_model(_embedded(), name, settings)
        answers = Access(access.base_url.rstrip("/") + self.answers_at, access.api_key)
        return super().chat_model(answers, name, settings)

    @property
    def host(self) -> str:
        """Address of the host, without a slash at its end."""
        return (self.base_url or "").rstrip("/")

    def _key(self) -> str:
        try:
            return host_key_file(home_path(), self.host).read_text()
        except OSError as error:
            raise EngineAuthenticationError(
                f"The key for {self.host} is gone from the engine's home: run the same chain again,"
                " with the key."
            ) from error


def _embedded() -> Access:
    found = ensure_engine(home_path())
    return Access(found.base_url, found.api_key)
