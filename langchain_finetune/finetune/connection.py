"""How to reach an engine: its address and key, and the clients that are opened with them."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from openai import AsyncOpenAI, OpenAI
from pydantic import AfterValidator, SecretStr

from langchain_finetune.errors import EngineAuthenticationError, FineTuningError
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.embedded import aensure_engine, ensure_engine
from langchain_finetune.finetune.engines.profiles import Engine, profile_of
from langchain_finetune.finetune.fingerprint import account_of
from langchain_finetune.finetune.flow import Flow, arun_flow, run_flow
from langchain_finetune.finetune.job_status import EngineSilent, JobProgress
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.home import home_path

Result = TypeVar("Result")
Hear = Callable[[JobProgress], None]
AsyncHear = Callable[[JobProgress], Awaitable[None]]

_OPENAI = "https://api.openai.com/v1"
_SILENT = "the engine does not answer, trying again"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Brackets that do not close, a port that is none.
        return False


def _checked_address(text: str) -> str:
    if not _is_address(text):
        raise ValueError("An address is needed, such as http://127.0.0.1:8000/v1.")
    return text


Address = Annotated[str, AfterValidator(_checked_address)]
"""The base URL of an API."""


def default_base_url(engine: Engine = "openai") -> str:
    """Return an engine's own address: of OpenAI the environment's, `OPENAI_BASE_URL`, if any.

    Raises:
        FineTuningError: The environment's is no address.
    """
    if known := profile_of(engine).base_url:
        return known
    address = os.environ.get("OPENAI_BASE_URL") or _OPENAI
    if not _is_address(address):
        # Not quoted: it may hold a password.
        raise FineTuningError(
            "OPENAI_BASE_URL holds no address; one is needed, such as http://127.0.0.1:8000/v1."
        )
    return address


def same_address(one: str, other: str) -> bool:
    """Tell whether two base URLs are the same; a slash at the end makes no difference."""
    return one.rstrip("/") == other.rstrip("/")


def is_for(engine: Engine, base_url: str) -> bool:
    """Tell whether the environment's key for an engine is meant for this address."""
    own = not profile_of(engine).needs_base_url
    return own and same_address(base_url, default_base_url(engine))


@dataclass(frozen=True)
class Connection:
    """An engine, and how to reach it.

    Attributes:
        engine: `local` is found, or started, by itself.
        base_url: The address of another one; None takes the environment's.
        api_key: Its key; None takes the environment's, such as `OPENAI_API_KEY`.
    """

    engine: Engine
    base_url: str | None = None
    api_key: SecretStr | None = None

    def run(
        self,
        flow: Callable[[Account], Flow[Result]],
        hear: Hear | None = None,
    ) -> Result:
        """Run a flow at the engine, blocking.

        Args:
            flow: Makes the flow, given where it runs.
            hear: Is told of a job's progress.
        """
        address = ensure_engine(home_path()) if self.engine == "local" else self
        with OpenAI(**_settings(self.engine, address.base_url, address.api_key)) as client:

            def tell(news: Any) -> None:
                if isinstance(news, EngineSilent) and self.engine == "local":
                    client.base_url = ensure_engine(home_path()).base_url
                if hear is not None and (progress := _progress(news)):
                    hear(progress)

            return run_flow(flow(self._place(client)), client, tell)

    async def arun(
        self,
        flow: Callable[[Account], Flow[Result]],
        hear: AsyncHear | None = None,
    ) -> Result:
        """Run a flow at the engine without blocking; as `run` otherwise."""
        address = await aensure_engine(home_path()) if self.engine == "local" else self
        async with AsyncOpenAI(
            **_settings(self.engine, address.base_url, address.api_key)
        ) as client:

            async def tell(news: Any) -> None:
                if isinstance(news, EngineSilent) and self.engine == "local":
                    client.base_url = (await aensure_engine(home_path())).base_url
                if hear is not None and (progress := _progress(news)):
                    await hear(progress)

            return await arun_flow(flow(self._place(client)), client, tell)

    def address(self) -> tuple[str, SecretStr]:
        """Return the address and key that a chat model needs; may start the embedded engine."""
        address = ensure_engine(home_path()) if self.engine == "local" else self
        settings = _settings(self.engine, address.base_url, address.api_key)
        return settings["base_url"], SecretStr(settings["api_key"])

    async def aaddress(self) -> tuple[str, SecretStr]:
        """Return the address and key that a chat model needs, without blocking."""
        return await asyncio.to_thread(self.address)

    def key_for(self, engine: Engine, base_url: str | None) -> SecretStr | None:
        """Return the key for what is at an engine, if this is the connection to it.

        Args:
            engine: Kind of that engine; the embedded one needs no key from here.
            base_url: Its address; None is the environment's.

        Raises:
            FineTuningError: It is another engine.
        """
        if engine != self.engine:
            raise FineTuningError(f"The job is at the engine {engine!r}, not {self.engine!r}.")
        if engine == "local":
            return None
        here, key = self.address()
        there = base_url or default_base_url(engine)
        if not same_address(there, here):
            raise FineTuningError(
                f"The job is at {there}, this step's engine at {here}: give that base_url, with "
                "its key."
            )
        return key

    def _place(self, client: OpenAI | AsyncOpenAI) -> Account:
        base_url = str(client.base_url).rstrip("/")
        # The embedded engine may listen elsewhere tomorrow; the ledger is in its home.
        account = (
            "local"
            if self.engine == "local"
            else account_of(base_url, client.organization, client.project)
        )
        return Account(self.engine, base_url, account, Ledger(home_path()))


def connection_to(engine: Engine, base_url: str | None, api_key: SecretStr | None) -> Connection:
    """Return the connection to what is at an engine, as a job that was read from JSON says.

    Raises:
        EngineAuthenticationError: The address is not the environment's, so its key is not for
            it, and no other was given.
    """
    there = base_url or default_base_url(engine)
    if engine != "local" and api_key is None and not is_for(engine, there):
        raise EngineAuthenticationError(
            f"The key for {there} is not known here: give it with job.with_api_key(...), or use "
            f"FineTune(engine={engine!r}, base_url=...).attach(job)."
        )
    return Connection(engine, base_url, api_key)


def _progress(news: Any) -> JobProgress | None:
    if isinstance(news, EngineSilent):
        return JobProgress(news.job_id, _SILENT) if news.job_id else None
    return news if isinstance(news, JobProgress) else None


def _settings(engine: Engine, base_url: str | None, api_key: SecretStr | None) -> dict[str, Any]:
    variable = profile_of(engine).key_variable
    key = (api_key.get_secret_value() if api_key else os.environ.get(variable, "")).strip()
    if not key:
        raise EngineAuthenticationError(f"The engine needs a key: give api_key, or set {variable}.")
    if not (key.isascii() and key.isprintable()):
        # The transport would quote such a key in its error, and so in a traceback and a trace.
        raise EngineAuthenticationError(
            f"The key has characters that no key has: look at api_key or {variable}."
        )
    # The flows ask again by themselves, and know what may be asked twice.
    return {"base_url": base_url or default_base_url(engine), "api_key": key, "max_retries": 0}
