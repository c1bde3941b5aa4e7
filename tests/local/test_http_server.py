"""Clients that keep a connection and say nothing, or too little."""

import queue
import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn

from langchain_finetune.local import http_server

ended = queue.Queue()
"""How the long answers ended that nobody read."""


async def app(scope, receive, send):
    """Tells how much came, after a while; at `/long`, more than anybody's buffers hold."""
    if scope["path"] == "/long":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
        await send({"type": "http.response.body"})
        # uvicorn lets an answer go on whose client has left; this tells of that.
        ended.put((await receive())["type"])
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message.get("more_body")
    headers = [(b"content-length", b"%d" % len(str(size)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture
def wait_s():
    return 0.3


@pytest.fixture
def address(monkeypatch, wait_s):
    monkeypatch.setattr(http_server, "READ_TIMEOUT_S", wait_s)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, http=http_server.TimeoutProtocol, loop="asyncio", ws="none", lifespan="off",
            log_level="error", timeout_keep_alive=60,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def closed(connection, say=b""):
    """Whether the server hangs up, while `say` is sent again and again."""
    connection.settimeout(0.05)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if not connection.recv(1000):
                return True
        except TimeoutError:
            pass
        except ConnectionError:
            return True
        try:
            connection.sendall(say)
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize(
    ("begun", "dripped"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"/"),
    ],
    ids=["nothing", "headers", "no body", "body", "chunks", "a second request"],
)
def test_who_says_too_little_is_hung_up_on(address, begun, dripped):
    with socket.create_connection(address) as connection:
        connection.sendall(begun)
        assert closed(connection, dripped)


def test_a_connection_stays_open_between_requests(address, wait_s):
    """Clients keep it in a pool, and send the next request on it; uvicorn closes it in the end."""
    with socket.create_connection(address, timeout=60) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\n0"):
                part = connection.recv(1000)
                assert part, "it was closed"
                answer += part
            time.sleep(4 * wait_s)
    assert http_server.KEEP_ALIVE_S >= 75


def test_who_does_not_read_is_hung_up_on(address, monkeypatch):
    monkeypatch.setattr(http_server, "WRITE_TIMEOUT_S", 0.3)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.get(timeout=60) == "http.disconnect"
        size = 0
        with suppress(ConnectionError):
            while part := connection.recv(2**20):
                size += len(part)
        assert size < 1000 * 2**16


def test_who_reads_gets_all_of_a_long_answer(address, monkeypatch):
    monkeypatch.setattr(http_server, "WRITE_TIMEOUT_S", 30.0)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        size = 0
        while size < 1000 * 2**16:
            part = connection.recv(2**20)
            assert part
            size += len(part)


@pytest.mark.parametrize("wait_s", [4.0])
def test_who_has_much_to_say_is_heard_to_the_end(address, wait_s):
    """A pause of all of `wait_s` would end it, so it is long enough for a busy machine."""
    pause, chunk = wait_s / 8, b"x" * 2000
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(10):
            connection.sendall(chunk)
            time.sleep(pause)
        assert connection.recv(1000).endswith(b"20000")
