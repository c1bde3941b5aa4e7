"""`doctor`'s checks of the home: its folder, key, port and files."""

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from langchain_finetune.cli.doctor_findings import Diagnosis
from langchain_finetune.engines.local import find_engine
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.ledger import NAME as LEDGER
from langchain_finetune.finetune.ledger import VERSION as LEDGER_VERSION
from langchain_finetune.home import HOME_VARIABLE, KEY_VARIABLE, check_key, ensure_home
from langchain_finetune.local.addresses import LOOPBACK

_MIN_FREE_GB = 3


def home_findings(home: Path) -> Iterator[Diagnosis]:
    """Yield the findings of a home, which is created if it does not exist."""
    try:
        ensure_home(home)
    except FineTuningError as error:
        yield Diagnosis("home", "bad", str(error))
        return
    free = shutil.disk_usage(home).free / 1e9
    detail = f"{home}, {free:.1f} GB free"
    if free < _MIN_FREE_GB:
        yield Diagnosis("home", "note", f"{detail}; a training may need more")
    else:
        yield Diagnosis("home", "good", detail)
    yield _key(home)
    yield from _files(home)
    yield from _port(home)


def _key(home: Path) -> Diagnosis:
    try:
        key = check_key(home)
    except FineTuningError as error:
        return Diagnosis("engine's key", "bad", str(error))
    if os.environ.get(KEY_VARIABLE):
        return Diagnosis("engine's key", "good", f"in {KEY_VARIABLE}")
    if key is None:
        return Diagnosis("engine's key", "good", "none yet; made when the engine starts")
    return Diagnosis("engine's key", "good", f"in {home / 'api_key'}, for its owner only")


def _files(home: Path) -> Iterator[Diagnosis]:
    """Check that each database of the home is one, and not of a newer version."""
    faults = []
    for name, newest in _versions():
        path = home / name
        if not path.exists():
            continue
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
                found = database.execute("PRAGMA user_version").fetchone()[0]
                database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            advice = f"move it away, or set {HOME_VARIABLE} to another folder"
            faults.append(f"{name} can't be read ({error}): {advice}")
            continue
        if found > newest:
            faults.append(
                f"{name} has version {found}, and this version of langchain-finetune reads up to "
                f"{newest}: upgrade langchain-finetune, or set {HOME_VARIABLE} to another folder"
            )
    for fault in faults:
        yield Diagnosis("files of the home", "bad", fault)
    if not faults:
        yield Diagnosis("files of the home", "good", "readable, of this version or older")


def _versions() -> Iterator[tuple[str, int]]:
    yield LEDGER, LEDGER_VERSION
    try:
        from langchain_finetune.local import documents  # noqa: PLC0415 - requires the extra
        from langchain_finetune.local.store import schema  # noqa: PLC0415 - requires the extra
    except ImportError:
        return
    yield "engine.sqlite", len(documents.MIGRATIONS)
    yield "runs.sqlite", len(schema.MIGRATIONS)


def _port(home: Path) -> Iterator[Diagnosis]:
    """Check that the engine can have the port of its models' addresses again."""
    try:
        port = int((home / "port").read_text())
        if find_engine(home) is not None:
            return
    except (OSError, ValueError, FineTuningError):
        return
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            detail = (
                f"{port} is taken by another program, so the engine will take another one; models "
                "from before have the old address. End that program to keep it"
            )
            yield Diagnosis("engine's port", "note", detail)
        else:
            yield Diagnosis("engine's port", "good", f"{port} is free")
