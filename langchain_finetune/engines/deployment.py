"""Waits until a deployed model is ready. No I/O."""

from collections.abc import Callable
from typing import Any

from openai import NotFoundError, OpenAIError

from langchain_finetune.engines.flow import Call, Flow, Patience, Sleep
from langchain_finetune.engines.openai_errors import failure_of
from langchain_finetune.errors import DeployError

PATIENCE = Patience(timeout_s=3600.0, first_s=10.0, longest_s=10.0)


def ask_until_ready(
    ask: Callable[[Any], Any],
    state: Callable[[Any], tuple[bool, str | None]],
    job_id: str,
    what: str,
    patience: Patience,
) -> Flow[None]:
    """Ask until a deployment answers; one answer that does not come does not end the wait.

    `state` returns of an answer whether the deployment is ready, and how it failed or None.

    Raises:
        DeployError: It failed, the engine refuses to tell, or time is up.
    """
    give_up = patience.clock() + patience.timeout_s
    while True:
        try:
            ready, failed = state((yield Call(ask, (OpenAIError,))))
        except OpenAIError as error:
            # What was just made may not be listed yet.
            if not (failure_of(error).may_pass or isinstance(error, NotFoundError)):
                raise DeployError(
                    f"{what} (job {job_id}) can't be asked about: {error}", job_id=job_id
                ) from error
            ready, failed = False, None
        if ready:
            return
        if failed:
            raise DeployError(f"{what} (job {job_id}) ended as {failed}.", job_id=job_id)
        left = give_up - patience.clock()
        if left <= 0:
            raise DeployError(
                f"{what} (job {job_id}) was not ready after {patience.timeout_s:g} s; it may be "
                "later. Run the same again to wait on.",
                job_id=job_id,
            )
        yield Sleep(min(patience.first_s, left))
