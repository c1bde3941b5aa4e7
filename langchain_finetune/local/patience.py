"""Connections that end when the other side takes too long: to say what it wants, or to listen.

uvicorn limits how long a connection may do nothing between two requests only: one that sends its
headers or its body byte by byte would keep its place for ever, and a few hundred take them all.
One that does not read a long answer would keep the answer's model in memory, and from others.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

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
