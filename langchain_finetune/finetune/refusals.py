"""Why an engine does not make a job, and what remains."""

from openai import APIStatusError, OpenAIError

from langchain_finetune.errors import (
    EngineError,
    JobSubmissionError,
    TrainingNotAvailableError,
)
from langchain_finetune.finetune.engines.answers import explained, reason
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.retirements import CLOSING, is_openai

_NOT_AVAILABLE = "training_not_available"


def refusal(error: OpenAIError, place: Place) -> EngineError:
    """Return the error to raise for a job that an engine refused to make.

    Args:
        error: What the SDK raised.
        place: Where the job was asked for.
    """
    if isinstance(error, APIStatusError) and error.code == _NOT_AVAILABLE:
        since = f" {CLOSING.sentence()}" if is_openai(place.base_url) else ""
        return TrainingNotAvailableError(
            f"The engine at {place.base_url} lets this account make no fine-tuning jobs "
            f"({error.code}): {reason(error)}{since} What remains: engine='local', the embedded "
            "engine, which needs no account; or another server of OpenAI's fine-tuning API, by "
            "base_url (Azure, Nebius, ...)."
        )
    known = explained(error, place.base_url)
    if type(known) is EngineError and isinstance(error, APIStatusError):
        return JobSubmissionError(
            f"The engine at {place.base_url} refused the job ({error.status_code}): {reason(error)}"
        )
    return known
