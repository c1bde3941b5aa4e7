"""The steps of a migration that fetch: what the account has of the model, and its answers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from langchain_finetune.engines.flow import Either, Flow
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.migration.archive import RescuedModel, RescueManifest
from langchain_finetune.migration.folders import MANIFEST
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import arecord, record
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.migration.rescue import arescue, rescue
from langchain_finetune.migration.settings import AnswerSettings, MigrationSettings
from langchain_finetune.migration.sources import rescued_files
from langchain_finetune.migration.state import RECORDED, RESCUED, MigrationState, has_begun
from langchain_finetune.migration.training_data import trained_as

_GONE = frozenset({404, 405, 410})
"""Answers of a server that has no lists of jobs and files."""

_PROMPTS = frozenset({"training file", "validation file", "stored chat completions"})
"""What a rescue has to have before prompts are chosen from it."""

Told = Callable[[MigrationProgress], Any]


def rescue_step(settings: MigrationSettings, state: MigrationState, told: Told | None) -> Flow[str]:
    """Fetch what is missing; return in a sentence what there is."""
    if "rescue" in state.steps:
        return state.steps["rescue"].summary
    given: dict[str, Any] = {
        "out": settings.out / RESCUED,
        "engine": settings.engine,
        "base_url": settings.base_url,
        "api_key": settings.api_key,
        "on_progress": told,
    }
    try:
        yield Either(
            partial(rescue, settings.model, **given), partial(arescue, settings.model, **given)
        )
    except EngineError as error:
        status = getattr(error.__cause__, "status_code", None)
        if not error.failure.model_missing and status not in _GONE:
            raise
        return state.done("rescue", settings.out, f"nothing: {error}".rstrip(".")).summary
    model = _rescued(settings)
    if model is None:
        raise FineTuningError(f"{settings.model} is the name of a job: give that of its model.")
    gone = [f"{item.what} ({item.state})" for item in model.missing]
    told_of = f"{len(model.files)} files, {model.completions} stored chat completions"
    told_of += f"; missing: {', '.join(gone)}" if gone else ""
    if not model.complete:
        return f"{told_of}; not complete"
    return state.done("rescue", settings.out, told_of, files=sorted(model.files)).summary


def _rescued(settings: MigrationSettings) -> RescuedModel | None:
    folder = settings.out / RESCUED
    found = RescueManifest.read(folder).models if (folder / MANIFEST).is_file() else {}
    return found.get(trained_as(settings.model))


def check_rescue(settings: MigrationSettings, state: MigrationState) -> None:
    """Refuse to go on without what the next run may have: prompts and data are chosen once."""
    model = None if "rescue" in state.steps else _rescued(settings)
    if model is None:
        return
    needed = {"training file"} if settings.train_on != "recording" else set()
    needed |= set() if has_begun(settings.out) else _PROMPTS
    lost = [item for item in model.missing if item.state == "failed" and item.what in needed]
    if lost:
        what = ", ".join(f"{item.what} ({item.reason})" for item in lost)
        raise FineTuningError(
            f"The rescue of {settings.model} is not complete, so nothing was asked for yet: "
            f"{what}. Run the same again."
        )


def _sources(settings: MigrationSettings) -> list[Any]:
    model = _rescued(settings)
    known = settings.out / RESCUED, trained_as(settings.model)
    return [*settings.sources, *((rescued_files(*known) or ()) if model else ())]


def record_step(settings: MigrationSettings, state: MigrationState, told: Told | None) -> Flow[Any]:
    """Record what is missing; nothing is if the recording is complete."""
    given = {**recording_arguments(settings), "on_progress": told}
    gone = ""
    try:
        recording: ModelRecording = yield Either(
            partial(record, **given), partial(arecord, **given)
        )
    except EngineError as error:
        if not (error.failure.model_missing and has_begun(settings.out)):
            raise
        # It went dark meanwhile: what was recorded until then is what there is.
        recording = ModelRecording.read(settings.out / RECORDED)
        if not recording.manifest.outcomes.get("answered"):
            raise
        gone = "; the model does not answer any more"
    found = recording.manifest
    counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
    summary = f"{found.prompts} prompts, {found.held_out} of them held out; answers: {counts}"
    facts = {"usd": found.usd, "outcomes": found.outcomes, "left_out": found.left_out}
    state.done("record", settings.out, f"{summary}{gone}", **facts)
    return recording


def recording_arguments(settings: MigrationSettings) -> dict[str, Any]:
    """Return the arguments of `record`.

    Raises:
        FineTuningError: There is nothing that prompts could come from.
    """
    given = {name: getattr(settings, name) for name in AnswerSettings.model_fields}
    sources = [] if has_begun(settings.out) else _sources(settings)
    if not has_begun(settings.out) and not sources:
        raise FineTuningError(
            f"There are no prompts to ask {settings.model}: its account has no files and no stored "
            "chat completions of it. Give sources: runs of a project, or files."
        )
    return {**given, "sources": sources or None, "out": settings.out / RECORDED}
