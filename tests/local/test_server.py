"""The engine's process: start, stop, lock, address and refusals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from openai import OpenAI
from starlette.testclient import TestClient

from langchain_finetune.errors import EngineError, MissingExtraError
from langchain_finetune.home import HOME_VARIABLE, RunningEngine
from langchain_finetune.local.auth.guard import install_error_handlers
from langchain_finetune.local.page.render_html import render_page
from langchain_finetune.local.server import parse_aliases, serve

ENGINE = (sys.executable, "-m", "langchain_finetune.local", "--home")


def test_start_kill_start_stop(start):
    with start(stop=False) as engine:
        assert engine.url.startswith("http://127.0.0.1:")
        engine.process.kill()
        engine.process.wait()
    # What a killed engine left is not believed: another program may listen there.
    assert RunningEngine.read(engine.home) is None
    with start(stop=False) as again:
        assert RunningEngine.read(again.home).pid == again.process.pid
        assert again.key == engine.key
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(60) == 0
    assert RunningEngine.read(again.home) is None
    assert "Traceback" not in engine.log()


def test_a_second_engine_on_the_same_home_names_the_first(engine):
    second = subprocess.run(
        [*ENGINE, str(engine.home)], capture_output=True, text=True, check=False, timeout=120
    )
    assert second.returncode == 3
    assert second.stderr == (
        f"Another engine is running on this home at {engine.url}: stop it with "
        "`langchain-finetune stop`, or choose another home.\n"
    )
    assert RunningEngine.read(engine.home).url == engine.url


def test_serve_tells_its_address_as_json_once_it_answers(tmp_path):
    command = [sys.executable, "-m", "langchain_finetune.cli", "serve", "--json"]
    environment = {**os.environ, HOME_VARIABLE: str(tmp_path / "home")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as server:
        try:
            told = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")
            key = Path(told["api_key_file"]).read_text().strip()
            with OpenAI(base_url=told["base_url"], api_key=key) as client:
                assert "nano" in [model.id for model in client.models.list()]
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert server.stdout.read() == ""


def test_serve_says_that_it_serves_only_once_it_does(tmp_path):
    environment = {**os.environ, HOME_VARIABLE: str(tmp_path / "home")}
    command = [sys.executable, "-m", "langchain_finetune.cli", "serve"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        failed = subprocess.run(
            [*command, "--port", port], env=environment, capture_output=True, text=True, check=False
        )
    assert failed.returncode == 1
    assert "Serving" not in failed.stderr
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as server:
        told = next(line for line in server.stderr if line.startswith("Serving at "))
        url = told.removeprefix("Serving at ").partition(": the web page")[0]
        assert httpx2.get(f"{url}/health").status_code == 200
        server.send_signal(signal.SIGINT)
        server.stderr.read()
        assert server.wait(60) == 0


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"Cannot listen on port {port}"):
            serve(tmp_path, port=port)
    assert not (tmp_path / "engine.json").exists()
    with pytest.raises(EngineError, match="port 99999"):
        serve(tmp_path, port=99999)


def test_a_limit_of_the_run_store_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LCFT_KEEP_RUNS_DAYS", "many")
    with pytest.raises(EngineError, match="KEEP_RUNS_DAYS must be a number above zero"):
        serve(tmp_path)
    assert not (tmp_path / "engine.json").exists()


def test_a_store_that_is_no_server_is_refused_without_its_password(tmp_path):
    environment = {**os.environ, HOME_VARIABLE: str(tmp_path / "home")}
    command = [sys.executable, "-m", "langchain_finetune.cli", "serve"]
    address = "mysql://me:s3cret@db/runs"
    for more, variables in ((["--store", address], {}), ([], {"LCFT_STORE": address})):
        failed = subprocess.run(
            [*command, *more],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        told = " ".join(failed.stderr.split())
        assert failed.returncode == 1
        assert "must be like postgresql://user@host/database" in told
        assert "s3cret" not in told


def test_the_extra_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "trl" else name)
    with pytest.raises(MissingExtraError, match=r"needs trl: run pip install .*\[local\]'"):
        serve(tmp_path)


def test_aliases():
    assert parse_aliases(["a=b", " c = ft:x=y ", ""]) == {"a": "b", "c": "ft:x=y"}
    for bad in ("a", "=b", "a="):
        with pytest.raises(EngineError, match="name=model"):
            parse_aliases([bad])


def test_imports_load_nothing_heavy():
    code = """if True:
        import sys, langchain_finetune
        before = set(sys.modules)
        import langchain_finetune.local.server
        print({"fastapi", "uvicorn"} & (set(sys.modules) - before))
        import langchain_finetune.local.app
        print({"torch", "transformers", "trl", "datasets"} & set(sys.modules))
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\nset()\n"


def test_command_line(tmp_path):
    environment = os.environ | {"LCFT_ALIASES": "a=nano,b=nano"}
    log = tmp_path / "a.log"
    options = ["--alias", "c=nano", "--log-file", str(log)]
    with subprocess.Popen([*ENGINE, str(tmp_path), *options], env=environment) as process:
        try:
            while not RunningEngine.read(tmp_path):
                assert process.poll() is None
                time.sleep(0.05)
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "The engine is at http://127.0.0.1:" in log.read_text()


def test_the_next_start_takes_the_same_port_if_it_is_free(start):
    with start() as first:
        url = first.url
    with start() as second:
        assert second.url == url
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        with start() as third:
            assert third.url != url


def test_health_answers_head(engine):
    answer = httpx2.head(f"{engine.url}/health", trust_env=False)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_full_disk_is_told():
    app = FastAPI()
    install_error_handlers(app, render_page)

    @app.post("/full")
    def full():
        with Path("/dev/full").open("wb") as out:
            out.write(b"x")

    @app.post("/broken")
    async def broken():
        raise PermissionError("secret")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/full")
        assert answer.status_code == 507
        assert answer.json()["error"]["code"] == "insufficient_disk_space"
        assert client.post("/broken").status_code == 500
