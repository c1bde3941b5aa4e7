"""Answers that are given up when the client goes away, so that no model writes for nobody."""

import asyncio
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send


class WhileConnected(Response):
    """An answer that is worked on while it is waited for.

    Args:
        answer: Makes the response that is sent. It is entered and left in one task, which is
            cancelled when the client goes away; what it raises before anything is sent reaches
            the application's error handlers.

    Example:
        ```python
        @asynccontextmanager
        async def answer():
            async with some_model() as model:
                yield JSONResponse(await model.write())


        response = WhileConnected(answer())
        ```
    """

    def __init__(self, answer: AbstractAsyncContextManager[Response]) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        answering = asyncio.create_task(self._send(scope, send))
        leaving = asyncio.create_task(_has_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.wait({answering, leaving})
        if not answering.cancelled():
            answering.result()

    async def _send(self, scope: Scope, send: Send) -> None:
        async with self._answer as response:
            await response(scope, _never, send)


async def _has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> Message:
    """Stand in for `receive`, which only one may call."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
