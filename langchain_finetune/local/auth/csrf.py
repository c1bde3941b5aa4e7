"""Protection against cross-site requests of browsers. Pure functions, used by the guard.

A browser attaches the session cookie also to requests that another site caused. The cookie alone
therefore proves nothing, and the origin of each request is checked. Cookies and `SameSite` ignore
ports, so other servers on this machine are treated as other sites, too.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIGN_IN = "/ui/sign-in"
TICKETS = "/ui/tickets"
"""Creates a ticket for the key; the only path of the page that accepts the key."""

STATIC = "/ui/static/"
SAFE_METHODS = frozenset({"GET", "HEAD"})

PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers would send `Origin: null` with the page's forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of all responses of the page."""


def is_page(path: str) -> bool:
    """Return whether a path belongs to the page, which requires a session instead of the key."""
    return (path in {"/", "/ui"} or path.startswith("/ui/")) and path != TICKETS


def is_public(path: str) -> bool:
    """Return whether a path of the page requires no session."""
    return path == SIGN_IN or path.startswith(STATIC)


def expects_page(path: str, headers: Headers) -> bool:
    """Return whether the browser will show the response, so that errors must be pages, too."""
    return is_page(path) and headers.get("sec-fetch-mode", "navigate") == "navigate"


def cookie_name(host: str) -> str:
    """Return the name of the session cookie, which is different for engines at other ports.

    Example:
        >>> cookie_name("127.0.0.1:8123")
        'langchain_finetune_8123'
    """
    port = host.rpartition(":")[2]
    known = port.isascii() and port.isdigit()
    return f"langchain_finetune_{port}" if known else "langchain_finetune"


def session_token(headers: Headers) -> str | None:
    """Return the session token from the cookies of a request."""
    # Not the standard library's parser, which stops at the first malformed cookie: the cookies of
    # all servers on this machine are sent to each of them.
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers.get("host", "")))


def csrf_error(scope: Scope, headers: Headers) -> str | None:
    """Return why a browser's request is refused, or None if it is allowed."""
    host = headers.get("host", "")
    if not _is_served(host, scope, headers):
        # Prevents DNS rebinding: any name may resolve to this machine.
        return "The engine does not serve this host name."
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if scope["method"] in SAFE_METHODS:
        is_link = headers.get("sec-fetch-mode") == "navigate" and is_page(scope["path"])
        if site in {None, "same-origin", "none"} or is_link:
            return None
        return "Only the engine's own page may request this."
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
    # With TLS, the browser has verified the name. But a client can send a header that makes
    # unencrypted HTTP look like TLS.
    by_tls = scope["scheme"] == "https" and "x-forwarded-proto" not in headers
    if name == "localhost" or by_tls:
        return True
    try:
        # The port may differ, for a tunnel; only names can resolve to another machine.
        address = ipaddress.ip_address(name)
        return address.is_loopback or address == _unmapped(ipaddress.ip_address(server[0]))
    except ValueError:
        return False


def _unmapped(address: _Address) -> _Address:
    """Return an address as browsers write it: IPv6 sockets report IPv4 as `::ffff:10.0.0.7`."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
