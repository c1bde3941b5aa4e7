"""How many files of the package somebody reads who follows one path through it.

Counted are the files in which a function runs, after the path has run once before: what only
happens at import, or the first time, does not count. The engine's paths run in this process, the
client's at an engine that is a process of its own. `--list` names the files.

    .venv/bin/python scripts/bench/files_touched.py [--list]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import SecretStr

import langchain_finetune
from langchain_finetune import Convert, FineTune, RunFileChatLoader
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.local.app import create_app

PACKAGE = str(Path(langchain_finetune.__file__).parent)
CHATS = 12
TOOL = {
    "type": "function",
    "function": {
        "name": "find_room",
        "description": "Find a room.",
        "parameters": {
            "type": "object",
            "properties": {"beds": {"type": "integer"}},
            "required": ["beds"],
        },
    },
}
CHAT = {
    "model": "nano",
    "messages": [{"role": "user", "content": "A room with two beds?"}],
    "max_tokens": 16,
    "temperature": 0,
}
FORCED = {
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "find_room"}},
    "stream": True,
}

PATHS = (
    "Job.status()",
    "POST /runs",
    "POST /runs/query with a filter",
    "a chat completion",
    "a chat completion, streamed with a forced tool",
    "a run in a file to a training line",
    f"FineTune.submit of {CHATS} chats",
)

running: set[str] = set()


def _note(frame: FrameType, event: str, _: object) -> None:
    if event == "call" and frame.f_code.co_name != "<module>":
        running.add(frame.f_code.co_filename)


def _files() -> list[str]:
    return sorted(name[len(PACKAGE) + 1 :] for name in running if name.startswith(PACKAGE))


@contextmanager
def noted() -> Iterator[None]:
    """Note what runs, in this thread and in those that it starts."""
    threading.setprofile(_note)
    sys.setprofile(_note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def touched(path: Callable[[], object]) -> list[str]:
    """Return the files that a path's second run touches."""
    path()
    running.clear()
    path()
    return _files()


async def atouched(path: Callable[[], Awaitable[object]]) -> list[str]:
    """Return the files that a path's second run touches."""
    await path()
    running.clear()
    await path()
    return _files()


def constructor(name: str, content: str, kind: str) -> dict[str, Any]:
    """Return a message as LangChain's tracer writes it."""
    path = ["langchain", "schema", "messages", name]
    return {
        "lc": 1,
        "type": "constructor",
        "id": path,
        "kwargs": {"content": content, "type": kind},
    }


def traced_run() -> dict[str, Any]:
    """Return a chat model's run, with a tool, as LangChain's tracer writes it."""
    run_id = str(uuid.uuid4())
    answer = constructor("AIMessage", "With a view?", "ai")
    return {
        "id": run_id,
        "trace_id": run_id,
        "dotted_order": f"20261101T100000000000Z{run_id}",
        "name": "ChatOpenAI",
        "run_type": "llm",
        "session_name": "app",
        "status": "success",
        "start_time": "2026-11-01T10:00:00+00:00",
        "end_time": "2026-11-01T10:00:01+00:00",
        "inputs": {"messages": [[constructor("HumanMessage", "A room?", "human")]]},
        "outputs": {"generations": [[{"text": "With a view?", "message": answer}]]},
        "extra": {"invocation_params": {"tools": [TOOL]}},
    }


def wrapped_run() -> dict[str, Any]:
    """Return the same run as langsmith's wrapper of OpenAI's client writes it."""
    message = {"role": "assistant", "content": "With a view?"}
    return traced_run() | {
        "inputs": {"messages": CHAT["messages"], "model": "gpt-4o", "tools": [TOOL]},
        "outputs": {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]},
        "extra": {},
    }


@asynccontextmanager
async def engine(home: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Run an engine in this process; yields a client of it."""
    app = create_app(home, SecretStr("key"))
    transport = httpx2.ASGITransport(app)
    headers = {"Authorization": "Bearer key"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=600
        ) as client,
    ):
        yield client


async def server_paths(home: Path) -> dict[str, list[str]]:
    """Return the files that requests touch within the engine."""
    async with engine(home) as client:

        def post(path: str, body: Callable[[], dict[str, Any]]) -> Callable[[], Awaitable[None]]:
            async def send() -> None:
                answer = await client.post(path, json=body())
                answer.raise_for_status()

            return send

        # A chat first: what it loads in the background belongs to no request.
        await post("/v1/chat/completions", lambda: CHAT)()
        found = {"POST /runs": await atouched(post("/runs", traced_run))}
        projects = (await client.get("/sessions", params={"name": "app"})).json()
        query = {"session": [projects[0]["id"]], "filter": 'eq(run_type, "llm")'}
        found["POST /runs/query with a filter"] = await atouched(post("/runs/query", lambda: query))
        found["a chat completion"] = await atouched(post("/v1/chat/completions", lambda: CHAT))
        found["a chat completion, streamed with a forced tool"] = await atouched(
            post("/v1/chat/completions", lambda: CHAT | FORCED)
        )
    return found


def client_paths(home: Path) -> dict[str, list[str]]:
    """Return the files that the library touches in the app's process."""
    recording = home / "runs.jsonl"
    recording.write_text(json.dumps(wrapped_run()) + "\n")

    def convert() -> None:
        examples = (RunFileChatLoader(path=str(recording)) | Convert()).invoke({})
        assert examples.write_jsonl(home / "training.jsonl").examples == 1

    found = {"a run in a file to a training line": touched(convert)}
    os.environ["LCFT_HOME"] = str(home / "engine")
    ensure_engine(timeout_s=240)
    try:
        examples = Convert().invoke(
            [
                {"messages": [HumanMessage(f"Is {number} even?"), AIMessage("Yes")]}
                for number in range(CHATS)
            ]
        )
        tuning = FineTune(model="nano", engine="local", reuse=False)
        jobs = []
        submit = f"FineTune.submit of {CHATS} chats"
        found[submit] = touched(lambda: jobs.append(tuning.submit(examples)))
        found["Job.status()"] = touched(jobs[0].status)
        for job in jobs:
            job.cancel()
    finally:
        stop_engine()
    return found


def main() -> None:
    """Print each path with the number of files it touches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the files")
    names = parser.parse_args().list
    with tempfile.TemporaryDirectory() as folder, noted():
        home = Path(folder)
        found = client_paths(home) | asyncio.run(server_paths(home / "served"))
    for path in PATHS:
        files = found[path]
        print(f"{path}, {len(files)}")
        if names:
            print("".join(f"    {name}\n" for name in files), end="")


if __name__ == "__main__":
    main()
