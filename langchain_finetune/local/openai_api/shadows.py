"""Shadows: requests that a rollout's candidate is asked too, after the old model has answered.

A bounded number waits, in memory: those that find no room, or still wait when the engine ends, are
not asked, and counted in its log. Where models answer one after the other, a shadow is asked only
while no request of an app is, and gives way to the next one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import orjson
from starlette.responses import Response
from starlette.types import Message, Send

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.openai_api.shadow_runs import (
    SideAnswer,
    read_answer,
    shadow_runs,
    whole_request,
)
from langchain_finetune.local.safe_logging import log_failure
from langchain_finetune.local.store.run_changes import RunChange
from langchain_finetune.local.store.values import now
from langchain_finetune.rollout.state import Rollout

logger = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[dict[str, Any]], AbstractAsyncContextManager[Response]]
"""Answers a request's body, as the methods of `Chat`."""

KeepRuns: TypeAlias = Callable[[list[RunChange]], None]
"""Stores runs; it is called in a thread."""

MAX_WAITING = 32
"""Most shadows that wait."""

MAX_COPIED_BYTES = 2**20
"""Most bytes of an answer that is recorded."""

_AT_ONCE = 4
"""Shadows that are asked at the same time, where others answer side by side too."""

_TRIES = 10
"""How often a shadow gives way before it is given up."""


class StartedShadow:
    """A request that the old model is answering, of which the candidate is asked afterwards."""

    def __init__(
        self,
        rollout: Rollout,
        answer: Answer,
        body: dict[str, Any],
        then: Callable[["StartedShadow"], None],
    ) -> None:
        self.rollout = rollout
        self.answer = answer
        self.body = body
        self.started = self.ended = now()
        self._then = then
        self._status = 0
        self._content = bytearray()

    def copying(self, send: Send) -> Send:
        """Return a `send` that keeps a copy of what it has sent.

        With the last part the shadow is submitted. What follows may not be carried out: the client
        may leave as soon as it has that part.
        """

        async def send_and_copy(message: Message) -> None:
            await send(message)
            self._status = message.get("status", self._status)
            if len(self._content) <= MAX_COPIED_BYTES:
                self._content += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._submit()

        return send_and_copy

    def _submit(self) -> None:
        self.ended = now()
        if self._status != 200:  # noqa: PLR2004 - OK
            return
        if len(self._content) > MAX_COPIED_BYTES:
            logger.warning(
                "A shadow of %s was not asked: the answer has more than %d MiB.",
                self.rollout.name,
                MAX_COPIED_BYTES // 2**20,
            )
            return
        self._then(self)

    def runs(self, new: SideAnswer) -> list[RunChange]:
        """Return both answers as runs.

        Raises:
            ApiError: The old model's stream ended with an error.
        """
        body = read_answer(bytes(self._content))
        old = SideAnswer(self.rollout.target, self.started, self.ended, body)
        return shadow_runs(self.rollout, self.body, old, new)


class Shadows:
    """Asks candidates in the background, and keeps both answers.

    `in_turn` says that models answer one after the other, so that a shadow would hold others up.

    Attributes:
        lost: How many were not asked, since too many waited or requests of apps came between.
    """

    def __init__(self, keep: KeepRuns, *, in_turn: bool) -> None:
        self.lost = 0
        self._keep = keep
        self._in_turn = in_turn
        self._waiting: asyncio.Queue[StartedShadow] = asyncio.Queue(MAX_WAITING)
        self._asking: set[asyncio.Task[SideAnswer]] = set()
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def answering(
        self, answer: AbstractAsyncContextManager[Response]
    ) -> AsyncIterator[Response]:
        """Answer a request of an app; shadows give way meanwhile."""
        self._answering += 1
        self._idle.clear()
        if self._in_turn:
            for task in self._asking:
                task.cancel()
        try:
            async with answer as response:
                yield response
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    def begun(self, rollout: Rollout, answer: Answer, body: dict[str, Any]) -> StartedShadow:
        """Return the shadow of a request whose answer begins now."""
        return StartedShadow(rollout, answer, body, self._add)

    async def run(self) -> None:
        """Ask for as long as the engine runs."""
        await asyncio.gather(*(self._work() for _ in range(1 if self._in_turn else _AT_ONCE)))

    def _add(self, shadow: StartedShadow) -> None:
        try:
            self._waiting.put_nowait(shadow)
        except asyncio.QueueFull:
            self._lose(shadow)

    def _lose(self, shadow: StartedShadow) -> None:
        self.lost += 1
        logger.warning(
            "A shadow of %s was not asked: the engine is busy (%d so far).",
            shadow.rollout.name,
            self.lost,
        )

    async def _work(self) -> None:
        while True:
            shadow = await self._waiting.get()
            for _ in range(_TRIES):
                if self._in_turn:
                    await self._idle.wait()
                if found := await self._attempt(shadow):
                    await self._record(shadow, found)
                    break
            else:
                self._lose(shadow)

    async def _attempt(self, shadow: StartedShadow) -> SideAnswer | None:
        """Return the candidate's answer; None if it had to give way."""
        task = asyncio.create_task(_ask(shadow))
        self._asking.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._asking.discard(task)
        if task.cancelled():
            return None
        if error := task.exception():
            log_failure(logger, "A shadow", error)
            time = now()
            return SideAnswer(_candidate(shadow), time, time, None, type(error).__name__)
        return task.result()

    async def _record(self, shadow: StartedShadow, new: SideAnswer) -> None:
        # Of its own, so that a failure is not one of this loop.
        [outcome] = await asyncio.gather(
            asyncio.to_thread(lambda: self._keep(shadow.runs(new))), return_exceptions=True
        )
        if isinstance(outcome, BaseException):
            log_failure(logger, "Recording a shadow", outcome)


async def _ask(shadow: StartedShadow) -> SideAnswer:
    model, started = _candidate(shadow), now()
    try:
        async with shadow.answer(whole_request(shadow.body) | {"model": model}) as response:
            body = orjson.loads(bytes(response.body))
    except ApiError as error:
        return SideAnswer(model, started, now(), None, error.message)
    if response.status_code >= 400:  # noqa: PLR2004 - an error
        return SideAnswer(model, started, now(), None, str(body.get("error", body)))
    return SideAnswer(model, started, now(), body)


def _candidate(shadow: StartedShadow) -> str:
    return shadow.rollout.candidate or shadow.rollout.target
