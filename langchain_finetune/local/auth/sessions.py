"""Sessions of browsers, and one-time tickets to start them."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_S = 12 * 3600
"""A session expires after this time without use, and when the engine stops."""

TICKET_S = 300
"""Lifetime of a ticket."""

_MAX_KEPT = 200


@dataclass
class Session:
    """A browser that is signed in, with its cookie's value and the time of its last request.

    `notices` are for its next page, as kind and text; they must not appear in URLs.
    """

    token: str
    used_at: float
    notices: list[tuple[str, str]] = field(default_factory=list)


class PageSessions:
    """Sessions and tickets of an engine, only in memory. Thread-safe; the clock is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Least recently used first.
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._tickets: OrderedDict[str, float] = OrderedDict()

    def start(self) -> Session:
        """Start a session."""
        session = Session(secrets.token_urlsafe(32), self._clock())
        with self._lock:
            self._sessions[session.token] = session
            _evict(self._sessions)
        return session

    def find(self, token: str | None) -> Session | None:
        """Return the session of a token, or None if it does not exist or has expired."""
        now = self._clock()
        with self._lock:
            session = self._sessions.get(token or "")
            if session is None:
                return None
            if now - session.used_at > SESSION_S:
                del self._sessions[session.token]
                return None
            session.used_at = now
            self._sessions.move_to_end(session.token)
            return session

    def end(self, session: Session) -> None:
        """End a session and invalidate its token."""
        with self._lock:
            self._sessions.pop(session.token, None)

    def ticket(self) -> str:
        """Return a ticket that can start one session within `TICKET_S`."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[ticket] = self._clock()
            _evict(self._tickets)
        return ticket

    def redeem(self, ticket: str) -> Session | None:
        """Start a session for a ticket, or return None if it was used or has expired."""
        with self._lock:
            made_at = self._tickets.pop(ticket, None)
        if made_at is None or self._clock() - made_at > TICKET_S:
            return None
        return self.start()


def _evict(kept: OrderedDict[str, Session] | OrderedDict[str, float]) -> None:
    while len(kept) > _MAX_KEPT:
        kept.popitem(last=False)
