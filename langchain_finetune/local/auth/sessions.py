"""Who is signed in: sessions of browsers, and the tickets that begin one."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_S = 12 * 3600
"""A session ends when it was not used for so long, and with the engine."""

TICKET_S = 300
"""A ticket that nobody used is worth nothing after so long."""

_MOST = 200


@dataclass
class Session:
    """One browser that is signed in.

    Attributes:
        notices: What its next page is to tell; text that must not stand in an address.
    """

    token: str
    used_at: float
    notices: list[tuple[str, str]] = field(default_factory=list)


class PageSessions:
    """All sessions and tickets of an engine, in memory only. Threads may share it.

    Args:
        clock: Seconds that never step back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The one that was used least recently is first.
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._tickets: OrderedDict[str, float] = OrderedDict()

    def start(self) -> Session:
        """Begin a session."""
        session = Session(secrets.token_urlsafe(32), self._clock())
        with self._lock:
            self._sessions[session.token] = session
            _bound(self._sessions)
        return session

    def find(self, token: str | None) -> Session | None:
        """Return the session of this token, or None where there is none (any more)."""
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
        """End a session: its token is worth nothing from now on."""
        with self._lock:
            self._sessions.pop(session.token, None)

    def ticket(self) -> str:
        """Return a ticket, which begins one session within `TICKET_S`."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[ticket] = self._clock()
            _bound(self._tickets)
        return ticket

    def redeem(self, ticket: str) -> Session | None:
        """Begin a session for a ticket; of one that was used or is too old, return None."""
        with self._lock:
            made_at = self._tickets.pop(ticket, None)
        if made_at is None or self._clock() - made_at > TICKET_S:
            return None
        return self.start()


def _bound(kept: OrderedDict[str, Session] | OrderedDict[str, float]) -> None:
    while len(kept) > _MOST:
        kept.popitem(last=False)
