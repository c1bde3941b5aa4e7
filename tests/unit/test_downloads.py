"""Downloads of an account's files, for which the event loop does not wait."""

import asyncio
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from httpx2 import RemoteProtocolError
from openai import AsyncOpenAI

from langchain_finetune.engines import openai_records

CONTENT = os.urandom(3 * openai_records._PART + 1)


class _Files(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:-1])
        if self.path.startswith("/whole"):
            self.wfile.write(CONTENT[-1:])

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def fetch(address, path):
    async with AsyncOpenAI(api_key="k", base_url=address, max_retries=0) as client:
        return await openai_records.download("file-1", path, 60, client)


def test_the_event_loop_does_not_wait_for_the_disk(address, tmp_path, monkeypatch):
    threads = set()

    def seen(function):
        def call(*arguments):
            threads.add(threading.current_thread())
            return function(*arguments)

        return call

    for name in ("write", "__enter__", "__exit__"):
        monkeypatch.setattr(
            openai_records._Target, name, seen(getattr(openai_records._Target, name))
        )
    written = asyncio.run(fetch(f"{address}/whole", tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert written.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert threads
    assert threading.current_thread() not in threads


def test_a_download_that_breaks_off_is_an_error(address, tmp_path):
    with pytest.raises(RemoteProtocolError, match="peer closed connection"):
        asyncio.run(fetch(f"{address}/cut", tmp_path / "a"))
