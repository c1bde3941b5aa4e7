"""Which requests of browsers may pass. Pure functions; the guard asks them.

A browser sends the cookie of a session by itself, also where another site made it send the
request. So the cookie alone proves nothing: where a request comes from is looked at, too. Cookies
and `SameSite` know no ports, so that other servers of this machine count as another site here.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIGN_IN = "/ui/sign-in"
TICKETS = "/ui/tickets"
"""Where a ticket is given for the key; the only one of the page's addresses that takes the key."""

STATIC = "/ui/static/"
SAFE_METHODS = frozenset({"GET", "HEAD"})

PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers would send `Origin: null` with the page's own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What every answer of the page carries."""


def is_page(path: str) -> bool:
    """Return whether an address is one of the page, which a session opens and the key does not."""
    return (path in {"/", "/ui"} or path.startswith("/ui/")) and path != TICKETS


def is_open(path: str) -> bool:
    """Return whether an address of the page needs no session."""
    return path == SIGN_IN or path.startswith(STATIC)


def is_seen(path: str, headers: Headers) -> bool:
    """Return whether a person sees the answer, not a script: so it must be a page."""
    return is_page(path) and headers.get("sec-fetch-mode", "navigate") == "navigate"


def cookie_name(host: str) -> str:
    """Return the name of the session's cookie: engines at other ports have their own.

    Example:
        >>> cookie_name("127.0.0.1:8123")
        'langchain_finetune_8123'
    """
    port = host.rpartition(":")[2]
    known = port.isascii() and port.isdigit()
    return f"langchain_finetune_{port}" if known else "langchain_finetune"


def session_token(headers: Headers) -> str | None:
    """Return the session's token among the cookies of a request."""
    # Not the standard library's parser: that one stops at the first cookie that is odd, and all
    # servers of this machine share the browser's cookies for its name.
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers.get("host", "")))


def fault(scope: Scope, headers: Headers) -> str | None:
    """Return why a browser's request must not pass, or None where it may.

    Args:
        scope: The request; `server` is the address that the connection came in at.
        headers: Its headers.
    """
    host = headers.get("host", "")
    if not _is_served(host, scope, headers):
        # Or else any name that resolves to this machine would be a door to it (DNS rebinding).
        return "The engine does not serve this host name."
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if scope["method"] in SAFE_METHODS:
        came_along = headers.get("sec-fetch-mode") == "navigate" and is_page(scope["path"])
        if site in {None, "same-origin", "none"} or came_along:
            return None
        return "Only the engine's own page may ask for this."
    if origin is not None:
        is_own = urlsplit(origin).netloc == host and site in {None, "same-origin"}
    else:
        is_own = site == "same-origin"
    return None if is_own else "Only the engine's own page may send this."


def _is_served(host: str, scope: Scope, headers: Headers) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    server = scope.get("server")
    if name is None or server is None:
        return False
    # With TLS the browser has held the name against the certificate. But anybody can write a
    # header that makes plain HTTP look like TLS.
    by_tls = scope["scheme"] == "https" and "x-forwarded-proto" not in headers
    if name == "localhost" or by_tls:
        return True
    try:
        # Another port may be that of a tunnel; only names can be made to mean another machine.
        address = ipaddress.ip_address(name)
        return address.is_loopback or address == _plain(ipaddress.ip_address(server[0]))
    except ValueError:
        return False


def _plain(address: _Address) -> _Address:
    """Return an address as browsers write it: a socket for IPv6 tells IPv4 as `::ffff:10.0.0.7`."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
