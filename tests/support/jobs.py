"""What the tests of jobs share: the SDK on a mocked wire, flows with an injected clock."""

import asyncio
import contextlib
import hashlib
import time
from dataclasses import replace

import httpx2
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from openai import AsyncOpenAI, OpenAI

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.flow import arun_flow, run_flow
from langchain_finetune.engines.openai_compatible import account_of
from langchain_finetune.finetune import connection
from langchain_finetune.finetune.connection import Account
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.finetune.training_files import JobSpec

URL = "http://engine.example/v1/"


class Clock:
    """Seconds that pass when somebody sleeps; each sleep is kept."""

    def __init__(self, engine=None):
        self.time = 0.0
        self.pauses = []
        self.engine = engine

    def __call__(self):
        return self.time

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds
        if self.engine is not None:
            self.engine.now += seconds


def account_in(home, engine=None, **changes):
    now = (lambda: engine.now) if engine is not None else (lambda: 1.8e9)
    account = Account(engine_of("openai"), URL, account_of(URL, None, None), Ledger(home), now)
    return replace(account, **changes)


def spec_in(folder, content=b'{"messages": []}\n', **changes):
    folder.mkdir(exist_ok=True)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256[:16]}.jsonl"
    path.write_bytes(content)
    training = WrittenFile(path, content.count(b"\n"), len(content), sha256)
    metadata = {"training_sha256": sha256, "examples": str(training.examples)}
    return replace(JobSpec(model="base-model", training=training, metadata=metadata), **changes)


def run(flow, handler, clock, tell=lambda _: None):
    """Run a flow with the sync SDK; `handler` answers its requests."""
    transport = httpx2.MockTransport(handler)
    with httpx2.Client(transport=transport) as http:
        client = OpenAI(base_url=URL, api_key="k", max_retries=0, http_client=http)
        return run_flow(flow, client, tell, clock.sleep)


def arun(flow, handler, clock, tell=lambda _: None):
    """Run a flow with the async SDK, in a loop of its own; as `run` otherwise."""

    async def atell(news):
        tell(news)

    async def asleep(seconds):
        clock.sleep(seconds)

    async def main():
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http:
            client = AsyncOpenAI(base_url=URL, api_key="k", max_retries=0, http_client=http)
            return await arun_flow(flow, client, atell, asleep)

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(main())


def chats(count=12, text="Is {n} even?"):
    """Return chats that make `count` examples."""
    return [
        {"messages": [HumanMessage(text.format(n=number)), AIMessage("Yes")]}
        for number in range(count)
    ]


@contextlib.contextmanager
def quick_flows(longest_s=0.01):
    """Let the flows of `FineTune` and `Job` sleep no longer than this."""
    sleep, asleep = time.sleep, asyncio.sleep

    def short(seconds):
        sleep(min(seconds, longest_s))

    async def ashort(seconds):
        await asleep(min(seconds, longest_s))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "run_flow", lambda *given: run_flow(*given[:3], short))
        patch.setattr(connection, "arun_flow", lambda *given: arun_flow(*given[:3], ashort))
        yield
