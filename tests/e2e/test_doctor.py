"""`doctor` tells the truth: of extras, keys, files and ports, and of a core-only install."""

import importlib.metadata
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock
from packaging.requirements import Requirement

from langchain_finetune.cli import doctor_home
from langchain_finetune.extras import install_command
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.home import RunningEngine
from support.command_line import runs_command


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("LCFT_HOME", str(home))
    for name in ("LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "LCFT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def found(monkeypatch, capsys):
    """Return the exit code, and the findings by name."""

    def run():
        ran = runs_command(monkeypatch, capsys)("doctor", "--json")
        findings = {}
        for each in ran.json:
            findings.setdefault(each["what"], each)
        return ran.code, findings

    return run


def test_a_healthy_home_lists_each_extra_and_what_the_machine_can_train(own_home, found):
    code, findings = found()
    assert code == 0
    extras = {"community", "dedup", "files", "gguf", "langserve", "local"} | {
        "fireworks",
        "langfuse",
        "mlflow",
        "opik",
        "phoenix",
        "postgres",
        "qlora",
        "ray",
        "tinker",
        "together",
    }
    assert {each.removeprefix("extra ") for each in findings if each.startswith("extra")} == extras
    assert re.search(r"up to about \d+\.\d B parameters", findings["training"]["detail"])
    assert {"openai", "azure", "nebius", "together", "tinker", "fireworks"} <= {
        each.removeprefix("engine ") for each in findings
    }


def test_a_wrong_key_in_the_environment_is_named_as_the_culprit(engine, found, monkeypatch):
    monkeypatch.setenv("LCFT_API_KEY", "not-the-engines")
    code, findings = found()
    told = findings["embedded engine"]
    assert (code, told["state"]) == (1, "bad")
    assert "does not accept the key in LCFT_API_KEY: unset" in told["detail"]


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"lcft-key", 0o644, "chmod 600"),
        (b"", 0o600, "is empty"),
        (b"\xff\xfe", 0o600, "can't be read"),
    ],
)
def test_a_key_file_that_is_not_right_is_told(own_home, found, content, mode, said):
    (own_home / "api_key").write_bytes(content)
    (own_home / "api_key").chmod(mode)
    code, findings = found()
    assert (code, findings["engine's key"]["state"]) == (1, "bad")
    assert said in findings["engine's key"]["detail"]
    # Then the engine, the default way, can't start.
    assert findings["embedded engine"]["state"] == "bad"
    assert findings["embedded engine"]["detail"].endswith("before this is mended: engine's key")


def test_a_home_that_can_not_be_used_is_told_of_the_engine_too(own_home, found):
    own_home.rmdir()
    own_home.touch()
    code, findings = found()
    assert (code, findings["home"]["state"]) == (1, "bad")
    assert "can't start before this is mended: home" in findings["embedded engine"]["detail"]


def test_jobs_that_wait_for_the_disk_are_told(own_home, found):
    """As the engine itself tells it while another program holds its file."""
    state = {"pid": os.getpid(), "jobs": "waiting for a locked or failing disk"}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(state if self.path == "/health" else {"data": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    (own_home / "api_key").write_text("lcft-key")
    (own_home / "api_key").chmod(0o600)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever).start()
        RunningEngine(f"http://127.0.0.1:{server.server_port}", os.getpid(), "1").write(own_home)
        with FileLock(own_home / "engine.lock"):
            code, findings = found()
            told = findings["engine's jobs"]
            state["jobs"] = "ok"
            assert "engine's jobs" not in found()[1]
        server.shutdown()
    assert (code, told["state"]) == (1, "bad")
    assert "waiting for a locked or failing disk: end the program that holds" in told["detail"]


@pytest.mark.parametrize("name", ["engine.sqlite", "runs.sqlite", "ledger.sqlite"])
def test_files_of_newer_versions_and_of_none_are_told(own_home, found, name):
    with closing(sqlite3.connect(own_home / name)) as database:
        database.execute("PRAGMA user_version = 99")
    code, findings = found()
    told = findings["files of the home"]
    assert (code, told["state"]) == (1, "bad")
    assert f"{name} has version 99" in told["detail"]
    (own_home / name).write_bytes(b"no database" * 100)
    code, findings = found()
    assert code == 1
    assert f"{name} can't be read" in findings["files of the home"]["detail"]


def test_a_server_of_the_run_store_is_told(found, monkeypatch):
    assert "run store" not in found()[1]
    monkeypatch.setenv("LCFT_STORE", "postgresql://me:s3cret@127.0.0.1:1/runs")
    code, findings = found()
    assert (code, findings["run store"]["state"]) == (1, "bad")
    assert "at 127.0.0.1, port 1, database runs can't be opened" in findings["run store"]["detail"]
    assert "s3cret" not in str(findings)


def test_a_newer_ledger_is_not_written_to(own_home):
    ledger = Ledger(own_home)
    assert ledger.entries() == []
    with closing(sqlite3.connect(ledger.path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(Exception, match="upgrade langchain-finetune"):
        ledger.begin_upload("a", "b")


def test_an_engine_that_hangs_is_told(own_home, found):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        RunningEngine(url, os.getpid(), "1").write(own_home)
        with FileLock(own_home / "engine.lock"):
            code, findings = found()
    told = findings["embedded engine"]
    assert (code, told["state"]) == (1, "bad")
    assert "does not answer" in told["detail"]
    assert "langchain-finetune stop" in told["detail"]


def test_a_port_that_another_program_has_is_told(own_home, found):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        (own_home / "port").write_text(str(other.getsockname()[1]))
        code, findings = found()
    assert (code, findings["engine's port"]["state"]) == (0, "note")
    assert "is taken by another program" in findings["engine's port"]["detail"]


def core_only(folder):
    """Fill a folder with what an install without extras has, as links; return the folder."""
    wanted, seen = ["langchain-finetune"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for text in distribution.requires or ():
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                wanted.append(required.name.lower().replace("_", "-"))
        for file in distribution.files or ():
            place = Path(distribution.locate_file(file.parts[0]))
            link = folder / file.parts[0]
            if ".." not in file.parts and not link.exists():
                link.symlink_to(place)
    package = Path(__file__).parents[2] / "langchain_finetune"
    (folder / "langchain_finetune").symlink_to(package)
    return folder


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    folder = core_only(tmp_path_factory.mktemp("core"))

    def run(code, *arguments, **environment):
        start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        return subprocess.run(
            [sys.executable, "-S", "-c", start + code, *arguments],
            env={**os.environ, "PYTHONPATH": "", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_a_core_only_install_can_not_start_the_engine_and_says_so(core, tmp_path):
    code = "from langchain_finetune.cli import main; main()"
    ran = core(code, "doctor", "--json", LCFT_HOME=str(tmp_path / "home"))
    assert ran.returncode == 1, ran.stderr
    findings = {each["what"]: each for each in json.loads(ran.stdout)}
    assert findings["embedded engine"]["state"] == "bad"
    assert "can't start" in findings["embedded engine"]["detail"]
    assert "[local]'" in findings["embedded engine"]["detail"]
    for extra in ("local", "files", "dedup", "community", "langserve"):
        assert f"[{extra}]'" in findings[f"extra {extra}"]["detail"]
    assert findings["required packages"]["state"] == "good"


EVERY_NAME = """
import importlib, pkgutil
import langchain_finetune as package
for name in package.__all__:
    getattr(package, name)
rooms = "cli convert dialects engines evaluation finetune loaders migration rollout"
for room in rooms.split():
    inner = importlib.import_module(f"langchain_finetune.{room}")
    for module in pkgutil.walk_packages(inner.__path__, f"langchain_finetune.{room}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


def test_a_core_only_install_has_every_public_name_and_command(core, tmp_path):
    ran = core(EVERY_NAME, LCFT_HOME=str(tmp_path / "home"))
    assert ran.returncode == 0, ran.stderr


MISSING = [
    ("from langchain_finetune.langserve import add_finetune_routes", "langserve"),
    ("from langchain_finetune.langserve.serializer import FineTuneSerializer", "langserve"),
    ("from langchain_finetune import RunFileChatLoader as L; list(L('x.parquet').lazy_load())",
     "files"),
    ("from langchain_finetune import LossCurve; LossCurve([]).save('x.png')", "local"),
    ("from langchain_finetune.local.server import serve; serve()", "local"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "extra"), MISSING)
def test_a_missing_extra_is_one_sentence_with_the_right_command(core, tmp_path, code, extra):
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(40))
    home = {"LCFT_HOME": str(tmp_path / "home")}
    ran = core(f"import os; os.chdir({str(tmp_path)!r})\n{code}", **home)
    last = ran.stderr.strip().splitlines()[-1]
    assert "needs" in last, ran.stderr
    # It is installed from this clone.
    assert re.search(rf"pip install (-e )?'.*\[{extra}\]'", last), last


def installed_as(folder, monkeypatch, *requirements, origin=None):
    """Let the package look as if it was installed with these requirements, from this origin."""
    info = folder / "langchain_finetune-9.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: langchain-finetune", "Version: 9"]
    lines += [f"Requires-Dist: {each}" for each in requirements]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if origin is not None:
        (info / "direct_url.json").write_text(origin)
    monkeypatch.syspath_prepend(str(folder))


def test_packages_that_are_missing_or_too_old_are_told(own_home, found, monkeypatch, tmp_path):
    installed_as(tmp_path, monkeypatch, "openai>=99", "no-such-package>=1", "pydantic>=1")
    code, findings = found()
    told = findings["required packages"]
    assert (code, told["state"]) == (1, "bad")
    version = importlib.metadata.version("openai")
    assert f"openai {version} does not meet >=99; no-such-package is missing" in told["detail"]
    assert "run pip install --upgrade langchain-finetune" in told["detail"]


def test_an_engine_whose_extra_is_not_there_is_told(own_home, found, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, findings = found()
    assert (code, findings["embedded engine"]["state"]) == (1, "bad")
    assert "can't start. The embedded engine needs uvicorn" in findings["embedded engine"]["detail"]


def test_an_address_that_is_none_is_told_without_being_quoted(own_home, found, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", "user:SECRET@nowhere")
    code, findings = found()
    assert (code, findings["engine openai"]["state"]) == (1, "bad")
    assert "SECRET" not in findings["engine openai"]["detail"]


def test_a_small_disk_and_a_free_port_are_told(own_home, found, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (own_home / "port").write_text(str(port))
    monkeypatch.setattr(doctor_home, "_MIN_FREE_GB", 1e9)
    code, findings = found()
    assert code == 0
    assert findings["home"]["detail"].endswith("GB free; a training may need more")
    assert findings["engine's port"]["detail"] == f"{port} is free"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'langchain-finetune[local]'"),
        ("{", "pip install 'langchain-finetune[local]'"),
        ('{"url": "file:///no/such/folder"}', "pip install 'langchain-finetune[local]'"),
        (
            '{"url": "https://example.com/a.git", "vcs_info": {"vcs": "git"}}',
            "pip install 'langchain-finetune[local] @ git+https://example.com/a.git'",
        ),
    ],
)
def test_the_command_for_an_extra_fits_how_the_package_was_installed(
    tmp_path, monkeypatch, origin, command
):
    installed_as(tmp_path, monkeypatch, origin=origin)
    assert install_command("local") == command


def test_a_folder_is_named_as_it_was_installed(tmp_path, monkeypatch):
    origin = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    installed_as(tmp_path, monkeypatch, origin=origin)
    assert install_command("local") == f"pip install -e '{tmp_path}[local]'"
