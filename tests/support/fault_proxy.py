"""A proxy on a real socket that breaks HTTP as it is told to: `with FaultProxy(url, choose)`."""

import asyncio
import contextlib
import re
import threading
from urllib.parse import urlsplit

REFUSALS = {
    "429": b"HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 5\r\ncontent-type: application/json"
    b"\r\ncontent-length: 39\r\n\r\n" + b'{"error": {"message": "Slow down now."}}'[:39],
    "503": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
}
BEFORE = ["dropped", *REFUSALS]
"""Faults of requests that do not reach the server."""

AFTER = ["lost", "502", "cut", "half header", "slow", "twice"]
"""Faults of the answers to requests that were carried out."""


class FaultProxy:
    """Passes requests on to `url`; each gets the fault that `choose(number, line)` names.

    Args:
        url: The server.
        choose: Returns a fault or None, given the request's number, counted from 0, and its first
            line. May be called from another thread than the test's.
        after: Called with the same when the server has answered, before the client hears of it.
    """

    def __init__(self, url, choose=lambda _number, _line: None, after=lambda _number, _line: None):
        parts = urlsplit(url)
        self._server = parts.hostname, parts.port
        self._choose = choose
        self._after = after
        self.lines = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, reader, writer):
        try:
            while request := await read_request(reader):
                line = request.partition(b"\r\n")[0].decode()
                number = len(self.lines)
                self.lines.append(line)
                if not await self._pass_on(request, number, line, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _pass_on(self, request, number, line, writer):
        """Answer one request; tell whether the connection may be used further."""
        fault = self._choose(number, line)
        if fault == "dropped":
            return False
        answer = REFUSALS.get(fault) or await self._asked(request)
        if fault not in BEFORE:
            self._after(number, line)
        body = answer.index(b"\r\n\r\n") + 4
        match fault:
            case "lost":
                return False
            case "502":
                answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\nbroken"
            case "cut":
                answer = answer[: body + (len(answer) - body) // 2]
            case "half header":
                answer = answer[: body // 2]
            case "twice":
                answer += answer
        if fault == "slow":
            for start in range(0, len(answer), 200):
                writer.write(answer[start : start + 200])
                await writer.drain()
                await asyncio.sleep(0.001)
        else:
            writer.write(answer)
            await writer.drain()
        return fault not in {"cut", "half header"}

    async def _asked(self, request):
        reader, writer = await asyncio.open_connection(*self._server)
        # It may be cancelled here, when the proxy ends.
        with contextlib.closing(writer):
            writer.write(re.sub(rb"(?i)\r\nconnection: [^\r]*", b"\r\nConnection: close", request))
            answer = await reader.read()
        return re.sub(rb"(?i)\r\nconnection: close", b"", answer, count=1)


async def read_request(reader):
    """Return one request, head and body, or nothing where the client is gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", head):
        return head + await reader.readexactly(int(length.group(1)))
    body = b""
    while b"transfer-encoding: chunked" in head.lower() and not body.endswith(b"\r\n0\r\n\r\n"):
        body += await reader.readuntil(b"\r\n")
        if body == b"0\r\n":
            body += await reader.readuntil(b"\r\n")
            break
    return head + body
