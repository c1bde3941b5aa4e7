"""Asking for a job, and finding out whether it was made when no answer comes."""

from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.errors import JobSubmissionError
from langchain_finetune.finetune.ask import JOB, answered
from langchain_finetune.finetune.engines.answers import (
    error_hint_s,
    may_pass,
    nobody_there,
    outcome_unknown,
    reason,
)
from langchain_finetune.finetune.engines.openai import create_job
from langchain_finetune.finetune.fingerprint import SUBMISSION
from langchain_finetune.finetune.job import JobSpec
from langchain_finetune.finetune.lookup import find_job
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.refusals import refusal
from langchain_finetune.finetune.steps import Do, Flow, Sleep

_UNKNOWN_OUTCOMES = 4


def create_once(spec: JobSpec, file_ids: list[str], place: Place) -> Flow[Any]:
    """Ask for a job until it is made, is refused, or it can't be known.

    The ledger says that the job is asked for while it may exist unknown to this process.

    Args:
        spec: What the job is made from; its metadata names the submission.
        file_ids: The uploaded files.
        place: Where it is made.

    Raises:
        JobSubmissionError: It is refused, or it is not known whether it was made.
        EngineError: The key or the base is refused, or the engine can't be reached.
    """
    submission = spec.metadata[SUBMISSION]
    begun = place.now()
    unknown = 0
    for turn, pause in enumerate([*place.retry.pauses(), None], start=1):
        yield Do(partial(place.ledger.ask, submission))
        try:
            return (
                yield from answered(
                    partial(create_job, spec=spec, file_ids=file_ids), place.base_url, JOB
                )
            )
        except OpenAIError as error:
            problem = error
        if outcome_unknown(problem):
            unknown += 1
            for look in place.looks:
                yield Sleep(look)
                mark = {SUBMISSION: submission}
                if job := (yield from find_job(mark, place, since=begun, in_any_state=True)):
                    return job
        elif not unknown:
            yield Do(partial(place.ledger.take_back, submission))
        gone = nobody_there(problem) and turn >= place.retry.refused_attempts
        if pause is None or gone or unknown >= _UNKNOWN_OUTCOMES or not may_pass(problem):
            break
        yield Sleep(max(pause, error_hint_s(problem)))
    if unknown:
        raise JobSubmissionError(
            f"It is not known whether {place.base_url} made the job: {reason(problem)} "
            "Run the same chain again: it looks for the job before it asks for one.",
            outcome_unknown=True,
        ) from problem
    raise refusal(problem, place) from problem
