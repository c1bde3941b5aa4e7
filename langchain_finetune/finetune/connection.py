"""The connection to an engine: where flows run, and what account they run for."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import SecretStr

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import Access, same_address
from langchain_finetune.engines.base import Engine
from langchain_finetune.engines.flow import Flow, arun_flow, run_flow
from langchain_finetune.engines.jobs import EngineSilent, JobProgress
from langchain_finetune.errors import EngineAuthenticationError, FineTuningError
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.home import home_path

Result = TypeVar("Result")
ProgressCallback = Callable[[Any], None]
"""Is given what a flow tells: a `JobProgress`, where it is about a job."""


@dataclass(frozen=True)
class Account:
    """An account at an engine, and the ledger of what was sent there; `id` names the account."""

    engine: Engine
    base_url: str
    id: str
    ledger: Ledger
    now: Callable[[], float] = field(default=time.time, compare=False)

    @cached_property
    def api(self) -> Engine:
        """The engine at this address: its operations."""
        return replace(self.engine, base_url=self.base_url)


def is_for(engine: str, base_url: str) -> bool:
    """Return whether the environment's key for an engine is meant for this address."""
    kind = engine_of(engine)
    return not kind.needs_base_url and same_address(base_url, kind.default_base_url())


@dataclass(frozen=True)
class Connection:
    """An engine, and how to reach it.

    By default, the address is the engine's own, and the key that of the environment.
    """

    engine: str
    base_url: str | None = None
    api_key: SecretStr | None = None

    def run(
        self,
        flow: Callable[[Account], Flow[Result]],
        on_progress: ProgressCallback | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Result:
        """Run the flow that is made for the account, blocking."""
        engine, access = engine_of(self.engine), self.access()
        one_at_a_time = threading.Lock()
        with engine.client(access) as client:

            def tell(news: Any) -> None:
                if isinstance(news, EngineSilent):
                    engine.reconnect(client)
                if on_progress is not None and (progress := _progress(news)):
                    with one_at_a_time:
                        on_progress(progress)

            return run_flow(flow(_account(engine, access, client)), client, tell, sleep)

    async def arun(
        self,
        flow: Callable[[Account], Flow[Result]],
        on_progress: Callable[[Any], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Result:
        """Run a flow at the engine without blocking; as `run` otherwise."""
        engine, access = engine_of(self.engine), await self.aaccess()
        one_at_a_time = asyncio.Lock()
        async with engine.aclient(access) as client:

            async def tell(news: Any) -> None:
                if isinstance(news, EngineSilent):
                    await asyncio.to_thread(engine.reconnect, client)
                if on_progress is not None and (progress := _progress(news)):
                    async with one_at_a_time:
                        await on_progress(progress)

            return await arun_flow(flow(_account(engine, access, client)), client, tell, sleep)

    def access(self) -> Access:
        """Return the address and the key; may start the embedded engine."""
        return engine_of(self.engine).access(self.base_url, self.api_key)

    async def aaccess(self) -> Access:
        """Return the address and the key without blocking."""
        return await asyncio.to_thread(self.access)

    def key_for(self, engine: str, base_url: str | None) -> SecretStr | None:
        """Return the key for what is at an engine and address, if this is the connection to it.

        Raises:
            FineTuningError: It is another engine.
        """
        if engine != self.engine:
            raise FineTuningError(f"The job is at the engine {engine!r}, not {self.engine!r}.")
        kind = engine_of(engine)
        if not kind.takes_base_url:
            return self.api_key
        access = self.access()
        there = base_url or kind.default_base_url()
        if not same_address(there, access.base_url):
            raise FineTuningError(
                f"The job is at {there}, this step's engine at {access.base_url}: give that "
                "base_url, with its key."
            )
        return access.api_key


def connection_to(engine: str, base_url: str | None, api_key: SecretStr | None) -> Connection:
    """Return the connection to what is at an engine, as a job that was read from JSON says.

    Raises:
        EngineAuthenticationError: The address is not the environment's, so its key is not for
            it, and no other was given.
    """
    kind = engine_of(engine)
    if kind.takes_base_url and api_key is None:
        there = base_url or kind.default_base_url()
        if not is_for(engine, there):
            raise EngineAuthenticationError(
                f"The key for {there} is not known here: give it with job.with_api_key(...), or "
                f"use FineTune(engine={engine!r}, base_url=...).attach(job)."
            )
    return Connection(engine, base_url, api_key)


def _account(engine: Engine, access: Access, client: Any) -> Account:
    account_id = engine.account(access, client)
    return Account(engine, access.base_url.rstrip("/"), account_id, Ledger(home_path()))


def _progress(news: Any) -> Any:
    """Return what the caller hears of a flow's news: a `JobProgress`, or the flow's own kind."""
    if isinstance(news, EngineSilent):
        told = "the engine does not answer, trying again"
        return JobProgress(news.job_id, told) if news.job_id else None
    return news
