"""The comparison of a migration: held-out requests, the old model's answers from its recording."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.display.text import counted
from langchain_finetune.errors import CompareError, FineTuningError
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.failures import NotRecordedError
from langchain_finetune.evaluation.result import ComparedCase, RefusedCase
from langchain_finetune.evaluation.verdict import score_differences
from langchain_finetune.migration.recording import ModelRecording

RECORDED_LATENCY = (
    "The old model's answers were recorded at temperature 0: the latency shown here is not its own."
)

_KEPT = ("tool_choice", "stop", "max_tokens", "max_completion_tokens")
"""Settings of a request that change its answer, and that training lines have no field for."""


_AGREES = 0.95
"""Least mean score of answers by an evaluator of agreement, against themselves."""


def held_out_cases(recording: ModelRecording) -> Examples:
    """Return the held-out requests with the old model's answers, by conversation.

    Raises:
        FineTuningError: There is none, so that a new model can't be compared.
    """
    cases = Convert().invoke(recording.sessions(held_out=True))
    if not sum(1 for _ in cases):
        raise FineTuningError(
            f"{recording.folder} has no answer to a held-out request, so no new model can be "
            "compared, and none is trained. Give more prompts: other sources, or a higher limit, "
            "and another folder."
        )
    return cases


def unusable(cases: Examples) -> list[str]:
    """Return a note about the held-out answers that are not examples, if there are any."""
    rejected = cases.rejected_by_reason()
    named = ", ".join(f"{count} {code}" for code, count in rejected.items())
    return [f"Held-out answers that are not cases: {named}."] if rejected else []


def as_in_traffic(chat: Any, recording: ModelRecording) -> tuple[Any, list[str]]:
    """Return a chat model with the settings of the held-out requests, and what can't be kept.

    Training lines have no field for them, but a model that must call a tool, or stops at a word,
    answers otherwise. Settings that the requests do not share can't be kept.
    """
    held_out = [prompt.request for prompt in recording.prompts() if prompt.held_out]
    shared, notes = {}, []
    for name in _KEPT:
        asked = [each for each in held_out if name != "tool_choice" or each.get("tools")]
        values = {orjson.dumps(each.get(name), option=orjson.OPT_SORT_KEYS) for each in asked}
        if values <= {b"null", b'"auto"'}:
            continue
        if len(values) == 1 and len(asked) == len(held_out):
            shared[name] = held_out[0][name]
        else:
            notes.append(
                f"Requests of the recording differ in {name}; the new model was asked without it."
            )
    return (chat.bind(**shared) if shared else chat), notes


def odd_evaluators(result: ComparisonResult) -> list[str]:
    """Return a note on each evaluator by which the old model seems not to agree with itself.

    Its answers come from the recording, as do the reference outputs.
    """
    return [
        f"{each.evaluator}: the old model scores {each.old:.3f}, and its answers are the reference "
        "outputs themselves. If this evaluator is to measure agreement with them, it looks in the "
        "wrong place: of structured output, the answer is outputs['parsed']."
        for each in result.differences
        if each.cases and 0 <= each.old < _AGREES
    ]


def recorded_only(result: ComparisonResult) -> ComparisonResult:
    """Leave out the cases whose request the recording does not have.

    The old model's answer to them is not known. Counted as failures, they would let any new model
    pass.

    Raises:
        CompareError: There is no other case.
    """
    kept = [case for case in result.cases if not _is_unknown(case)]
    if len(kept) == len(result.cases):
        return result
    lost = [case.id for case in result.cases if _is_unknown(case)]
    if not kept:
        raise CompareError(
            f"None of the {len(lost)} requests that your chain made of the held-out ones is in the "
            "recording, so the old model's answers are not known. The chain must send what the app "
            "sent: the same prompt and tools. Correct `chain`, or leave it out to compare on the "
            "recorded requests. Nothing is recorded or trained again."
        )
    reason = "The recording has no answer to the request that the chain made of it."
    were = "was" if len(lost) == 1 else "were"
    note = f"{counted(len(lost), 'case')} {were} left out: {reason}"
    note += " The chain must send what the app sent."
    return result.model_copy(
        update={
            "cases": kept,
            "refused": [*result.refused, *(RefusedCase(id=each, reason=reason) for each in lost)],
            "differences": score_differences(
                kept, order=[each.evaluator for each in result.differences]
            ),
            "notes": [note, *result.notes],
        }
    )


def _is_unknown(case: ComparedCase) -> bool:
    return any(answer.error == NotRecordedError.__name__ for answer in case.old)


def comparison_key(
    recording: ModelRecording,
    new: str | None,
    settings: Mapping[str, Any],
    functions: Iterable[Any],
) -> dict[str, Any]:
    """Return what a comparison depends on; the same twice means that it need not be made again.

    A lambda, a closure or an object may do something else each time. Then the key has no
    `functions`, and `kept_comparison` returns None.
    """
    identities = [None if each is None else _identity(each) for each in functions]
    asked = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS, default=repr)
    known: dict[str, Any] = {
        "new": new,
        "recording": recording.manifest.files,
        "settings": hashlib.sha256(asked).hexdigest(),
    }
    return known if "" in identities else {**known, "functions": identities}


def _identity(thing: Any) -> str:
    """Return the name of a module's function and the hash of its module, or an empty text."""
    if not inspect.isfunction(thing) or thing.__closure__ or "<" in thing.__qualname__:
        return ""
    try:
        path = inspect.getsourcefile(thing)
        content = Path(path).read_bytes() if path else b""
    except (OSError, TypeError):
        return ""
    return f"{thing.__module__}.{thing.__qualname__} {hashlib.sha256(content).hexdigest()}"


def kept_comparison(
    path: Path, key: Mapping[str, Any], before: Mapping[str, Any]
) -> ComparisonResult | None:
    """Return the comparison of a file, if it is of the same key."""
    if "functions" not in key or key != before:
        return None
    try:
        return ComparisonResult.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
