"""No key and no training text in logs, traces, errors, or the ledger; only in the spool."""

import json
import logging
import sqlite3
import traceback
from contextlib import closing

import pytest
from fastapi import FastAPI
from langchain_core.tracers import LangChainTracer
from langsmith import Client

from langchain_finetune import Convert, FineTune, FineTuningError
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.store import RunStore, create_store_router
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine, app_of, refusal
from support.servers import served

KEY = "sk-canary-0123456789abcdef"
TEXT = "canary question {n}"
BAD = {
    "refused": lambda _: refusal(400, "No."),
    "broken": lambda _: refusal(500, "No."),
    "wrong key": lambda _: refusal(401, "No."),
    "not for you": lambda _: refusal(403, "No.", "training_not_available"),
}


@pytest.fixture
def traced(tmp_path):
    """A tracer that really sends, and what was sent of it."""
    app = FastAPI()
    app.include_router(create_store_router(RunStore(tmp_path / "runs.db")))
    with served(app) as url:
        client = Client(api_url=url, api_key="any")

        def sent():
            client.flush()
            kept = [path.read_bytes() for path in tmp_path.glob("runs.db*")]
            return b"".join(kept).decode("utf-8", "replace")

        yield LangChainTracer(project_name="jobs", client=client), sent
        client.cleanup()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def chain_of(url):
    return FineTune(model="m", base_url=f"{url}/v1", api_key=KEY)


@pytest.mark.parametrize("fault", [None, *BAD])
@pytest.mark.parametrize("path", ["/jobs", "/files"])
def test_neither_key_nor_text_leaves_its_place(home, traced, caplog, capfd, fault, path):
    engine, (tracer, sent) = LightEngine(now=1.0), traced

    def handler(request):
        if fault and request.method == "POST" and request.url.path.endswith(path):
            return BAD[fault](request)
        return engine(request)

    caplog.set_level(logging.DEBUG)
    said = []
    with served(app_of(handler)) as url, quick_flows():
        step = chain_of(url)
        try:
            model = step.invoke(Convert().invoke(chats(text=TEXT)), {"callbacks": [tracer]})
            said += [
                repr(model),
                str(model.metadata),
                step.submit(Convert().invoke(chats(text=TEXT))),
            ]
        except FineTuningError as error:
            assert fault
            said += traceback.format_exception(error)
    said += [record.getMessage() for record in caplog.records]
    tracer.wait_for_futures()
    traces = sent()
    assert "FineTune" in traces
    said += [traces, *capfd.readouterr()]
    said += [str(row) for row in ledger_rows(home / "ledger.sqlite")]
    said += [path.name for path in home.rglob("*")]
    for text in said:
        assert KEY not in str(text)
        assert "canary question" not in str(text)
    files = [path for path in home.rglob("*") if path.is_file()]
    holds_text = {path.relative_to(home).parts[0] for path in files if holds(path)}
    assert holds_text == {"spool"}


def holds(path):
    content = path.read_bytes()
    assert KEY.encode() not in content
    return b"canary question" in content


def ledger_rows(path):
    with closing(sqlite3.connect(path)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master").fetchall():
            if not table.startswith(("sqlite_", "by_")):
                yield from database.execute(f"SELECT * FROM {table}").fetchall()


def test_what_goes_into_the_jobs_metadata_is_small_and_of_ids_only(home):
    engine = LightEngine(now=1.0)
    with served(app_of(engine)) as url, quick_flows():
        chain_of(url).submit(Convert().invoke(chats(text=TEXT)))
    [job] = engine.jobs.values()
    assert set(job["metadata"]) == {"training_sha256", "examples", "fingerprint", "submission"}
    assert len(job["metadata"]) <= 16
    assert all(len(key) <= 64 and len(value) <= 512 for key, value in job["metadata"].items())
    assert "canary" not in json.dumps(job["metadata"])
    assert (home / "ledger.sqlite").stat().st_mode & 0o077 == 0
