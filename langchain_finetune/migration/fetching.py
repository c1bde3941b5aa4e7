"""The steps of a migration that fetch: what the account has of the model, and its answers."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

from langchain_finetune.display.text import counted
from langchain_finetune.engines.flow import Do, Either, Flow
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.migration.archive import RescuedModel, is_whole, rescued_model
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.record import arecord, record
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.migration.rescue import arescue, rescue
from langchain_finetune.migration.settings import AnswerSettings, MigrationSettings
from langchain_finetune.migration.sources import rescued_files
from langchain_finetune.migration.state import RECORDED, RESCUED, MigrationState, has_begun
from langchain_finetune.migration.training_data import TRAINING

_GONE = frozenset({404, 405, 410})
"""Answers of a server that has no lists of jobs and files."""

_PROMPTS = frozenset({"training file", "validation file", "stored chat completions"})
"""What a rescue has to have before prompts are chosen from it."""

Told = Callable[[MigrationProgress], Any]


def rescue_step(settings: MigrationSettings, state: MigrationState, told: Told | None) -> Flow[str]:
    """Fetch what is missing; return in a sentence what there is.

    What the account did not give is asked for in each run, until something was trained: then the
    data are chosen.
    """
    before = state.steps.get("rescue")
    chosen = is_rescued(state) or "train" in state.steps
    if before is not None and chosen and (yield Do(partial(_is_kept, settings))):
        return before.summary
    try:
        yield _rescue(settings, told)
    except EngineError as error:
        status = getattr(error.__cause__, "status_code", None)
        if not error.failure.model_missing and status not in _GONE:
            if before is not None:
                return before.summary  # What there was is there, and the engine may be gone.
            raise
        found = f"nothing: {error}".rstrip(".")
        done = yield Do(partial(state.done, "rescue", settings.out, found, complete=False))
        return str(done.summary)
    model: RescuedModel | None = yield Do(partial(_rescued, settings))
    if model is None:
        raise FineTuningError(f"{settings.model} is the name of a job: give that of its model.")
    gone = [f"{item.what} ({item.state})" for item in model.missing]
    told_of = counted(len(model.files), "file")
    told_of += f", {counted(model.completions, 'stored chat completion')}"
    told_of += f"; missing: {', '.join(gone)}" if gone else ""
    if not model.complete:
        return f"{told_of}; not complete"
    # A key with other permissions may be given what this one was refused.
    complete = all(item.state != "refused" for item in model.missing)
    facts = {"files": sorted(model.files), "complete": complete}
    done = yield Do(partial(state.done, "rescue", settings.out, told_of, **facts))
    return str(done.summary)


def is_rescued(state: MigrationState) -> bool:
    """Return whether all was rescued that the account has of the model."""
    found = state.steps.get("rescue")
    # Without that fact it was written by an earlier version.
    return found is not None and found.facts.get("complete", "files" in found.facts)


def _rescue(settings: MigrationSettings, told: Told | None) -> Either:
    access = {name: getattr(settings, name) for name in ("engine", "base_url", "api_key")}
    given: dict[str, Any] = {**access, "out": settings.out / RESCUED, "on_progress": told}
    return Either(
        partial(rescue, settings.model, **given), partial(arescue, settings.model, **given)
    )


def _rescued(settings: MigrationSettings) -> RescuedModel | None:
    return rescued_model(settings.out / RESCUED, settings.model)


def _is_kept(settings: MigrationSettings) -> bool:
    """Return whether a training file that was rescued is still there."""
    model = _rescued(settings)
    known = model and model.files.get(TRAINING)
    return not (model and known) or is_whole(
        settings.out / RESCUED / model.folder / TRAINING, known
    )


def check_rescue(settings: MigrationSettings, state: MigrationState) -> None:
    """Refuse to go on without what the next run may have: prompts and data are chosen once."""
    model = None if "train" in state.steps else _rescued(settings)
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
    files = rescued_files(settings.out / RESCUED, settings.model) if _rescued(settings) else None
    return [*settings.sources, *(files or ())]


def record_step(settings: MigrationSettings, state: MigrationState, told: Told | None) -> Flow[Any]:
    """Record what is missing; nothing is if the recording is complete."""
    given = {**(yield Do(partial(recording_arguments, settings))), "on_progress": told}
    gone = ""
    try:
        recording = yield Either(partial(record, **given), partial(arecord, **given))
    except EngineError as error:
        if not (error.failure.model_missing and has_begun(settings.out)):
            raise
        recording = yield Do(partial(ModelRecording.read, settings.out / RECORDED))
        if not recording.manifest.outcomes.get("answered"):
            raise
        # It went dark meanwhile: what was recorded until then is what there is.
        if not (recording.is_settled or (yield from _is_dark(settings, recording, told))):
            raise EngineError(
                f"{error} But its account does not say that it was deleted or shut down, so "
                "nothing was trained on the part that is recorded. If the key is of another "
                "project, run the same again with that of the model's.",
                failure=error.failure,
            ) from error
        gone = "; the model does not answer any more"
    found = recording.manifest
    counts = ", ".join(f"{count} {name}" for name, count in found.outcomes.items() if count)
    prompts = counted(found.prompts, "prompt")
    summary = f"{prompts}, {found.held_out:,} of them held out; answers: {counts}"
    facts = {"usd": found.usd, "outcomes": found.outcomes, "left_out": found.left_out}
    yield Do(partial(state.done, "record", settings.out, f"{summary}{gone}", **facts))
    return recording


def _is_dark(
    settings: MigrationSettings, recording: ModelRecording, told: Told | None
) -> Flow[bool]:
    """Return whether the model is gone for good: a key without access gets the same answer."""
    day = recording.manifest.shutdown_date
    if day is not None and dt.date.fromisoformat(day) <= dt.datetime.now(dt.UTC).date():
        return True
    try:
        yield _rescue(settings, told)
    except EngineError:
        return False
    model: RescuedModel | None = yield Do(partial(_rescued, settings))
    return model is not None and model.model.status in {"deleted", "shut down"}


def recording_arguments(settings: MigrationSettings) -> dict[str, Any]:
    """Return the arguments of `record`.

    Raises:
        FineTuningError: There is nothing that prompts could come from.
    """
    given = {name: getattr(settings, name) for name in AnswerSettings.model_fields}
    sources = [] if has_begun(settings.out) else _sources(settings)
    if not has_begun(settings.out) and not sources:
        raise FineTuningError(
            f"There are no prompts to ask {settings.model}: the account of this key gives no "
            "files and no stored chat completions of it. Give sources (runs of a project, files); "
            "or, if it is not the model's account, run the same with the key of that one."
        )
    return {**given, "sources": sources or None, "out": settings.out / RECORDED}
