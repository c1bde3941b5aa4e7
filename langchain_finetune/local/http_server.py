"""Runs the engine's application in uvicorn, on the sockets that it is given."""

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
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from langchain_finetune.errors import EngineError
from langchain_finetune.home import RunningEngine
from langchain_finetune.local.addresses import Places, Public, url_of
from langchain_finetune.local.safe_logging import log_config

WAIT_S = 20.0
"""How long the headers of a request may take, and after which a body's pace is looked at."""

SLOWEST = 1024
"""Bytes a second that a body comes with at least, while it is waited for."""

UNREAD_S = 120.0
"""How long a client may leave an answer unread, once there is more than the system's buffers hold.

A person who steps through a stream in a debugger seldom gets that far.
"""

MAX_CONNECTIONS = 500
"""Most connections at a time; a process may usually hold some 1,000 files."""


class PatientProtocol(H11Protocol):
    """One connection, which is closed when its client keeps the engine waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking: asyncio.TimerHandle | None = None
        self._came = 0
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the client's pace."""
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking."""
        for timer in (self._looking, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Take note that the client does not read as fast as it is answered."""
        super().pause_writing()
        # Not closed in order: that would wait for the client to read the rest.
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Take note that the client reads on."""
        super().resume_writing()
        if self._unread:
            self._unread.cancel()

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self._came += len(data)
        super().data_received(data)

    def _look_later(self) -> None:
        self._came = 0
        self._looking = self.loop.call_later(WAIT_S, self._look, self.cycle)

    def _look(self, before: Any) -> None:
        """Close the connection if its client owed the same thing all the time, and gave little."""
        request = self.cycle
        is_new = request is not before
        waits_for_headers = request is None or request.response_complete
        waits_for_body = not waits_for_headers and request.more_body and not self.flow.read_paused
        too_slow = waits_for_headers or (waits_for_body and self._came < SLOWEST * WAIT_S)
        if too_slow and not is_new:
            self.transport.close()
        else:
            self._look_later()


logger = logging.getLogger(__name__)

_GRACE_S = 3


def run_http_server(
    app: FastAPI,
    home: Path,
    log_file: Path | None,
    *,
    listener: socket.socket,
    public: socket.socket | None,
    places: Places,
    on_start: Callable[[str], None] | None,
) -> None:
    """Serve an application until SIGTERM or SIGINT; `engine.json` tells where, meanwhile.

    Args:
        app: What to serve.
        home: The engine's home.
        log_file: Where the log goes; default: stderr.
        listener: The socket for this machine.
        public: The socket for others, if they are let in.
        places: What the sockets are bound to.
        on_start: Called with the address once the engine answers.

    Raises:
        EngineError: The application could not start.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
            await super().startup(sockets=list(sockets or []))
            if self.started:
                if public and places.public:
                    await self._listen_to_others(public, places.public)
                port = listener.getsockname()[1]
                (home / "port").write_text(str(port))
                url = url_of(places.loopback, port)
                RunningEngine(url, os.getpid(), version("langchain-finetune")).write(home)
                logger.info("The engine is at %s; its home is %s", url, home)
                if on_start:
                    on_start(url)

        async def _listen_to_others(self, public: socket.socket, place: Public) -> None:
            # uvicorn would use one kind of connection for all its sockets.
            make = partial(
                PatientProtocol,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_server(make, sock=public, ssl=place.tls))
            url = url_of(place.host, public.getsockname()[1], tls=place.tls is not None)
            logger.info("Others reach the engine at %s", url)
            if place.tls is None:
                logger.warning("What others send is not encrypted: the key can be read on its way.")

    server = Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http=PatientProtocol,
            limit_concurrency=MAX_CONNECTIONS,
            ws="none",
            log_config=log_config(str(log_file) if log_file else None),
            # Paths may carry training text, in filters.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    with _signals_stop(server):
        server.run(sockets=[listener])
    if not server.started:
        raise EngineError("The engine could not start; its log says why.")


@contextmanager
def _signals_stop(server: Any) -> Iterator[None]:
    """Keep SIGTERM and SIGINT from ending the process before it has tidied up.

    uvicorn raises the signal once more after its own shutdown.
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
