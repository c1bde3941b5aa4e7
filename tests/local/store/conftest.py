"""A run store behind a real socket, and LangSmith's real client before it."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from langsmith import Client

from langchain_finetune.local.auth.guard import install_error_handlers
from langchain_finetune.local.page.render_html import render_page
from langchain_finetune.local.store import RunStore, create_store_router
from support.settings import forget_langsmith_settings


class Server:
    """One running store; `url` is its root, `asked` the requests that came."""

    def __init__(self, app, store):
        self._app = app
        self.store = store
        self.url = ""
        self.asked = []

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        encoding = headers.get(b"content-encoding", b"").decode()
        self.asked.append((scope["method"], scope["path"], encoding))
        await self._app(scope, receive, send)


@contextmanager
def running(path):
    """Serve the store in this file, until the block ends."""
    store = RunStore(path)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    install_error_handlers(app, render_page)
    app.include_router(create_store_router(store))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    found = Server(app, store)
    found.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(found, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield found
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        store.close()


@contextmanager
def connected(url, **options):
    """A client of LangSmith that speaks to `url`."""
    client = Client(api_url=url, api_key="key", **options)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(autouse=True)
def _no_langsmith_settings(monkeypatch):
    forget_langsmith_settings(monkeypatch)


@pytest.fixture
def serving():
    """`with serving(path) as server:`, for tests that start a store twice."""
    return running


@pytest.fixture
def connecting():
    """`with connecting(url) as client:`."""
    return connected


@pytest.fixture(scope="session")
def _one_server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("store") / "runs.sqlite") as found:
        yield found


@pytest.fixture
def server(_one_server):
    """The server with an empty store; starting one for every test would take long."""
    for table in (
        "projects",
        "runs",
        "feedback",
        "datasets",
        "queues",
        "queued_runs",
        "feedback_configs",
        "feedback_tokens",
    ):
        _one_server.store._database.run(f"DELETE FROM {table}")
    _one_server.store.exports._database.run("DELETE FROM exports")
    _one_server.store.projects.ensure("default")
    _one_server.asked.clear()
    return _one_server


@pytest.fixture
def client(server):
    with connected(server.url) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    """A store without a server."""
    found = RunStore(tmp_path / "runs.sqlite")
    yield found
    found.close()
