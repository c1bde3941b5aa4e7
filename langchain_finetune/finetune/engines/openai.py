"""Every server that speaks OpenAI's fine-tuning API: what to ask, and what its errors mean."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    OpenAIError,
)

from langchain_finetune.errors import (
    BaseModelError,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
)
from langchain_finetune.finetune.job import JobSpec
from langchain_finetune.finetune.steps import Call, Flow

_SERVER_ERROR = 500
_TIMED_OUT = 408


def submit_job(spec: JobSpec, base_url: str) -> Flow[str]:
    """Upload the files and create the job; return its id.

    The job is asked for once and never again by itself: a second request could be a second bill.

    Args:
        spec: What the job is made from.
        base_url: The engine's address, for messages.

    Raises:
        EngineError: The engine can't be reached or refuses; the uploaded files are deleted again.
    """
    uploaded: list[str] = []
    creating = False
    try:
        for path in [file.path for file in (spec.training, spec.validation) if file]:
            file = checked((yield Call(partial(_upload, path))), base_url)
            uploaded.append(file.id)
        creating = True
        # The SDK repeats a POST by itself twice, which made two jobs of one.
        request = _creation(spec, uploaded)
        job = yield Call(
            lambda client: client.with_options(max_retries=0).fine_tuning.jobs.create(**request)
        )
    except OpenAIError as error:
        if creating and _outcome_unknown(error):
            raise EngineError(
                f"It is not known whether {base_url} created the job: {_reason(error)} "
                "Look at its list of jobs before you try again."
            ) from error
        for file_id in uploaded:
            with suppress(OpenAIError):  # The first error is the one to tell.
                yield Call(partial(_delete, file_id))
        raise explained(error, base_url) from error
    return str(checked(job, base_url).id)


def checked(answer: Any, base_url: str) -> Any:
    """Return an answer of the SDK, if the server speaks OpenAI's API.

    Raises:
        EngineError: It answered with a page or text, which the SDK hands on as a string.
    """
    if isinstance(answer, str | bytes) or answer is None:
        raise EngineError(
            f"What answers at {base_url} does not speak OpenAI's API: does the address end in /v1?"
        )
    return answer


def explained(error: OpenAIError, base_url: str) -> EngineError:
    """Return an error of the SDK as one of this package's, which says what to do.

    Args:
        error: What the SDK raised.
        base_url: The engine's address.
    """
    if isinstance(error, APITimeoutError):
        return EngineUnreachableError(f"The engine at {base_url} did not answer in time.")
    if isinstance(error, APIConnectionError):
        return EngineUnreachableError(
            f"Nothing answers at {base_url}: is the address right, and is the engine running?"
        )
    if isinstance(error, AuthenticationError):
        return EngineAuthenticationError(
            f"The engine at {base_url} does not accept the key: give api_key, or set "
            "OPENAI_API_KEY (for the embedded engine LANGCHAIN_FINETUNE_API_KEY)."
        )
    if isinstance(error, APIStatusError):
        kind = BaseModelError if error.code == "model_not_found" else EngineError
        return kind(f"The engine at {base_url} refused ({error.status_code}): {_reason(error)}")
    return EngineError(f"The engine at {base_url} could not be used: {error}")


def _upload(path: Path, client: Any) -> Any:
    return client.files.create(file=path, purpose="fine-tune")


def _delete(file_id: str, client: Any) -> Any:
    return client.files.delete(file_id)


def _creation(spec: JobSpec, file_ids: list[str]) -> dict[str, Any]:
    """Return the arguments of the SDK's `fine_tuning.jobs.create`."""
    request: dict[str, Any] = {
        "model": spec.model,
        "training_file": file_ids[0],
        "metadata": spec.metadata,
    }
    if spec.validation is not None:
        request["validation_file"] = file_ids[1]
    if spec.hyperparameters:
        supervised = {"hyperparameters": spec.hyperparameters}
        request["method"] = {"type": "supervised", "supervised": supervised}
    if spec.suffix is not None:
        request["suffix"] = spec.suffix
    if spec.seed is not None:
        request["seed"] = spec.seed
    return request


def _outcome_unknown(error: OpenAIError) -> bool:
    """Tell whether the engine may have carried out a request whose answer is missing."""
    if isinstance(error, APIStatusError):
        return error.status_code >= _SERVER_ERROR or error.status_code == _TIMED_OUT
    if isinstance(error, APITimeoutError):
        return True
    # Where no connection was made, nothing was sent.
    return isinstance(error, APIConnectionError) and not isinstance(
        error.__cause__, httpx2.ConnectError
    )


def _reason(error: OpenAIError) -> str:
    """Return the engine's own sentence, or what the SDK says."""
    body = error.body if isinstance(error, APIStatusError) else None
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error)
