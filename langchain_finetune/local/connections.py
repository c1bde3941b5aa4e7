"""How many connections are open: bounded where they are accepted, before a byte of them is read."""

import logging
import os
import socket
import time
from typing import Any

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 500
"""Most connections at the same time."""

GRACE_S = 1.0
"""How long a connection may say nothing before it is closed for another one."""

_FILES = 4096
"""Files that the process may open, if the system lets it; the default is 1,024 on most."""

_TOLD_EVERY_S = 60.0


def bound_by_system() -> int:
    """Raise the limit of open files; return how many of them may be connections."""
    if os.name != "posix":
        return MAX_CONNECTIONS
    import resource  # noqa: PLC0415 - Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    # Models, databases and uploads need files, too.
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


class _Connection(socket.socket):
    connections: "Connections"

    def close(self) -> None:
        self.connections.closed(self.fileno())
        super().close()


class Listener(socket.socket):
    """A listening socket whose connections are counted."""

    connections: "Connections"

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; where there are too many, another one is closed, or this one."""
        accepted, address = super().accept()
        connection = _Connection(fileno=accepted.detach())
        connection.connections = self.connections
        if not self.connections.add(connection):
            connection.close()
            # As if nobody had come.
            raise BlockingIOError
        return connection, address


class Connections:
    """The open connections, those first that have waited longest for a request.

    Beyond the bound the first of them is closed, so that those who say nothing do not keep others
    out. While all of them are being answered, or came just now, a new one is closed at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[int, socket.socket] = {}
        self._waiting: dict[int, float] = {}
        self._refused = 0
        self._told_at = -_TOLD_EVERY_S

    def listener(self, bound: socket.socket) -> Listener:
        """Take a listening socket over; the given one is of no use any more."""
        listener = Listener(fileno=bound.detach())
        listener.connections = self
        return listener

    def add(self, connection: socket.socket) -> bool:
        """Count a new connection; return whether there is room for it."""
        number, now = connection.fileno(), time.monotonic()
        if len(self._open) >= self._most:
            self._tell()
            oldest, since = next(iter(self._waiting.items()), (-1, now))
            if now - since < GRACE_S:
                return False
            del self._waiting[oldest]
            # asyncio sees its end, and closes it.
            self._open.pop(oldest).shutdown(socket.SHUT_RDWR)
        self._open[number] = connection
        self._waiting[number] = now
        return True

    def closed(self, number: int) -> None:
        """Forget a connection."""
        self._open.pop(number, None)
        self._waiting.pop(number, None)

    def asked(self, number: int) -> None:
        """Note that a connection's request is being answered."""
        self._waiting.pop(number, None)

    def answered(self, number: int) -> None:
        """Note that a connection waits for its next request."""
        if number in self._open:
            self._waiting.setdefault(number, time.monotonic())

    def _tell(self) -> None:
        self._refused += 1
        now = time.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            logger.warning(
                "More than %d connections at a time: %d were closed.", self._most, self._refused
            )
            self._told_at, self._refused = now, 0
