"""Closing what a job has left at its host, after it has ended."""

import threading

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop.host import HostUnavailableError
from langchain_finetune.local.training.loop.hosts import host_of
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.spec import Spec


def close_at_host(spec: Spec, stop: threading.Event) -> None:
    """Close a job's sessions, and delete what it has saved unless its models are wanted.

    Raises:
        TrainingFailure: The host does not answer, or refuses.
    """
    position = Position.read(spec.work)
    position.break_promise()
    if spec.closing == "all":
        position.begin_anew()
    host = host_of(spec, position, rank=1, report=lambda _: None, stop=stop)
    try:
        host.close_left()
        for path in position.leftover:
            host.delete(path)
    except HostUnavailableError as error:
        raise TrainingFailure("host_unavailable", f"The host does not answer ({error}).") from error
    position.leftover = []
    position.write(spec.work)
