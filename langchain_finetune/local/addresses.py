"""Where an engine listens: this machine's own address, and one that others reach if it is safe."""

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.errors import EngineError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """What an engine proves itself with.

    Attributes:
        chain: PEM file of the certificate and those that signed it.
        key: PEM file of its private key, without a password.
    """

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return the settings of TLS 1.2 and later with this certificate.

        Raises:
            EngineError: The files are no certificate and its key.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # An empty password, so that nobody is asked for one.
            context.load_cert_chain(self.chain, self.key, password="")
        except OSError as error:
            raise EngineError(
                f"{self.chain} and {self.key} are no certificate with its key, both PEM files"
                " without a password."
            ) from error
        return context


def certificate_of(chain: Path | None, key: Path | None) -> Certificate | None:
    """Return the certificate that two options name; None where neither is given.

    Raises:
        EngineError: Only one of them is given.
    """
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise EngineError("A certificate needs both files: --tls-cert and --tls-key.")
    return Certificate(chain, key)


@dataclass(frozen=True)
class Public:
    """An address that others reach.

    Attributes:
        host: As it was given.
        port: Where to listen; 0 takes a free one.
        tls: How connections are encrypted; None sends key and data in the clear.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None


@dataclass(frozen=True)
class Places:
    """Where an engine listens.

    Attributes:
        loopback: The address of this machine's own that programs here use, without TLS.
        port: Its port; 0 for the one of last time, or any that is free.
        public: What others use, if they may.
    """

    loopback: str
    port: int
    public: Public | None


def choose_places(
    host: str, port: int, *, certificate: Certificate | None, insecure_public: bool
) -> Places:
    """Decide where to listen.

    Raises:
        EngineError: Others could read what is sent, or the host or the certificate is none.
    """
    address = _address(host)
    if address.is_loopback:
        if certificate:
            raise EngineError(
                "A certificate is for an address that others reach: give its host too, such as"
                " 0.0.0.0."
            )
        return Places(str(address), port, None)
    if certificate is None and not insecure_public:
        raise EngineError(
            f"At {host!r} others could read the key and all chats on their way: give a certificate"
            " and its key (--tls-cert, --tls-key), or listen at 127.0.0.1. Only in a network where"
            " nobody listens, --insecure-public does without."
        )
    return Places(LOOPBACK, 0, Public(host, port, certificate.context() if certificate else None))


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a socket at an address until the block ends.

    Raises:
        EngineError: It is taken, or not this machine's.
    """
    address = _address(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    # asyncio sends small parts at once (TCP_NODELAY) only where the protocol is named; else each
    # answer waits 40 ms for the client's acknowledgement of its headers.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((str(address), port))
        except (OSError, OverflowError):
            raise EngineError(
                f"Port {port} can't be used at {host}: choose another one, or 0 for any that is"
                " free."
            ) from None
        yield listener


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """Return the URL of an address, such as `http://[::1]:8123`."""
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if host == "localhost":
        # It may stand for several; clients are told this one.
        return ipaddress.ip_address(LOOPBACK)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise EngineError(f"The host {host!r} is none: take 127.0.0.1, ::1, or your own address.")
    return ipaddress.ip_address(found[0][4][0])
