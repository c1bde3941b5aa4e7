"""Routes that search: only so many of their requests are in threads at the same time.

The threads of all routes come from one pool (of 40, anyio's default). Were all of them searching,
nobody could trace a run; so requests that search wait for their turn without a thread.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from langchain_finetune.local.sqlite_readers import ASKED_AT, MAX_SEARCH_S, SearchesBusyError

SEARCHES = 16
"""Most requests that search, of one group of routes, at the same time."""


def in_turns(most: int = SEARCHES) -> type[APIRoute]:
    """Return a class of routes that take turns: at most so many at the same time.

    The time of a request's searches counts from when it came.

    Example:
        >>> from fastapi import APIRouter
        >>> router = APIRouter(route_class=in_turns())
    """
    turns = asyncio.Semaphore(most)

    class TurnRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_in_turn(request: Request) -> Response:
                ASKED_AT.set(time.monotonic())
                try:
                    async with asyncio.timeout(MAX_SEARCH_S):
                        await turns.acquire()
                except TimeoutError:
                    raise SearchesBusyError from None
                try:
                    return await handle(request)
                finally:
                    turns.release()

            return handle_in_turn

    return TurnRoute
