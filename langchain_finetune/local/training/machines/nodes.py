"""Other machines that train along: the engine's side of the connections.

`langchain-finetune trainer --join HOST:PORT` connects once for each process that its machine is
for, and says so in a line of JSON. When enough machines have come, each connection is told the
place of its process, and passes its reports back. Whoever closes a connection ends the process.
"""

import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_finetune.errors import EngineError
from langchain_finetune.local.addresses import Endpoint
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.machines.process import difference, digest
from langchain_finetune.local.training.machines.settings import Machines
from langchain_finetune.local.training.machines.waiting import UNAVAILABLE, Wait

_HELLO_S, _LOOK_S = 2.0, 0.2
_LONGEST_LINE = 2**20
_Short = Annotated[str, Field(max_length=256)]


class Hello(BaseModel):
    """What a machine says of the process of one connection, and of itself.

    Attributes:
        node: Random id of the machine's command.
        name: The machine's name.
        processes: Number of processes of that machine; `local_rank` is the number of this one.
    """

    model_config = ConfigDict(extra="forbid")

    node: _Short
    name: _Short
    local_rank: Annotated[int, Field(ge=0)]
    processes: Annotated[int, Field(ge=1)]
    versions: dict[_Short, _Short]


class Start(BaseModel):
    """What the process is to do, the hash of its specification, and its place; or a refusal."""

    model_config = ConfigDict(extra="forbid")

    refused: str | None = None
    specification: Path = Path()
    digest: str = ""
    place: dict[Literal["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"], str] = {}


class Ended(BaseModel):
    """The exit status of the process; no report of a training looks like this."""

    model_config = ConfigDict(extra="forbid")

    ended: int


class NodeConnection:
    """A connection over which lines go."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._lines = connected.makefile("rb")
        # A machine that is gone without a word is noticed within half a minute.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if option := getattr(socket, name, None):
                connected.setsockopt(socket.IPPROTO_TCP, option, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: BaseModel) -> None:
        """Send a message."""
        self.socket.sendall(message.model_dump_json().encode() + b"\n")

    def receive(self) -> bytes:
        """Return the next line; an empty one if no more come."""
        return self._lines.readline(_LONGEST_LINE)

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self.socket.close()


class NodeWorker:
    """A training process of another machine, behind a connection."""

    def __init__(self, connection: NodeConnection, hello: Hello, specification: Path) -> None:
        self.hello = hello
        self.where = hello.name
        self.local_rank = hello.local_rank
        self.connection = connection
        self._specification = specification

    def start(self, place: Mapping[str, str]) -> None:
        """Start it; if the connection is lost, that is noticed when its lines are read."""
        path = self._specification
        with suppress(OSError):
            self.connection.send(
                Start.model_validate(
                    {"specification": path, "digest": digest(path) or "", "place": dict(place)}
                )
            )

    def items(self) -> Iterator[bytes | int | None]:
        """Yield its lines and its exit status."""
        with suppress(OSError, ValueError):
            while line := self.connection.receive():
                with suppress(ValidationError):
                    yield Ended.model_validate_json(line).ended
                    return
                yield line
        yield None

    def ask_to_stop(self) -> None:
        """Do nothing: the first process, which is on the engine's machine, tells the others."""

    def end(self) -> None:
        """End it."""
        self.connection.close()


@contextmanager
def nodes(
    machines: Machines, specification: Path, wait: Wait, *, first_rank: int
) -> Iterator[list[NodeWorker]]:
    """Return the processes of as many other machines as are wanted, as soon as these have come.

    Raises:
        TrainingFailure: `trainer_unavailable`: they did not come in time, or the address can't be
            listened at.
    """
    gathering = _Gathering(machines, specification, first_rank)
    with ExitStack() as stack:
        stack.callback(gathering.close)
        if machines.listener is None:
            try:
                listener = stack.enter_context(Endpoint(*machines.host_and_port).bind())
            except EngineError as error:
                raise TrainingFailure(UNAVAILABLE, str(error)) from error
            listener.listen()
        else:
            listener = stack.enter_context(socket.socket(fileno=machines.listener))
        listener.settimeout(_LOOK_S)
        while not (found := gathering.complete()) and wait.goes_on(gathering.missing):
            with suppress(TimeoutError):
                gathering.take(listener.accept()[0])
        yield found or []


class _Gathering:
    """The machines that have come so far."""

    def __init__(self, machines: Machines, specification: Path, first_rank: int) -> None:
        self._machines = machines
        self._specification = specification
        self._first_rank = first_rank
        self._workers: list[NodeWorker] = []
        self._refused: dict[str, str] = {}

    def take(self, connected: socket.socket) -> None:
        """Take a connection, or close it, if it is none of a machine that can train along."""
        connected.settimeout(_HELLO_S)
        connection = NodeConnection(connected)
        try:
            hello = Hello.model_validate_json(connection.receive())
            if other := difference(hello.versions):
                self._refused[hello.name] = other
                reason = f"The versions here are not those of the engine's machine: {other}."
                connection.send(Start(refused=reason))
        except (OSError, ValidationError):
            connection.close()
            return
        if other:
            connection.close()
            return
        connected.settimeout(None)
        self._workers.append(NodeWorker(connection, hello, self._specification))

    def complete(self) -> list[NodeWorker] | None:
        """Return the processes of enough machines, in the order in which these came."""
        by_node: dict[str, dict[int, NodeWorker]] = {}
        for worker in list(self._workers):
            # It has nothing to say now, but that it is gone.
            if select.select([worker.connection.socket], [], [], 0)[0]:
                self._workers.remove(worker)
                worker.end()
            else:
                by_node.setdefault(worker.hello.node, {})[worker.local_rank] = worker
        whole = [
            [node[rank] for rank in sorted(node)]
            for node in by_node.values()
            if len(node) == next(iter(node.values())).hello.processes
        ]
        others = self._machines.nodes - 1
        return [each for node in whole[:others] for each in node] if len(whole) >= others else None

    def missing(self) -> str:
        """Return who has not come, and what to do."""
        came = len({each.hello.node for each in self._workers})
        message = (
            f"Of {self._machines.nodes} machines, {1 + came} came, and the processes from rank"
            f" {self._first_rank + len(self._workers)} on are missing: run `langchain-finetune"
            f" trainer --join {self._machines.address}` on each other machine."
        )
        for name, why in self._refused.items():
            message += f" {name} was refused: {why}."
        return message

    def close(self) -> None:
        """Close all connections."""
        for worker in self._workers:
            worker.end()
