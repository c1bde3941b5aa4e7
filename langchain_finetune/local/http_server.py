"""Runs the engine's application in uvicorn, with timeouts for slow clients."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from langchain_finetune.errors import EngineError
from langchain_finetune.home import RunningEngine
from langchain_finetune.local.addresses import Endpoint
from langchain_finetune.local.connections import Connections, bound_by_system
from langchain_finetune.local.safe_logging import log_config

READ_TIMEOUT_S = 20.0
"""Timeout of a request's headers, and the interval at which the rate of a body is checked."""

KEEP_ALIVE_S = 75
"""How long a connection stays open between requests: longer than clients keep it in their pools,
so that none sends a request just when it is closed. nginx keeps it as long."""

MIN_BODY_RATE = 1024
"""Minimum rate of a request's body, in bytes per second."""

WRITE_TIMEOUT_S = 120.0
"""How long a client may leave a response unread, once the system's buffers are full.

Someone who steps through a stream in a debugger rarely fills them.
"""

HANDSHAKE_TIMEOUT_S = 10.0
"""Timeout of a TLS handshake; asyncio's own is 60 s."""


class TimeoutProtocol(H11Protocol):
    """A connection that is closed if its client sends or reads too slowly."""

    counted: ClassVar[Connections | None] = None
    """Where it is counted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start checking the client's rate."""
        super().connection_made(transport)
        self._start_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        for timer in (self._read_timer, self._write_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the write timeout: the client reads more slowly than the engine writes."""
        super().pause_writing()
        # Aborted, since an orderly close would wait for the client to read the rest.
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the write timeout."""
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Count the bytes received."""
        self._received += len(data)
        super().data_received(data)
        self._count()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._count()

    def _count(self) -> None:
        if self.counted is None:
            return
        number = self.transport.get_extra_info("socket").fileno()
        if self.cycle is not None and not self.cycle.response_complete:
            self.counted.asked(number)
        else:
            self.counted.answered(number)

    def _start_read_timer(self) -> None:
        self._received = 0
        self._read_timer = self.loop.call_later(READ_TIMEOUT_S, self._check_rate, self.cycle)

    def _check_rate(self, previous: Any) -> None:
        """Close the connection if the same request was awaited for the whole interval."""
        request = self.cycle
        awaits_headers = request is None or request.response_complete
        awaits_body = not awaits_headers and request.more_body and not self.flow.read_paused
        is_slow = self._received < MIN_BODY_RATE * READ_TIMEOUT_S
        # uvicorn itself ends a connection that says nothing after an answer, see `KEEP_ALIVE_S`.
        awaits_headers &= request is None or self._received > 0
        if request is previous and (awaits_headers or (awaits_body and is_slow)):
            self.transport.close()
        else:
            self._start_read_timer()


logger = logging.getLogger(__name__)

_GRACE_S = 3


def run_http_server(
    app: FastAPI,
    home: Path,
    log_file: Path | None,
    *,
    loopback: tuple[Endpoint, socket.socket],
    public: tuple[Endpoint, socket.socket] | None,
    on_start: Callable[[str], None] | None,
) -> None:
    """Serve an application until SIGTERM or SIGINT; its address is in `engine.json`.

    `on_start` is called with the loopback URL once the engine is ready.

    Raises:
        EngineError: The application failed to start.
    """
    connections = Connections(bound_by_system())
    listener = connections.listener(loopback[1])

    class Protocol(TimeoutProtocol):
        pass

    Protocol.counted = connections

    class Server(uvicorn.Server):
        async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
            await super().startup(sockets=list(sockets or []))
            if self.started:
                if public:
                    await self._serve_public(*public)
                endpoint, _ = loopback
                (home / "port").write_text(str(listener.getsockname()[1]))
                url = endpoint.url(listener)
                RunningEngine(url, os.getpid(), version("langchain-finetune")).write(home)
                logger.info("The engine is at %s; its home is %s", url, home)
                if on_start:
                    on_start(url)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # First: once the port is free, somebody else may listen there.
            (home / "engine.json").unlink(missing_ok=True)
            await super().shutdown(sockets=sockets)

        async def _serve_public(self, endpoint: Endpoint, bound: socket.socket) -> None:
            # uvicorn supports TLS only for all of its sockets.
            protocol = partial(
                Protocol,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            listener = connections.listener(bound)
            server = await asyncio.get_running_loop().create_server(
                protocol,
                sock=listener,
                ssl=endpoint.tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if endpoint.tls else None,
            )
            self.servers.append(server)
            logger.info("The engine is public at %s", endpoint.url(listener))
            if endpoint.tls is None:
                logger.warning(
                    "Public connections are not encrypted: others can read the key in transit."
                )

    server = Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http=Protocol,
            ws="none",
            log_config=log_config(str(log_file) if log_file else None),
            # Paths may contain training text, in filters.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )
    with _signals_stop(server):
        server.run(sockets=[listener])
    if not server.started:
        raise EngineError("The engine failed to start; see its log.")


@contextmanager
def _signals_stop(server: Any) -> Iterator[None]:
    """Shut down on SIGTERM and SIGINT without ending the process before it has cleaned up.

    uvicorn would raise the signal again after its own shutdown.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
