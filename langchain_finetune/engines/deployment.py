"""Waiting until a deployed model answers. No I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openai import NotFoundError, OpenAIError

from langchain_finetune.engines.flow import Call, Flow, Sleep
from langchain_finetune.engines.openai_errors import failure_of
from langchain_finetune.errors import DeployError


@dataclass(frozen=True)
class Pause:
    """How to wait.

    Attributes:
        timeout_s: Seconds after which the wait ends.
        every_s: Seconds between two questions.
        clock: Seconds that only grow.
    """

    timeout_s: float = 3600.0
    every_s: float = 10.0
    clock: Callable[[], float] = time.monotonic


def ask_until_ready(
    ask: Callable[[Any], Any],
    state: Callable[[Any], tuple[bool, str | None]],
    *,
    job_id: str,
    what: str,
    pause: Pause,
) -> Flow[None]:
    """Ask until a deployment answers; one answer that does not come does not end the wait.

    Args:
        ask: Given the SDK's client, returns the answer.
        state: Returns of an answer whether the deployment is ready, and how it failed or None.
        job_id: The job whose model it is.
        what: Names the deployment in errors.
        pause: How long to wait.

    Raises:
        DeployError: It failed, the engine refuses to tell, or time is up.
    """
    give_up = pause.clock() + pause.timeout_s
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
        left = give_up - pause.clock()
        if left <= 0:
            raise DeployError(
                f"{what} (job {job_id}) was not ready after {pause.timeout_s:g} s; it may be "
                "later. Run the same again to wait on.",
                job_id=job_id,
            )
        yield Sleep(min(pause.every_s, left))
