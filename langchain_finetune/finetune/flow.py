"""A flow without I/O, and the two drivers that run it.

A flow is a generator. It yields what shall be done and is sent what came of it, so the same
decisions serve the sync and the async methods.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from openai import AsyncOpenAI, OpenAI, OpenAIError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """Ask the engine: `request` is given the SDK's client, sync or async."""

    request: Callable[[Any], Any]


@dataclass(frozen=True)
class Do:
    """Do something on this machine that may block, such as a look into the ledger."""

    action: Callable[[], Any]


@dataclass(frozen=True)
class Sleep:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Let the caller know of something that has happened."""

    news: Any


Step = Call | Do | Sleep | Tell
Flow = Generator[Step, Any, Result]


def run_flow(
    flow: Flow[Result],
    client: OpenAI,
    tell: Callable[[Any], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Run a flow to its end, blocking.

    Args:
        flow: What to run; errors of the SDK are raised inside it.
        client: Answers `Call`.
        tell: Hears `Tell`.
        sleep: Carries out `Sleep`, in seconds.
    """
    go_on: Callable[[], Step] = partial(next, flow)
    while True:
        try:
            step = go_on()
        except StopIteration as end:
            result: Result = end.value
            return result
        answer: Any = None
        match step:
            case Call(request):
                try:
                    answer = request(client)
                except OpenAIError as error:
                    go_on = partial(flow.throw, error)
                    continue
            case Do(action):
                answer = action()
            case Sleep(seconds):
                sleep(seconds)
            case Tell(news):
                tell(news)
        go_on = partial(flow.send, answer)


async def arun_flow(
    flow: Flow[Result],
    client: AsyncOpenAI,
    tell: Callable[[Any], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Run a flow to its end without blocking the event loop; as `run_flow` otherwise."""
    go_on: Callable[[], Step] = partial(next, flow)
    while True:
        try:
            step = go_on()
        except StopIteration as end:
            result: Result = end.value
            return result
        answer: Any = None
        match step:
            case Call(request):
                try:
                    answer = await request(client)
                except OpenAIError as error:
                    go_on = partial(flow.throw, error)
                    continue
            case Do(action):
                answer = await asyncio.to_thread(action)
            case Sleep(seconds):
                await sleep(seconds)
            case Tell(news):
                await tell(news)
        go_on = partial(flow.send, answer)
