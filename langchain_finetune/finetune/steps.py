"""A flow without I/O, and the two drivers that run it.

A flow is a generator. It yields what shall be done and is sent what came of it, so the same
decisions serve `invoke` and `ainvoke`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from openai import AsyncOpenAI, OpenAI, OpenAIError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """Ask the engine: `request` is given the SDK's client, sync or async."""

    request: Callable[[Any], Any]


@dataclass(frozen=True)
class Sleep:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Let the caller know of something that has happened."""

    news: Any


Flow = Generator[Call | Sleep | Tell, Any, Result]


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
    try:
        step = next(flow)
        while True:
            answer: Any = None
            match step:
                case Call(request):
                    try:
                        answer = request(client)
                    except OpenAIError as error:
                        step = flow.throw(error)
                        continue
                case Sleep(seconds):
                    sleep(seconds)
                case Tell(news):
                    tell(news)
            step = flow.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result


async def arun_flow(
    flow: Flow[Result],
    client: AsyncOpenAI,
    tell: Callable[[Any], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Run a flow to its end without blocking the event loop; as `run_flow` otherwise."""
    try:
        step = next(flow)
        while True:
            answer: Any = None
            match step:
                case Call(request):
                    try:
                        answer = await request(client)
                    except OpenAIError as error:
                        step = flow.throw(error)
                        continue
                case Sleep(seconds):
                    await sleep(seconds)
                case Tell(news):
                    await tell(news)
            step = flow.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result
