"""Lets this machine train along: the other side of the connections of `nodes`."""

import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from langchain_finetune.errors import EngineError
from langchain_finetune.local.training.events import Failed
from langchain_finetune.local.training.machines.nodes import Ended, Hello, NodeConnection, Start
from langchain_finetune.local.training.machines.process import (
    TrainingProcess,
    digest,
    log_of,
    processes_here,
    versions,
)
from langchain_finetune.local.training.machines.settings import host_and_port
from langchain_finetune.local.training.machines.waiting import UNAVAILABLE

_PAUSE_S = 1.0
_CONNECT_S = 10.0


def join(
    address: str,
    home: Path,
    *,
    processes: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Train along with the engine at an address, one job after the other, without an end.

    Args:
        address: The engine's `--trainer-address`, `HOST:PORT`.
        home: The engine's home, as this machine sees it: at the same path.
        processes: Number of processes; None for one a GPU.
        tell: Is given what happens, for people.

    Raises:
        EngineError: The address is none, or this machine does not fit the engine.
    """
    number = processes or processes_here()
    node = _Node(host_and_port(address), home.resolve(), number, tell)
    for local_rank in range(number):
        threading.Thread(target=node.serve, args=(local_rank,), daemon=True).start()
    raise node.faults.get()


class _Node:
    def __init__(
        self, address: tuple[str, int], home: Path, processes: int, tell: Callable[[str], None]
    ) -> None:
        self._address = address
        self._home = home
        self._processes = processes
        self._tell = tell
        self._id = secrets.token_hex(8)
        self._state = ""
        self.faults: queue.SimpleQueue[EngineError] = queue.SimpleQueue()

    def serve(self, local_rank: int) -> None:
        """Run the process of this number in each job."""
        try:
            while True:
                # A connection that is lost ends with the engine, or with the job.
                with self._connected() as connection, suppress(OSError, ValidationError):
                    self._serve_job(connection, local_rank)
                time.sleep(_PAUSE_S)
        except EngineError as error:
            self.faults.put(error)
        finally:
            # The first one counts.
            self.faults.put(EngineError("The command broke; see above."))

    def _connected(self) -> NodeConnection:
        host, port = self._address
        while True:
            try:
                connected = socket.create_connection(self._address, timeout=_CONNECT_S)
            except socket.gaierror as error:
                raise EngineError(f"There is no machine called {host!r}.") from error
            except OSError as error:
                why = error.strerror or "it does not answer"
                self._say(f"No engine answers at {host}:{port} ({why}); trying again.")
                time.sleep(_PAUSE_S)
            else:
                connected.settimeout(None)
                self._say(f"Connected to {host}:{port}; waiting for jobs.")
                return NodeConnection(connected)

    def _serve_job(self, connection: NodeConnection, local_rank: int) -> None:
        hello = Hello(
            node=self._id,
            name=socket.gethostname(),
            local_rank=local_rank,
            processes=self._processes,
            versions=versions(),
        )
        connection.send(hello)
        if not (line := connection.receive()):
            return
        start = Start.model_validate_json(line)
        if start.refused:
            raise EngineError(start.refused)
        path = start.specification.resolve()
        # Only what the engine itself has written is run.
        if not path.is_relative_to(self._home / "jobs") or digest(path) != start.digest:
            fault = (
                f"{hello.name} does not see the engine's home at {self._home}: it has to be shared,"
                " at the same path (LCFT_HOME) on each machine."
            )
            connection.send(Failed(code=UNAVAILABLE, message=fault))
            connection.send(Ended(ended=1))
            raise EngineError(fault)
        self._say(f"Training as rank {start.place['RANK']} of {start.place['WORLD_SIZE']}.")
        process = TrainingProcess(path, local_rank, self._processes)
        work = Path(json.loads(path.read_bytes())["work"])
        place = {str(name): value for name, value in start.place.items()}
        try:
            process.start(place, log_of(work, int(place["RANK"])))
        except OSError as error:
            raise EngineError(f"No training process can be started here: {error}") from error
        threading.Thread(target=_end_with, args=(connection, process), daemon=True).start()
        try:
            for item in process.items():
                if isinstance(item, bytes):
                    connection.socket.sendall(item)
                else:
                    connection.send(Ended(ended=item))
        finally:
            process.end()

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._tell(state)


def _end_with(connection: NodeConnection, process: TrainingProcess) -> None:
    """End a process with its connection: the engine sends nothing more."""
    with suppress(OSError, ValueError):
        connection.receive()
    process.end()
