"""The embedded engine: finds the one that runs on this machine, or starts it.

The engine is a process of its own that outlives whoever starts it. Everything needed to find it
lies in its home: `engine.json` says where it listens, and its lock lets only one run. Without the
lock nothing is sent to that address: after a crash, somebody else may listen there.
"""

import datetime as dt
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from langchain_finetune.checks import LOCAL
from langchain_finetune.engines.access import Access
from langchain_finetune.engines.base import Pace
from langchain_finetune.engines.flow import Flow, Retry, finished
from langchain_finetune.engines.jobs import ENDED, ListPage, RemoteJob
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine, remote_job
from langchain_finetune.engines.prices import Price, Speed
from langchain_finetune.errors import (
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
)
from langchain_finetune.extras import require_modules
from langchain_finetune.home import (
    KEY_VARIABLE,
    RunningEngine,
    ensure_home,
    holds_lock,
    home_path,
    read_key,
)
from langchain_finetune.local.base_library import NANO, added_base
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import METHODS, Hyperparameters

_ANOTHER_ENGINE = 3
_POLL_S = 0.05
_TELL_S = 5.0
_HANGS_S = 15.0
"""After which an engine that runs and does not answer is given up; it may only be busy."""
_GRACE_S = 3.0
_STRANGER = "is another program"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineAddress:
    """Root of an engine, such as `http://127.0.0.1:8765`, for LangSmith's clients, and its key."""

    url: str
    api_key: SecretStr

    @property
    def base_url(self) -> str:
        """Where OpenAI's API is, for OpenAI's clients."""
        return f"{self.url}/v1"


def find_engine(home: Path | None = None) -> EngineAddress | None:
    """Return the running engine of a home, or None.

    Raises:
        EngineAuthenticationError: Its key is in an environment that is not this one.
    """
    home = home or home_path()
    running = _find(home)
    if running is None:
        return None
    key = read_key(home)
    if key is None:
        raise EngineAuthenticationError(
            f"The engine at {running.url} was started with a key from {KEY_VARIABLE}: set it here "
            "to the same, or stop that engine."
        )
    return EngineAddress(running.url, key)


def ensure_engine(home: Path | None = None, *, timeout_s: float = 60) -> EngineAddress:
    """Return the engine of a home, by default `home_path()`; start it if it is not running.

    What it waits for is logged after some seconds.

    Raises:
        EngineUnreachableError: It can't be started, with the last line of its log; or the one that
            runs does not answer, with its process id.
    """
    home = (home or home_path()).absolute()
    began = time.monotonic()
    deadline = began + timeout_s
    told = False
    process: subprocess.Popen[bytes] | None = None
    while (found := find_engine(home)) is None:
        if process is None:
            process = _start(home)
        status = process.poll()
        if status == _ANOTHER_ENGINE:
            # Another caller was quicker, or an engine is just ending: look again, then retry.
            process = None
            time.sleep(1.0)
        elif status is not None:
            raise EngineUnreachableError(f"The embedded engine can't be started: {_hint(home)}")
        if time.monotonic() > deadline:
            raise EngineUnreachableError(
                f"The embedded engine did not answer within {timeout_s:g} s: "
                f"{hanging_engine(home) or _hint(home)}"
            )
        if time.monotonic() > began + _HANGS_S and (hanging := hanging_engine(home)):
            waited = f"{time.monotonic() - began:.0f} s"
            raise EngineUnreachableError(
                f"The embedded engine did not answer within {waited}: {hanging}"
            )
        if not told and time.monotonic() > began + _TELL_S:
            what = hanging_engine(home) or f"it is starting, see {home / 'engine.log'}"
            logger.warning("Waiting up to %g s for the embedded engine: %s", timeout_s, what)
            told = True
        time.sleep(_POLL_S)
    return found


def stop_engine(home: Path | None = None, *, timeout_s: float = 20) -> bool:
    """Stop the engine of a home, and return whether one ran; its job continues at the next start.

    One that is starting is stopped once it has started, and one that does not answer is killed if
    it does not stop within some seconds.

    Raises:
        EngineError: It did not stop in time.
    """
    home = home or home_path()
    deadline = time.monotonic() + timeout_s
    while (running := RunningEngine.read(home)) is None:
        if not holds_lock(home):
            return False
        if time.monotonic() > deadline:
            raise EngineError(f"The engine is still starting; see {home / 'engine.log'}.")
        time.sleep(_POLL_S)
    fault = _fault(running)
    if fault == _STRANGER or (fault and not _has_lock(running.pid, home)):
        return False
    os.kill(running.pid, signal.SIGTERM)
    grace = time.monotonic() + _GRACE_S
    # The engine gives its lock back as its last act.
    while holds_lock(home) and RunningEngine.read(home) in {None, running}:
        if fault and time.monotonic() > grace:
            os.kill(running.pid, signal.SIGKILL)
        if time.monotonic() > max(deadline, grace + _GRACE_S):
            raise EngineError(f"The engine (process {running.pid}) does not stop; kill it.")
        time.sleep(_POLL_S)
    return True


def _has_lock(pid: int, home: Path) -> bool:
    """Return whether a process has the engine's lock open: a file may name one that ended.

    Raises:
        MissingExtraError: psutil is missing.
    """
    require_modules("Stopping an engine that does not answer", "local", "psutil")
    import psutil  # noqa: PLC0415 - requires the extra

    try:
        opened = psutil.Process(pid).open_files()
    except psutil.Error:
        return False
    lock = (home / "engine.lock").resolve()
    return any(Path(each.path).resolve() == lock for each in opened)


def stored_jobs(home: Path) -> list[RemoteJob]:
    """Return the jobs of a home whose engine is stopped, newest first.

    One that was running is `queued`: it goes on when the engine is started again.

    Raises:
        EngineError: The engine's file can't be read.
    """
    path = home.absolute() / "engine.sqlite"
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT body FROM jobs ORDER BY seq DESC").fetchall()
        return [_stored_job(json.loads(body)) for (body,) in rows]
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise EngineError(f"The engine's jobs in {path} can't be read: {error}.") from error


def _stored_job(body: dict[str, object]) -> RemoteJob:
    error = body.get("error")
    fields = {
        **body,
        "status": body["status"] if body["status"] in {*ENDED, "paused"} else "queued",
        "error": SimpleNamespace(**error) if isinstance(error, dict) else None,
    }
    return remote_job(SimpleNamespace(**fields))


def _find(home: Path) -> RunningEngine | None:
    """Return the engine that `engine.json` names, if it is the one that answers there."""
    running = RunningEngine.read(home)
    return running if running and not _fault(running) else None


def hanging_engine(home: Path) -> str:
    """Return what is wrong with an engine that runs and does not answer; nothing if none runs."""
    running = RunningEngine.read(home)
    fault = _fault(running) if running else ""
    if not running or not fault:
        return ""
    return (
        f"the one at {running.url} (process {running.pid}) {fault}. Wait, or run "
        "`langchain-finetune stop`; its jobs go on with the next start."
    )


def state_of_jobs(home: Path) -> str:
    """Return what the running engine of a home says of its jobs, `ok` or what they wait for.

    It is `ok`, too, where no engine runs.
    """
    running = RunningEngine.read(home)
    try:
        return str(_health(running).get("jobs", "ok")) if running else "ok"
    except OSError:
        return "ok"


def _fault(running: RunningEngine) -> str:
    """Return why what answers at an engine's address is not that engine; nothing if it is."""
    try:
        health = _health(running)
    except OSError as error:
        return f"does not answer ({getattr(error, 'reason', error)})"
    # After a crash, another program (or the engine of another home) may have got the port.
    return "" if health.get("pid") == running.pid else _STRANGER


def _health(running: RunningEngine) -> Mapping[str, object]:
    # Without the environment's proxies: the engine is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{running.url}/health", timeout=5.0) as answer:
        try:
            health = json.load(answer)
        except ValueError:
            return {}
    return health if isinstance(health, dict) else {}


def _start(home: Path) -> subprocess.Popen[bytes]:
    ensure_home(home)
    with (home / "engine.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 our own module
            [sys.executable, "-m", "langchain_finetune.local", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
        )
    # Takes note of its end, so that it does not stay behind as a zombie of this process.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def _hint(home: Path) -> str:
    """Return the last line of the engine's log, and the path of the log."""
    log = home / "engine.log"
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    last = lines[-1] if lines else "its log is empty"
    return f"{last} (see {log})"


def jobs_trained_at(
    host: str | None,
    listing: Callable[[str | None], Flow[ListPage[RemoteJob]]],
    after: str | None,
) -> Flow[ListPage[RemoteJob]]:
    """Return the next page that has jobs of a host, or of this machine for None."""
    while True:
        page = yield from listing(after)
        own = [job for job in page.entries if job.trained_at == host]
        if own or page.after is None:
            return replace(page, entries=own)
        after = page.after


_SPEED_SOURCE = "measured on 2 CPU cores without a GPU, 2026-11; a GPU is many times as fast"
_OTHER_PARAMETERS = 600_000_000
"""Taken for a base of unknown size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _LocalEngine(OpenAICompatibleEngine):
    def access(self, base_url: str | None, api_key: SecretStr | None) -> Access:
        """Find the engine, or start it."""
        del base_url, api_key
        found = ensure_engine(home_path())
        return Access(found.base_url, found.api_key)

    def reconnect(self, client: OpenAI | AsyncOpenAI) -> None:
        """Start the engine again if it has stopped; it may listen elsewhere then."""
        client.base_url = ensure_engine(home_path()).base_url

    def account(self, access: Access, client: object) -> str:
        """Return a fixed name: the engine may listen elsewhere tomorrow, its ledger is at home."""
        del access, client
        return self.name

    def price(self, names: list[str], base_url: str | None) -> Price | None:
        """Return that it costs nothing."""
        del names, base_url
        return Price(usd=0.0, source="your own machine; its power is not counted")

    def usual_epochs(self, base: str, examples: int) -> tuple[int, str]:
        """Return the epochs of the engine's own plan."""
        speed = self.speeds.get(base)
        parameters = speed.parameters if speed else _OTHER_PARAMETERS
        plan = make_plan(Hyperparameters(), examples=max(1, examples), parameters=parameters)
        return plan.n_epochs, "the engine's own choice"

    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the jobs that are trained here; those of a host are its engine's."""
        return jobs_trained_at(None, partial(super().jobs, metadata), after)

    def base_of(self, model: str) -> str:
        """Return a folder's absolute path: the engine does not run in this folder."""
        folder = Path(model).expanduser()
        known = model == NANO or added_base(model)
        return str(folder.resolve()) if folder.is_dir() and not known else model

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return nothing: its bases stay."""
        del base, today
        return finished([])


ENGINE = _LocalEngine(
    streams_usage=True,
    name="local",
    summary="the embedded engine on this machine, started when none runs",
    key_variable=KEY_VARIABLE,
    takes_base_url=False,
    profile=LOCAL,
    lines=tuple(method.lines[0] for method in METHODS.values()),
    # Above 100 M parameters with LoRA.
    speeds={
        NANO: Speed(2500.0, 1_200_000, _SPEED_SOURCE),
        "smollm2-135m": Speed(415.0, 135_000_000, _SPEED_SOURCE),
        "HuggingFaceTB/SmolLM2-135M-Instruct": Speed(415.0, 135_000_000, _SPEED_SOURCE),
        "Qwen/Qwen3-0.6B": Speed(139.0, 600_000_000, _SPEED_SOURCE),
    },
    pace=Pace(
        retry=Retry(first_s=0.2, longest_s=2.0),
        looks=(0.1, 0.5),
        poll_s=(0.5, 1.0),
        model_appears_s=0.0,
    ),
)
