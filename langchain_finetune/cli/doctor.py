"""`doctor`: checks the installation, and recommends fixes."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, metadata, version

import typer
from openai import OpenAI, OpenAIError
from packaging.requirements import Requirement

from langchain_finetune.cli.doctor_findings import Diagnosis
from langchain_finetune.cli.doctor_home import home_findings
from langchain_finetune.cli.output import AsJson, print_aligned, print_json
from langchain_finetune.engines import all_engines
from langchain_finetune.engines.local import find_engine, hanging_engine, state_of_jobs
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.errors import FineTuningError, LoadError, MissingExtraError
from langchain_finetune.extras import PACKAGE, install_command, require_modules
from langchain_finetune.home import home_path
from langchain_finetune.loaders.langsmith_client import reading, reading_client
from langchain_finetune.local.hardware import (
    PROCESS_BYTES,
    TRAINING_BYTES,
    device,
    model_memory,
)
from langchain_finetune.local.server import STORE_VARIABLE, require_extra
from langchain_finetune.local.training.machines.settings import read_machines

_MARKS = {"good": "ok", "note": "--", "bad": "!!"}


def doctor(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Check installation, home, engine and keys. Exits with 1 if a check fails.

    It also fails where the embedded engine, the default of `run`, can't start.
    """
    home = list(home_findings(home_path()))
    faults = [each.what for each in home if each.state == "bad"]
    store = list(_store())
    faults += [each.what for each in store if each.state == "bad"]
    findings = [*_packages(), *home, *store, *_extras(), *_engine(faults), _langsmith(), *_hosted()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_aligned([(_MARKS[each.state], each.what, each.detail) for each in findings])
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _packages() -> Iterator[Diagnosis]:
    yield Diagnosis("Python", "good", f"{platform.python_version()} on {platform.platform()}")
    yield Diagnosis(PACKAGE, "good", version(PACKAGE))
    faults = [fault for each in _requirements("") if (fault := _fault(each))]
    if faults:
        detail = f"{'; '.join(faults)}: run pip install --upgrade {PACKAGE}"
        yield Diagnosis("required packages", "bad", detail)
        return
    shown = ("langchain-core", "langchain-openai", "langsmith", "openai")
    detail = ", ".join(f"{name} {version(name)}" for name in shown)
    yield Diagnosis("required packages", "good", detail)


def _extras() -> Iterator[Diagnosis]:
    extras = metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra in sorted({*extras} - {"all"}):
        requirements = _requirements(extra)
        faults = [fault for each in requirements if (fault := _fault(each))]
        if faults:
            detail = f"not installed ({'; '.join(faults)}): {install_command(extra)}"
            yield Diagnosis(f"extra {extra}", "note", detail)
        else:
            detail = ", ".join(f"{each.name} {version(each.name)}" for each in requirements)
            yield Diagnosis(f"extra {extra}", "good", detail)


def _requirements(extra: str) -> list[Requirement]:
    """Return what an extra requires here, or the package itself for an empty name."""
    found = [Requirement(each) for each in metadata(PACKAGE).get_all("Requires-Dist") or []]
    return [
        each
        for each in found
        if ("extra" in str(each.marker)) == bool(extra)
        and (each.marker is None or each.marker.evaluate({"extra": extra}))
    ]


def _fault(wanted: Requirement) -> str | None:
    """Return what is wrong with a requirement, or None."""
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing"
    if wanted.specifier.contains(found, prereleases=True):
        return None
    return f"{wanted.name} {found} does not meet {wanted.specifier}"


def _store() -> Iterator[Diagnosis]:
    """Check the server of the run store, where there is one."""
    address = os.environ.get(STORE_VARIABLE, "").strip()
    if not address:
        return
    try:
        require_modules("A run store in PostgreSQL", "postgres", "psycopg")
        from langchain_finetune.local.store.postgres.opening import (  # noqa: PLC0415 - an extra
            server_state,
        )

        yield Diagnosis("run store", "good", server_state(address))
    except FineTuningError as error:
        yield Diagnosis("run store", "bad", str(error))


def _engine(faults: Sequence[str]) -> Iterator[Diagnosis]:
    """Check the engine, which can't start where something of its home has a fault."""
    try:
        require_extra()
        yield from _running_engine(faults)
    except MissingExtraError as error:
        yield Diagnosis("embedded engine", "bad", f"can't start. {error}")
    except FineTuningError as error:
        yield Diagnosis("embedded engine", "bad", str(error))
    else:
        yield _training()
        yield from _trainer()


def _running_engine(faults: Sequence[str]) -> Iterator[Diagnosis]:
    address = find_engine(home_path())
    if address is None and (hanging := hanging_engine(home_path())):
        yield Diagnosis("embedded engine", "bad", hanging)
        return
    if address is None and faults:
        detail = f"can't start before this is mended: {', '.join(dict.fromkeys(faults))}"
        yield Diagnosis("embedded engine", "bad", detail)
        return
    if address is None:
        yield Diagnosis("embedded engine", "good", "not running; started when needed")
        return
    key = address.api_key.get_secret_value()
    with closing(OpenAI(base_url=address.base_url, api_key=key, max_retries=0)) as client:
        try:
            client.models.list()
        except OpenAIError as error:
            raise explained(error, address.base_url) from error
    yield Diagnosis("embedded engine", "good", f"running at {address.url}")
    if (jobs := state_of_jobs(home_path())) != "ok":
        detail = f"{jobs}: end the program that holds {home_path() / 'engine.sqlite'}, or make room"
        yield Diagnosis("engine's jobs", "bad", detail)


def _training() -> Diagnosis:
    """Return what the machine can train, by its memory; an estimate."""
    memory = 2 * model_memory()
    billions = (memory - PROCESS_BYTES) / TRAINING_BYTES / 1e9
    where = {"cuda": "the GPU", "mps": "the GPU"}.get(device(), "the CPU")
    detail = f"on {where}: models of up to about {billions:.1f} B parameters with LoRA"
    return Diagnosis("training", "good", f"{detail} ({memory / 1e9:.0f} GB of memory; estimated)")


def _trainer() -> Iterator[Diagnosis]:
    """Check where an engine that is started from here would train, if not on this machine alone."""
    try:
        machines = read_machines(os.environ)
    except FineTuningError as error:
        yield Diagnosis("trainer", "bad", str(error))
        return
    if machines:
        where = f" at {machines.address}" if machines.address else ""
        several = f", {machines.nodes} machines" if machines.nodes > 1 else ""
        yield Diagnosis("trainer", "good", f"{machines.trainer}{several}{where}; it was not tried")


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


def _hosted() -> Iterator[Diagnosis]:
    # Keys are not tested, since that would be a request to the user's account.
    for engine in all_engines():
        variable = engine.key_variable
        if variable is None or not engine.takes_base_url:
            continue
        if not os.environ.get(variable):
            detail = f"{variable} is not set; only needed for --engine {engine.name}"
            yield Diagnosis(f"engine {engine.name}", "note", detail)
            continue
        faults = [fault for each in _requirements(engine.extra or "") if (fault := _fault(each))]
        if engine.extra and faults:
            detail = f"{variable} is set, but its SDK is not installed ({'; '.join(faults)})"
            command = install_command(engine.extra)
            yield Diagnosis(f"engine {engine.name}", "note", f"{detail}: {command}")
            continue
        try:
            address = engine.default_base_url() or "the address that you give"
        except FineTuningError as error:
            yield Diagnosis(f"engine {engine.name}", "bad", str(error))
        else:
            detail = f"{variable} is set, for {address}; it was not tried"
            yield Diagnosis(f"engine {engine.name}", "good", detail)
