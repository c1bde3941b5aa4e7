"""`doctor`: checks the installation, and recommends fixes."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer

from langchain_finetune.cli.output import AsJson, print_aligned, print_json
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.local import find_engine
from langchain_finetune.errors import EngineError, FineTuningError, LoadError
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.loaders.langsmith_client import reading, reading_client

_EXTRAS = {
    "local": ("torch", "transformers", "trl", "peft"),
    "files": ("pyarrow", "zstandard"),
    "community": ("langchain-community",),
    "langserve": ("langserve", "sse-starlette"),
}
_MIN_FREE_GB = 3
_MARKS = {"good": "ok", "note": "--", "bad": "!!"}


@dataclass(frozen=True)
class Diagnosis:
    """One check, its result (`bad` makes the command fail), and what to do."""

    what: str
    state: Literal["good", "note", "bad"]
    detail: str


def doctor(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Check the installation: home, extras, engine, keys. Exits with 1 if a check fails."""
    findings = [*_basics(), *_extras(), _engine(), _langsmith(), _openai()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_aligned([(_MARKS[each.state], each.what, each.detail) for each in findings])
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _basics() -> Iterator[Diagnosis]:
    yield Diagnosis("Python", "good", f"{platform.python_version()} on {platform.platform()}")
    for package in ("langchain-finetune", "langchain-core", "langchain-openai", "langsmith"):
        yield _package(package, missing="bad")
    home = home_path()
    try:
        ensure_home(home)
    except FineTuningError as error:
        yield Diagnosis("home", "bad", str(error))
        return
    free = shutil.disk_usage(home).free / 1e9
    state: Literal["good", "note"] = "good" if free >= _MIN_FREE_GB else "note"
    yield Diagnosis("home", state, f"{home}, {free:.1f} GB free")


def _extras() -> Iterator[Diagnosis]:
    for extra, packages in _EXTRAS.items():
        found = [_package(package, missing="note") for package in packages]
        if all(finding.state == "good" for finding in found):
            detail = ", ".join(f"{finding.what} {finding.detail}" for finding in found)
            yield Diagnosis(f"extra {extra}", "good", detail)
        else:
            detail = f"not installed: pip install 'langchain-finetune[{extra}]'"
            yield Diagnosis(f"extra {extra}", "note", detail)


def _engine() -> Diagnosis:
    try:
        address = find_engine(home_path())
    except EngineError as error:
        return Diagnosis("embedded engine", "bad", str(error))
    detail = f"running at {address.url}" if address else "not running; started when needed"
    return Diagnosis("embedded engine", "good", detail)


def _langsmith() -> Diagnosis:
    if not (os.environ.get("LANGSMITH_API_KEY") or os.environ.get("LANGSMITH_ENDPOINT")):
        detail = "LANGSMITH_API_KEY is not set; only needed to read runs from LangSmith"
        return Diagnosis("LangSmith", "note", detail)
    try:
        client = reading_client()
        with reading(client, "its projects"):
            list(client.list_projects(limit=1))
    except LoadError as error:
        return Diagnosis("LangSmith", "bad", str(error))
    return Diagnosis("LangSmith", "good", f"available at {client.api_url}")


def _openai() -> Diagnosis:
    # The key is not tested, since that would be a request to the user's account.
    if not os.environ.get("OPENAI_API_KEY"):
        detail = "OPENAI_API_KEY is not set; not needed for the engine local"
        return Diagnosis("hosted engine", "note", detail)
    try:
        address = engine_of("openai").default_base_url()
    except FineTuningError as error:
        return Diagnosis("hosted engine", "bad", str(error))
    return Diagnosis("hosted engine", "good", f"OPENAI_API_KEY is set, for {address}")


def _package(name: str, *, missing: Literal["note", "bad"]) -> Diagnosis:
    try:
        return Diagnosis(name, "good", version(name))
    except PackageNotFoundError:
        return Diagnosis(name, missing, "not installed")
