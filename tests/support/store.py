"""A run store over a real socket, and ways to put runs into it."""

import datetime as dt
import json
import uuid
from contextlib import contextmanager

from fastapi import FastAPI
from langsmith import Client
from langsmith.run_trees import RunTree

from langchain_finetune.local.auth.guard import install_error_handlers
from langchain_finetune.local.page.render_html import render_page
from langchain_finetune.local.store import RunStore, create_store_router
from support.runs import constructor
from support.servers import served

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


class Gate:
    """Stands before an app: counts requests, and answers some itself.

    `answers(path, n)` returns None, or `(status, headers)` for the n-th request of a path.
    """

    def __init__(self, app, answers=lambda path, count: None):
        self.app = app
        self.answers = answers
        self.paths = []
        self.bodies = []

    @contextmanager
    def without(self, paths):
        """Answer that these paths are not there."""
        self.answers = lambda path, count: (404, {}) if path in paths else None
        yield
        self.answers = lambda path, count: None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        self.paths.append(path)
        answer = self.answers(path, self.paths.count(path))
        if answer is None:
            await self.app(scope, self.noting(receive), send)
            return
        status, headers = answer
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b"{}"})

    def noting(self, receive):
        async def noted():
            message = await receive()
            if message.get("body", b"")[:1] == b"{":
                self.bodies.append(json.loads(message["body"]))
            return message

        return noted


@contextmanager
def store_client(path, gate=None):
    """Serve a new store; yields a client of it."""
    app = FastAPI()
    store = RunStore(path)
    app.include_router(create_store_router(store))
    install_error_handlers(app, render_page)
    if gate:
        gate.app = app
    with served(gate or app) as url:
        client = Client(api_url=url, api_key="any")
        yield client
        client.cleanup()
    store.close()


def chat(*texts):
    """Inputs and outputs of a chat model's run: texts of user and assistant in turn."""
    kinds = [("HumanMessage", "human"), ("AIMessage", "ai")] * len(texts)
    messages = [
        constructor(name, content=text, type=kind)
        for (name, kind), text in zip(kinds, texts, strict=False)
    ]
    return {
        "inputs": {"messages": [messages[:-1]]},
        "outputs": {"generations": [[{"text": texts[-1], "message": messages[-1]}]]},
    }


def record(client, *texts, project="app", at=0, seconds=1.0, parent=None, trace_error=None, **run):
    """Record an llm run below a chain, or below `parent`; returns the chain's and the run's id.

    Args:
        texts: What was said, in turn.
        at: When it began, in seconds after `NOON`.
        parent: A RunTree of an earlier call, for a second llm run of the same trace.
        run: Fields of the llm run: `tags`, `extra`, `name`, `error`, ...
    """
    start = NOON + at * SECOND
    metadata = {"metadata": (run.get("extra") or {}).get("metadata", {})}
    root = parent or RunTree(
        name="app",
        run_type="chain",
        inputs={},
        ls_client=client,
        project_name=project,
        start_time=start,
        extra=metadata,
    )
    fields = {"name": "ChatOpenAI", "run_type": "llm", **chat(*texts), **run}
    error, outputs = fields.pop("error", None), fields.pop("outputs")
    child = root.create_child(start_time=start + SECOND / 10, **fields)
    child.post()
    child.end(outputs=None if error else outputs, error=error, end_time=start + seconds * SECOND)
    child.patch()
    if parent is None:
        root.post()
    root.end(outputs={}, error=trace_error, end_time=start + (seconds + 1) * SECOND)
    root.patch()
    return root, child


def bulk(client, count, *, project="app", step=SECOND):
    """Record many small llm runs without parents, each a step after the one before."""
    for number in range(count):
        run_id = uuid.uuid4()
        start = NOON + number * step
        client.create_run(
            "ChatOpenAI",
            run_type="llm",
            id=run_id,
            trace_id=run_id,
            dotted_order=f"{start:%Y%m%dT%H%M%S%fZ}{run_id}",
            project_name=project,
            start_time=start,
            end_time=start + SECOND,
            **chat(str(number), "yes"),
        )
    client.flush()


def say(client, run, key, **said):
    """Leave feedback on a run."""
    project = client.read_project(project_name=run.session_name).id
    client.create_feedback(run.id, key=key, session_id=project, **said)
