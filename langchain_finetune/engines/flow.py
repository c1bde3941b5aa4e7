"""Flows without I/O, the two drivers that run them, and asking again until an answer comes.

A flow is a generator. It yields what shall be done and is sent the result, so the same decisions
serve the sync and the async methods.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, ClassVar, Generic, TypeVar

from langchain_finetune.engines.jobs import EngineSilent, ListPage
from langchain_finetune.errors import EngineError, Failure, FineTuningError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """Ask the engine: `request` is given its client, and returns the answer or an awaitable.

    What the request may raise is raised inside the flow. With `blocking`, the client has no async
    form: the request runs in a thread.
    """

    request: Callable[[Any], Any]
    errors: tuple[type[Exception], ...] = ()
    blocking: bool = False


@dataclass(frozen=True)
class Do:
    """Do something on this machine that may block, such as reading the ledger.

    Errors of this package and of the disk are raised inside the flow.
    """

    action: Callable[[], Any]
    errors: ClassVar = (FineTuningError, OSError)


@dataclass(frozen=True)
class Either:
    """Do something that has a blocking and an async form, with errors as those of `Do`."""

    plain: Callable[[], Any]
    native: Callable[[], Awaitable[Any]]
    errors: ClassVar = Do.errors


@dataclass(frozen=True)
class Sleep:
    """Wait for some seconds."""

    seconds: float
    errors: ClassVar = ()


@dataclass(frozen=True)
class Tell:
    """Report something that has happened to the caller."""

    news: Any
    errors: ClassVar = ()


@dataclass(frozen=True)
class Together:
    """Run flows at the same time; the answer is the list of their results, in order.

    All of them run to their end. Then the first `EngineError` of one is raised inside the flow. If
    they are interrupted, the flow is closed first, so that it can tell them to stop.
    """

    flows: Sequence[Generator[Any, Any, Any]]
    errors: ClassVar = (EngineError,)


Step = Call | Do | Either | Sleep | Tell | Together
Flow = Generator[Step, Any, Result]


def finished(result: Result) -> Flow[Result]:
    """Return a flow of no steps."""
    yield from ()
    return result


def run_flow(
    flow: Flow[Result],
    client: Any = None,
    tell: Callable[[Any], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Run a flow to its end, blocking; `tell` hears `Tell`. The flow is closed whatever happens."""

    def done(step: Step) -> Any:
        match step:
            case Call(request):
                return request(client)
            case Do(action) | Either(action):
                return action()
            case Sleep(seconds):
                sleep(seconds)
            case Tell(news) if tell:
                tell(news)
            case Together(flows):
                run = partial(run_flow, client=client, tell=tell, sleep=sleep)
                with ThreadPoolExecutor(max(len(flows), 1)) as pool:
                    running = [pool.submit(run, each) for each in flows]
                    try:
                        wait(running)
                    except BaseException:  # Ctrl-C
                        flow.close()
                        raise
                return [each.result() for each in running]
        return None

    answer: Any = None
    failed: Exception | None = None
    with closing(flow):
        while True:
            try:
                step = flow.throw(failed) if failed else flow.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = failed = None
            try:
                answer = done(step)
            except step.errors as error:
                failed = error


async def arun_flow(
    flow: Flow[Result],
    client: Any = None,
    tell: Callable[[Any], Awaitable[None]] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Run a flow to its end without blocking the event loop; as `run_flow` otherwise."""

    async def done(step: Step) -> Any:
        match step:
            case Call(request, blocking=blocking):
                return await (asyncio.to_thread(request, client) if blocking else request(client))
            case Do(action):
                return await asyncio.to_thread(action)
            case Either(native=native):
                return await native()
            case Sleep(seconds):
                await sleep(seconds)
            case Tell(news) if tell:
                await tell(news)
            case Together(flows):
                tasks = [
                    asyncio.create_task(arun_flow(each, client, tell, sleep)) for each in flows
                ]
                await asyncio.gather(*tasks, return_exceptions=True)
                return [each.result() for each in tasks]
        return None

    answer: Any = None
    failed: Exception | None = None
    with closing(flow):
        while True:
            try:
                step = flow.throw(failed) if failed else flow.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = failed = None
            try:
                answer = await done(step)
            except step.errors as error:
                failed = error


@dataclass(frozen=True)
class Patience:
    """How long and how often to wait: seconds, by a monotonic clock.

    What is waited for goes on after `timeout_s`. An engine may ask for longer pauses.
    """

    timeout_s: float
    first_s: float
    longest_s: float
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Retry:
    """How often to ask, and how long to pause: `first_s` at first, then twice as long each time.

    Where nobody listens at the address, `refused_attempts` are made. An engine may ask for longer
    pauses than `longest_s`.
    """

    attempts: int = 7
    refused_attempts: int = 3
    first_s: float = 0.5
    longest_s: float = 16.0

    def pause_after(self, attempt: int, failure: Failure) -> float | None:
        """Return the seconds to wait after an attempt, counted from 1, or None to give up.

        Example:
            >>> Retry().pause_after(2, Failure(may_pass=True))
            1.0
        """
        attempts = self.refused_attempts if failure.unreachable else self.attempts
        if not failure.may_pass or attempt >= min(attempts, self.attempts):
            return None
        return max(min(self.first_s * 2.0 ** (attempt - 1), self.longest_s), failure.hint_s)


def ask(request: Callable[[], Flow[Result]], retry: Retry) -> Flow[Result]:
    """Return the engine's answer; ask again where none came. Only for what may happen twice.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    for attempt in count(1):
        try:
            return (yield from request())
        except EngineError as error:
            pause = retry.pause_after(attempt, error.failure)
            if pause is None:
                raise
        yield Tell(EngineSilent())
        yield Sleep(pause)
    raise AssertionError


def ask_or_none(request: Callable[[], Flow[Result]], retry: Retry) -> Flow[Result | None]:
    """Return the engine's answer as `ask` does; None where it has no such thing."""
    try:
        return (yield from ask(request, retry))
    except EngineError as error:
        if error.failure.missing:
            return None
        raise


@dataclass
class Pages(Generic[Result]):
    """A list that the engine gives page by page, read no further than it is wanted.

    It ends also where a page brings nothing new: a server may give the same one for ever. An
    `optional` list is empty where the engine has none.

    Example:
        ```python
        files = Pages(api.files, retry)
        while files.more:
            for file in (yield from files.following()):
                ...
        ```
    """

    request: Callable[[str | None], Flow[ListPage[Result]]]
    retry: Retry
    max_pages: int | None = None
    optional: bool = False
    more: bool = field(default=True, init=False)
    _after: str | None = field(default=None, init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    def following(self) -> Flow[list[Result]]:
        """Return the new entries of the next page."""
        asked: Any = ask_or_none if self.optional else ask
        page = (yield from asked(partial(self.request, self._after), self.retry)) or ListPage()
        fresh = {one.id: one for one in page.entries if one.id not in self._seen}
        if self.max_pages is not None:
            self.max_pages -= 1
        self._seen |= fresh.keys()
        self._after = page.after
        self.more = bool(fresh) and page.after is not None and self.max_pages != 0
        return list(fresh.values())
