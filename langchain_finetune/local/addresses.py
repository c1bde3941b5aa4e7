"""The addresses an engine listens on: a loopback one, and a public one if that is safe."""

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
    """The engine's TLS certificate and its private key, without a password, as PEM files."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return settings for TLS 1.2 and later with this certificate.

        Raises:
            EngineError: The files are not a certificate and its key.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # An empty password, so that OpenSSL does not prompt for one.
            context.load_cert_chain(self.chain, self.key, password="")
        except OSError as error:
            raise EngineError(
                f"{self.chain} and {self.key} are not a certificate and its key as PEM files"
                " without a password."
            ) from error
        return context


def certificate_of(chain: Path | None, key: Path | None) -> Certificate | None:
    """Return the certificate that two options specify, or None if neither is set.

    Raises:
        EngineError: Only one of them is set.
    """
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise EngineError("A certificate requires both --tls-cert and --tls-key.")
    return Certificate(chain, key)


@dataclass(frozen=True)
class Endpoint:
    """An address to listen on; port 0 picks a free one, and without `tls` it is unencrypted."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @contextmanager
    def bind(self) -> Iterator[socket.socket]:
        """Return a socket that is bound to this address until the block ends.

        Raises:
            EngineError: The port is in use, or the address does not belong to this machine.
        """
        address = _resolve(self.host)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
        # asyncio sets TCP_NODELAY only if the protocol is given; without it, each response
        # waits 40 ms for the client to acknowledge the headers.
        with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((str(address), self.port))
            except (OSError, OverflowError):
                raise EngineError(
                    f"Cannot listen on port {self.port} at {self.host}. Choose another port, or 0"
                    " for a free one."
                ) from None
            yield listener

    def url(self, listener: socket.socket) -> str:
        """Return the URL of a socket that is bound to this address."""
        return url_of(self.host, listener.getsockname()[1], tls=self.tls is not None)


def choose_endpoints(
    host: str, port: int, *, certificate: Certificate | None, insecure_public: bool
) -> tuple[Endpoint, Endpoint | None]:
    """Return the loopback endpoint for programs on this machine, and the public one if any.

    Raises:
        EngineError: A public host without encryption, or an invalid host or certificate.
    """
    address = _resolve(host)
    if address.is_loopback:
        if certificate:
            raise EngineError(
                "A certificate is only for a public address: set the host, too, such as 0.0.0.0."
            )
        return Endpoint(str(address), port), None
    if certificate is None and not insecure_public:
        raise EngineError(
            f"At {host!r}, others could read the key and all chats in transit. Provide a"
            " certificate and its key (--tls-cert, --tls-key), or listen on 127.0.0.1. On a trusted"
            " network only, --insecure-public allows unencrypted connections."
        )
    tls = certificate.context() if certificate else None
    return Endpoint(LOOPBACK, 0), Endpoint(host, port, tls)


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """Return the URL of an address, such as `http://[::1]:8123`."""
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def _resolve(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if host == "localhost":
        # It may resolve to several addresses; clients are given this one.
        return ipaddress.ip_address(LOOPBACK)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise EngineError(
            f"{host!r} is not a valid host. Use 127.0.0.1, ::1 or an address of this machine."
        )
    return ipaddress.ip_address(found[0][4][0])
