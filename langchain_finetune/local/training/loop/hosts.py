"""The transport of each kind of host, by its name."""

import threading
from collections.abc import Callable

from langchain_finetune.local.training.events import Waiting
from langchain_finetune.local.training.loop.fireworks_host import FireworksHost
from langchain_finetune.local.training.loop.host import TrainingHost
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.loop.tinker_host import TinkerHost
from langchain_finetune.local.training.spec import Spec


def host_of(
    spec: Spec,
    position: Position,
    *,
    rank: int,
    report: Callable[[Waiting], None],
    stop: threading.Event,
) -> TrainingHost:
    """Return the host of a specification; what must not be lost is written to the position.

    Raises:
        TrainingFailure: The key is gone, or the SDK is not installed.
    """
    assert spec.host

    def keep(sessions: list[str]) -> None:
        position.sessions = sessions
        position.write(spec.work)

    def promise(model: str) -> None:
        position.promised = model
        position.write(spec.work)

    kind = FireworksHost if spec.host.name == "fireworks" else TinkerHost
    return kind(
        spec, rank=rank, sessions=position.sessions, keep=keep, promise=promise,
        report=report, stop=stop,
    )  # fmt: skip
