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

from langchain_finetune.errors import EngineError
from langchain_finetune.home import RunningEngine
from langchain_finetune.local.listening import Places, Public, url_of
from langchain_finetune.local.patience import MAX_CONNECTIONS, PatientProtocol
from langchain_finetune.local.quiet_log import log_config

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
