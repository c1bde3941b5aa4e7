"""What a training loop needs of a host: the contract of its transports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from langchain_finetune.local.training.sequences import IGNORED

How = Literal["success", "errored", "interrupted"]
"""How a session ends."""


class HostUnavailableError(Exception):
    """The host did not answer, or lost the session: go on from the last saved state."""


class StateGoneError(Exception):
    """The host no longer has a saved state: begin anew."""


class StopRequestedError(Exception):
    """The process was asked to stop while it waited for the host."""


@dataclass(frozen=True)
class Datum:
    """A sequence: each token is to predict the target at its place, as far as its weight says."""

    tokens: list[int]
    targets: list[int]
    weights: list[float]

    @classmethod
    def of(cls, input_ids: Sequence[int], labels: Sequence[int], scale: float = 1.0) -> "Datum":
        """Return the datum of a sequence and its labels; trained tokens weigh `scale`.

        Example:
            >>> Datum.of([5, 6, 7], [IGNORED, 6, IGNORED], 0.5)
            Datum(tokens=[5, 6], targets=[6, 7], weights=[0.5, 0.0])
        """
        weights = [0.0 if label == IGNORED else scale for label in labels[1:]]
        return cls(list(input_ids[:-1]), list(input_ids[1:]), weights)


CustomLoss = Callable[[list[Any]], tuple[Any, dict[str, float]]]
"""From a tensor of log probabilities for each datum to the loss, a tensor, and measures."""


class HostedRun(Protocol):
    """A model in training at a host. What it is asked for happens in the order of the calls.

    Every method may raise `HostUnavailableError`, or a `TrainingFailure` if the host refuses.
    """

    def step(self, data: Sequence[Datum], rate: float) -> dict[str, float]:
        """Update the model by a batch, and return the weighted sum of losses as `loss`."""
        ...

    def step_by(self, data: Sequence[Datum], loss: CustomLoss, rate: float) -> dict[str, float]:
        """Update the model by a batch and a loss of our own; return it and its measures."""
        ...

    def log_probabilities(self, data: Sequence[Datum]) -> list[list[float]]:
        """Return the log probability of each target, without an update."""
        ...

    def save_state(self, name: str) -> str:
        """Save weights and optimizer, to go on from; return the path."""
        ...

    def save_model(self, name: str) -> str:
        """Save the weights to answer with; return the model's name at the host.

        The name is written down before the model is there, so that one that nobody was told of is
        deleted.
        """
        ...

    def export(self, name: str) -> str:
        """Save the weights of a saved model as a LoRA adapter to fetch; return the path."""
        ...


class TrainingHost(Protocol):
    """A host, with at most one session of this process."""

    def open(self, state: str | None) -> HostedRun:
        """Begin a session, from a saved state or anew; sessions that were left are closed.

        Raises:
            HostUnavailableError: It does not answer.
            StateGoneError: It no longer has the state.
            StopRequestedError: The process was asked to stop meanwhile.
            TrainingFailure: It refuses.
        """
        ...

    def close(self, how: How) -> None:
        """Close the session; does not raise."""
        ...

    def end(self) -> None:
        """Close the session within seconds, from any thread: the process ends. Does not raise."""
        ...

    def close_left(self) -> None:
        """Close this job's sessions that an answer was lost about, or whose process was killed.

        Raises:
            HostUnavailableError: It does not answer.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a saved state, model or export, where the host lets it be deleted by itself.

        One that is gone is no error.

        Raises:
            HostUnavailableError: It does not answer.
        """
        ...

    def fetch(self, export: str, folder: Path) -> Mapping[str, Any]:
        """Write an exported adapter's weights to a folder; return its configuration.

        Raises:
            HostUnavailableError: It does not answer.
            TrainingFailure: It is not a LoRA adapter in PEFT's format.
        """
        ...
