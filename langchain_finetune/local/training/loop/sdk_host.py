"""What the transports have in common: the SDKs of both hosts are forms of one client.

A session lives only as long as its client, or holds one of few places: it is closed in each case,
by its id also after its process was killed.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from langchain_finetune.local.training.events import TrainingFailure, Waiting
from langchain_finetune.local.training.loop.host import (
    CustomLoss,
    Datum,
    HostedRun,
    HostUnavailableError,
    How,
    StateGoneError,
    StopRequestedError,
)
from langchain_finetune.local.training.loop.waits import Waits
from langchain_finetune.local.training.spec import Spec

MARK = "langchain_finetune_job"
"""Key of the metadata of sessions and runs."""

END_S = 8.0
"""How long a process that ends waits for the host."""

_REFUSED = frozenset({400, 422})
_BY_KEY = frozenset({401, 402, 403})
_MISSING = 404


class SdkHost(ABC):
    """The sessions of one job; see `TrainingHost` and `train_at_host`.

    Args:
        spec: The specification of the training, with its host.
        rank: Rank of LoRA's matrices.
        sessions: Ids of sessions that are not known to be closed.
        keep: Writes these ids down.
        promise: Writes down the name of a model before it is created.
        report: Takes `Waiting`.
        stop: Is set when the process is to end soon.

    Attributes:
        types: The SDK's types of data.

    Raises:
        TrainingFailure: The key is gone, or the SDK is not installed.
    """

    _extra: ClassVar[str]
    """The extra with the SDK."""

    _full: ClassVar[frozenset[int]] = frozenset()
    """Statuses that mean that the host has no capacity now."""

    _refuses_missing: ClassVar[bool]
    """Whether it refuses for good what needs something that it does not find."""

    _about_keys: ClassVar[str] = ""

    def __init__(
        self,
        spec: Spec,
        *,
        rank: int,
        sessions: Sequence[str],
        keep: Callable[[list[str]], None],
        promise: Callable[[str], None],
        report: Callable[[Waiting], None],
        stop: threading.Event,
    ) -> None:
        assert spec.host
        assert spec.host_key
        # It would send tracebacks to the host.
        os.environ["TINKER_TELEMETRY"] = "0"
        self._spec, self._rank = spec, rank
        self._sessions, self._keep, self.promise = list(sessions), keep, promise
        self._waits = Waits(report, stop)
        self._lock = threading.Lock()
        self._ended = False
        self._client: Any = None
        self._sdk: Any = None
        self.types: Any = None
        self._failures: tuple[type[BaseException], ...] = ()
        try:
            queue = self._load_sdk()
            key = spec.host_key.read_text()
        except ImportError as error:
            raise TrainingFailure(
                "missing_extra",
                f"The engine's environment lacks the extra {self._extra}: install it.",
            ) from error
        except OSError as error:
            raise TrainingFailure(
                "missing_key", "The key for the host is gone from the engine's home: run the same"
                " chain again, with the key.",
            ) from error  # fmt: skip
        # The SDK itself says so only in its log.
        queue.on_queue_state_change = self._waits.heard
        self._set_up(spec.host.base_url, key)

    @abstractmethod
    def _load_sdk(self) -> Any:
        """Import the SDK; return what it tells of the state of the host's queue.

        Raises:
            ImportError: It is not installed.
        """

    @abstractmethod
    def _set_up(self, base_url: str, key: str) -> None:
        """Take the host's address and the key."""

    @property
    @abstractmethod
    def base(self) -> str:
        """Name of the base at the host."""

    @abstractmethod
    def _connect(self, mark: dict[str, str]) -> Any:
        """Return the client of a new session, which is created by then."""

    @abstractmethod
    def _begin(self, client: Any, state: str | None, settings: dict[str, Any]) -> HostedRun:
        """Begin a model in a session, from a saved state or anew with these settings."""

    @abstractmethod
    def _end(self, client: Any, session: str, how: How) -> None:
        """Close the session of a client within seconds."""

    @abstractmethod
    def _end_by_id(self, sessions: Sequence[str]) -> None:
        """Close sessions of processes that were killed, and others of the job that are found."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete what was saved; see `TrainingHost.delete`."""

    @abstractmethod
    def fetch(self, export: str, folder: Path) -> Mapping[str, Any]:
        """Fetch an adapter; see `TrainingHost.fetch`."""

    def open(self, state: str | None) -> HostedRun:
        """Begin a session; see `TrainingHost.open`."""
        mark = {MARK: self._spec.job}
        with self._lock, self.translated(opening=True):
            if self._ended:
                raise StopRequestedError
            self._end_left()
            client = self._connect(mark)
            self._sessions.append(_session_of(client))
            self._client = client
            self._keep(self._sessions)
        # As training here: no matrices at the output layer.
        settings = {"rank": self._rank, "seed": self._spec.seed, "train_unembed": False}
        return self._begin(client, state, settings | {"user_metadata": mark})

    def close(self, how: How) -> None:
        """Close the session; where the host does not answer, the next `open` does so."""
        client, self._client = self._client, None
        if client is None:
            return
        session = _session_of(client)
        with suppress(*self._failures):
            self._end(client, session, how)
            self._sessions.remove(session)
            self._keep(self._sessions)

    def end(self) -> None:
        """Close the session within seconds, from another thread: the process ends."""
        self._ended = True
        if self._lock.acquire(timeout=END_S):
            client, self._client = self._client, None
            with suppress(*self._failures):
                if client:
                    self._end(client, _session_of(client), "interrupted")

    def close_left(self) -> None:
        """Close what is not known to be closed; see `TrainingHost.close_left`."""
        with self._lock, self.translated():
            self._end_left()

    def wait(self, act: Callable[[], Any], *, until_stop: bool = False) -> Any:
        """Return what a call returns that waits for the host; see `Waits.call`."""
        return self._waits.call(act, until_stop=until_stop)

    def _status_of(self, error: BaseException) -> int | None:
        return getattr(error, "status_code", None)

    def _end_left(self) -> None:
        self._end_by_id(self._sessions)
        if self._sessions:
            self._sessions.clear()
            self._keep(self._sessions)

    @contextmanager
    def translated(self, *, opening: bool = False, state: bool = False) -> Iterator[None]:
        """Raise the SDK's errors as ours; what a request held is in none of them."""
        try:
            yield
        except self._sdk.RequestFailedError as error:
            if error.category.name != "User":
                raise HostUnavailableError("a request failed there") from error
            if state:
                raise StateGoneError from error
            raise _refusal(error, opening=opening) from error
        except self._failures as error:
            status = self._status_of(error)
            if status == _MISSING and state:
                raise StateGoneError from error
            if status in _BY_KEY:
                raise TrainingFailure(
                    "host_refused_key",
                    f"The host refused the key or the account ({status}): check both, and run the"
                    f" same chain again.{self._about_keys}",
                ) from error
            missing = status == _MISSING and (opening or self._refuses_missing)
            if status in _REFUSED or missing:
                raise _refusal(error, opening=opening) from error
            if status in self._full:
                raise HostUnavailableError(f"it has no capacity now, status {status}") from error
            why = type(error).__name__ if status is None else f"status {status}"
            raise HostUnavailableError(why) from error


class SdkRun:
    """A model in training; see `HostedRun`."""

    def __init__(self, run: Any, host: SdkHost) -> None:
        self._run = run
        self._host = host

    def step(self, data: Sequence[Datum], rate: float) -> dict[str, float]:
        """Send a batch and the update in one go."""
        with self._host.translated():
            trained = self._run.forward_backward(self._sent(data), "cross_entropy")
            updated = self._update(rate)
            metrics = self._host.wait(trained.result).metrics
            self._host.wait(updated.result)
        return {"loss": float(metrics["loss:sum"])}

    def step_by(self, data: Sequence[Datum], loss: CustomLoss, rate: float) -> dict[str, float]:
        """Send a batch whose loss is computed here."""
        found: dict[str, float] = {}

        def observed(_: Any, answers: list[Any]) -> tuple[Any, dict[str, float]]:
            value, measures = loss(answers)
            found.update({"loss": float(value.detach()), **measures})
            return value, measures

        sent = self._sent(data)
        with self._host.translated():
            # Fireworks' SDK sends the gradient within this call, which the update has to follow.
            trained = self._host.wait(lambda: self._run.forward_backward_custom(sent, observed))
            updated = self._update(rate)
            self._host.wait(trained.result)
            self._host.wait(updated.result)
        return found

    def log_probabilities(self, data: Sequence[Datum]) -> list[list[float]]:
        """Compute log probabilities without a gradient."""
        with self._host.translated():
            asked = self._run.forward(self._sent(data), "cross_entropy")
            found = self._host.wait(asked.result)
        return [list(each["logprobs"].data) for each in found.loss_fn_outputs]

    def _update(self, rate: float) -> Any:
        # As AdamW here; the SDKs' defaults are others.
        return self._run.optim_step(
            self._host.types.AdamParams(
                learning_rate=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
                grad_clip_norm=1.0,
            )
        )  # fmt: skip

    def _sent(self, data: Sequence[Datum]) -> list[Any]:
        types = self._host.types
        return [
            types.Datum(
                model_input=types.ModelInput.from_ints(one.tokens),
                loss_fn_inputs={"target_tokens": one.targets, "weights": one.weights},
            )
            for one in data
        ]


def _session_of(client: Any) -> str:
    return str(client.holder.get_session_id())


def _refusal(error: BaseException, *, opening: bool) -> TrainingFailure:
    # Requests that open a session hold no training text, so an answer can't quote any.
    said = f": {error}" if opening else f" ({type(error).__name__})"
    return TrainingFailure("host_refused", f"The host refused the training{said}")
