"""Clients without a key that open connections, and keep others neither out nor waiting."""

import http.client
import logging
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from langchain_finetune.home import ensure_home
from langchain_finetune.local import connections, http_server
from langchain_finetune.local.addresses import Certificate, Endpoint
from support.certificates import write_certificate

MOST = 20


async def app(scope, receive, send):
    """Answer at once, and at `/long` after a while."""
    if scope["type"] == "lifespan":
        for part in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{part}.complete"})
        return
    if scope["path"] == "/long":
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _logging_as_before():
    """Undo what the server sets for its process: here it is that of other tests, too."""
    loggers = [logging.getLogger(name) for name in ("uvicorn", "langchain_finetune")]
    before = [(each, [*each.handlers], each.level, each.propagate) for each in loggers]
    try:
        yield
    finally:
        for logger, handlers, level, propagate in before:
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate


@contextmanager
def serving(home, monkeypatch, tls=None):
    """Run the engine's server in a thread; give the ports of loopback and of the public socket."""
    running, ready = [], threading.Event()

    @contextmanager
    def no_signals(server):
        running.append(server)
        yield

    monkeypatch.setattr(http_server, "_signals_stop", no_signals)
    ensure_home(home)
    with _logging_as_before(), ExitStack() as stack:
        loopback, public = Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 0, tls)
        sockets = [stack.enter_context(each.bind()) for each in (loopback, public)]
        ports = [each.getsockname()[1] for each in sockets]
        thread = threading.Thread(
            target=http_server.run_http_server,
            args=(app, home, home / "log"),
            kwargs={
                "loopback": (loopback, sockets[0]),
                "public": (public, sockets[1]),
                "on_start": lambda _: ready.set(),
            },
        )
        thread.start()
        try:
            assert ready.wait(60)
            yield ports
        finally:
            running[0].should_exit = True
            thread.join()


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(connections, "GRACE_S", 0.2)


def connect(stack, port):
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))


def ask(port, context=None):
    kind = {"context": context} if context else {}
    make = http.client.HTTPSConnection if context else http.client.HTTPConnection
    with ExitStack() as stack:
        client = make("127.0.0.1", port, timeout=30, **kind)
        stack.callback(client.close)
        client.request("GET", "/")
        return client.getresponse().read()


def is_closed(connection):
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_those_who_say_nothing_are_closed_for_those_who_ask(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as (port, public), ExitStack() as stack:
        silent = [connect(stack, each) for each in [port, public] * 2 * MOST]
        time.sleep(0.5)
        for each in (port, public):
            assert ask(each) == b"ok"
        open_ones = [connection for connection in silent if not is_closed(connection)]
        assert 0 < len(open_ones) < MOST
    told = [line for line in (tmp_path / "log").read_text().splitlines() if "at a time" in line]
    assert len(told) == 1


def test_those_who_wait_for_an_answer_are_not_closed(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as (port, _), ExitStack() as stack:
        asking = [connect(stack, port) for _ in range(MOST)]
        for connection in asking:
            connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)
        late = connect(stack, port)
        late.settimeout(30)
        with suppress(ConnectionError):
            assert late.recv(1) == b""
        assert not any(is_closed(connection) for connection in asking)
        asking.pop().close()
        end = time.monotonic() + 30
        while True:
            with suppress(ConnectionError, http.client.HTTPException):
                assert ask(port) == b"ok"
                break
            assert time.monotonic() < end


def test_a_handshake_that_does_not_come_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(http_server, "HANDSHAKE_TIMEOUT_S", 0.3)
    certificate = Certificate(*write_certificate(tmp_path))
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    with (
        serving(tmp_path / "home", monkeypatch, certificate.context()) as (_, public),
        ExitStack() as stack,
    ):
        silent = [connect(stack, public) for _ in range(2 * MOST)]
        time.sleep(0.5)
        assert ask(public, context) == b"ok"
        began = time.monotonic()
        for connection in silent:
            connection.settimeout(30)
            with suppress(ConnectionError):
                assert connection.recv(1) == b""
        # asyncio's own timeout is 60 s.
        assert time.monotonic() - began < 30


def test_the_process_may_open_more_files_than_the_default(monkeypatch):
    resource = pytest.importorskip("resource")
    given = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2**20))
    assert connections.bound_by_system() == MOST
    assert given == [(4096, 2**20)]
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 500)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert connections.bound_by_system() == 128
    assert len(given) == 1
