"""Tinker, and every server of its REST: a training loop that the embedded engine runs.

Such a session lives only as long as its client, so the job is one of the embedded engine, whose
training process sends the steps: it goes on after the client has ended, and after a restart.

Sources: tinker 0.38.0 and tinker-docs.thinkingmachines.ai (key, address, the endpoint of OpenAI's
shape at `/oai/api/v1`), November 2026. Prices depend on the base: they are for the user to give.
"""

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from langchain_finetune.checks import LOCAL
from langchain_finetune.engines.access import Access
from langchain_finetune.engines.addresses import aopenai_client, openai_client
from langchain_finetune.engines.flow import Flow, finished
from langchain_finetune.engines.jobs import NewJob, RemoteJob
from langchain_finetune.engines.local import ENGINE as EMBEDDED
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine, account_of
from langchain_finetune.extras import require_modules
from langchain_finetune.home import ensure_home, home_path, save_host_key
from langchain_finetune.private_files import disk_errors

_ADDRESS_NAME = "TINKER_BASE_URL"

_HOSTED = "tinker://"
"""How the names of models begin that answer at the host."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _TinkerEngine(OpenAICompatibleEngine):
    def default_base_url(self) -> str:
        """Return `TINKER_BASE_URL`, as the SDK does, or Tinker's own address."""
        return os.environ.get(_ADDRESS_NAME) or super().default_base_url()

    def access(self, base_url: str | None, api_key: SecretStr | None) -> Access:
        """Return address and key of the host; keep the key for the embedded engine."""
        require_modules("Engine 'tinker'", "tinker", "tinker")
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
        host = {"name": self.name, "base_url": (self.base_url or "").rstrip("/")}
        body = {**request.extra_body, "host": host}
        if weights := body.pop("weights", None):
            host["weights"] = weights
        return super().create(replace(request, extra_body=body))

    def check_model(self, name: str) -> Flow[None]:
        """Look at a model that answers here; one at the host is taken to be there."""
        return finished(None) if name.startswith(_HOSTED) else super().check_model(name)

    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> ChatOpenAI:
        """Return a `ChatOpenAI` at the host, or here for weights that came home."""
        if not name.startswith(_HOSTED):
            return EMBEDDED.chat_model(_embedded(), name, settings)
        answers = Access(f"{access.base_url.rstrip('/')}/oai/api/v1", access.api_key)
        return super().chat_model(answers, name, settings)


def _embedded() -> Access:
    found = ensure_engine(home_path())
    return Access(found.base_url, found.api_key)


ENGINE = _TinkerEngine(
    name="tinker",
    summary="Tinker, trained step by step by the embedded engine",
    key_variable="TINKER_API_KEY",
    base_url="https://tinker.thinkingmachines.dev/services/tinker-prod",
    # The endpoint renders with the base's template, which shows no response format.
    profile=replace(LOCAL, name="tinker", response_format=False),
    lines=("supervised", "preference"),
    request_options={
        "--weights": (
            "weights",
            "Where the model answers: host (the default), or home, on the embedded engine.",
        )
    },
    pace=EMBEDDED.pace,
)
