"""Fireworks' Training API, without a trainer of one's own ("serverless"), through its SDK.

Sources: fireworks-ai 1.2.30 with its TINKER_COMPATIBILITY.md, and docs.fireworks.ai (serverless
training), November 2026. It is paid for by the token. A session holds one of the account's few
slots, so it is ended in each case, by its id also after its process was killed; sessions can't be
listed, so one whose id never came ends when Fireworks finds it idle.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from langchain_finetune.local.training.events import TrainingFailure, Waiting
from langchain_finetune.local.training.loop.adapter import download
from langchain_finetune.local.training.loop.fireworks_models import (
    SERVERLESS,
    FireworksModels,
    is_model,
    model_id,
)
from langchain_finetune.local.training.loop.host import (
    CustomLoss,
    Datum,
    HostUnavailableError,
    How,
    StateGoneError,
    StopRequestedError,
)
from langchain_finetune.local.training.loop.waits import Waits
from langchain_finetune.local.training.spec import Spec

MARK = "langchain_finetune_job"
"""Key of the metadata of sessions and runs."""

_EXPORT = "export:"
"""Before the name of a model that is fetched: what is exported is the model itself."""

_STATE = re.compile(r"^[^/]+/run-[^/]+/.+$")
_END_S = 8.0
_REFUSED = frozenset({400, 422})
_BY_KEY = frozenset({401, 402, 403})
_FULL = frozenset({409, 429})
_MISSING = 404


class FireworksHost:
    """The sessions of one job; see `TrainingHost` and `train_at_host`.

    Args:
        spec: The specification of the training, with its host.
        rank: Rank of LoRA's matrices.
        sessions: Ids of sessions that are not known to be closed.
        keep: Writes these ids down.
        promise: Writes down the name of a model before it is created.
        report: Takes `Waiting`.
        stop: Is set when the process is to end soon.

    Raises:
        TrainingFailure: The key is gone, or the SDK is not installed.
    """

    custom_losses = True

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
        try:
            import fireworks  # noqa: PLC0415 - seconds, and of an extra
            import httpx  # noqa: PLC0415 - the SDK's
            from fireworks.training import sdk  # noqa: PLC0415
            from fireworks.training.sdk._core.lib import (  # noqa: PLC0415
                queue_state_logger,
                retryable_exception,
            )

            key = spec.host_key.read_text()
        except ImportError as error:
            raise TrainingFailure(
                "missing_extra", "The engine's environment lacks the extra fireworks: install it."
            ) from error
        except OSError as error:
            raise TrainingFailure(
                "missing_key", "The key for the host is gone from the engine's home: run the same"
                " chain again, with the key.",
            ) from error  # fmt: skip
        self._sdk: Any = sdk
        self._failures = (
            sdk.TrainingError, fireworks.FireworksError, httpx.HTTPError, RuntimeError, ValueError,
            TimeoutError, CancelledError, retryable_exception.RetryableException,
        )  # fmt: skip
        root = spec.host.base_url.rstrip("/")
        self._address = {"base_url": root + SERVERLESS, "api_key": key}
        self._models = FireworksModels(root, key)
        self._spec, self._rank = spec, rank
        self._sessions, self._keep, self._promise = list(sessions), keep, promise
        self._waits = Waits(report, stop)
        self._lock = threading.Lock()
        self._ended = False
        self._service: Any = None
        # The SDK itself says so only in its log.
        observer: Any = queue_state_logger.QueueStateLogger
        observer.on_queue_state_change = self._waits.heard

    @property
    def base(self) -> str:
        """Name of the base at Fireworks: the one that was given, or as it names those of the Hub.

        Example: `Qwen/Qwen3.8-27B` is `accounts/fireworks/models/qwen3p8-27b` there.
        """
        assert self._spec.host
        return self._spec.host.base_model or base_at_fireworks(self._spec.name)

    def open(self, state: str | None) -> "FireworksRun":
        """Begin a session; see `TrainingHost.open`."""
        mark = {MARK: self._spec.job}
        with self._lock, self.translated(opening=True):
            if self._ended:
                raise StopRequestedError
            self._end_left()
            # Each attempt makes a session that nobody could find: there is one only.
            service = self._sdk.FiretitanServiceClient(
                user_metadata=mark, max_retries=0, **self._address
            )
            # The session is created here.
            self._sessions.append(str(service.holder.get_session_id()))
            self._service = service
            self._keep(self._sessions)
        with self.translated(opening=True):
            run = self._waits.call(
                lambda: service.create_lora_training_client(
                    self.base,
                    rank=self._rank,
                    seed=self._spec.seed,
                    # As training here: no matrices at the output layer.
                    train_unembed=False,
                    user_metadata=mark,
                ),
                until_stop=True,
            )
        if state:
            with self.translated(opening=True, state=True):
                loading = run.load_state_with_optimizer(state)
                self._waits.call(loading.result, until_stop=True)
        return FireworksRun(run, self)

    def close(self, how: How) -> None:
        """End the session; where the host does not answer, the next `open` does so."""
        del how  # Fireworks does not ask.
        service, self._service = self._service, None
        if service is None:
            return
        session = str(service.holder.get_session_id())
        with suppress(*self._failures):
            self._models.end_session(session, _END_S)
            self._sessions.remove(session)
            self._keep(self._sessions)
        with suppress(*self._failures):
            service.close()

    def end(self) -> None:
        """End the session within seconds, from another thread: the process ends."""
        self._ended = True
        if self._lock.acquire(timeout=_END_S):
            service, self._service = self._service, None
            with suppress(*self._failures):
                if service:
                    self._models.end_session(str(service.holder.get_session_id()), _END_S)

    def close_left(self) -> None:
        """End what is not known to have ended; see `TrainingHost.close_left`."""
        with self._lock, self.translated():
            self._end_left()

    def delete(self, path: str) -> None:
        """Delete a model; states can't be deleted, and are the host's to clear away."""
        if is_model(path):
            with self.translated():
                self._models.delete(path)

    def fetch(self, export: str, folder: Path) -> Mapping[str, Any]:
        """Fetch a model's adapter by its signed addresses; see `TrainingHost.fetch`."""
        with self.translated():
            urls = self._models.urls(export.removeprefix(_EXPORT))
        return download(urls, folder)

    def wait(self, act: Callable[[], Any]) -> Any:
        """Return what a call returns that waits for the host; see `Waits.call`."""
        return self._waits.call(act)

    def promote(self, run: str, checkpoint: str, step: str) -> str:
        """Make a saved checkpoint a model; return its name. See `FireworksModels.promote`."""
        models, session = self._models, str(self._service.holder.get_session_id())
        made = model_id(self._spec.suffix, self._spec.job, run, step)
        self._promise(f"accounts/{models.account}/models/{made}")
        return self._waits.call(lambda: models.promote(session, run, checkpoint, made, self.base))

    def reference(self, run: str, name: str) -> str:
        """Return the path by which another session finds a state."""
        return f"{self._models.account}/{run}/{name}"

    def _end_left(self) -> None:
        for session in [*self._sessions]:
            self._models.end_session(session)
        if self._sessions:
            self._sessions.clear()
            self._keep(self._sessions)

    @contextmanager
    def translated(self, *, opening: bool = False, state: bool = False) -> Iterator[None]:
        """Raise the SDK's errors as ours; what a request held is in none of them."""
        try:
            yield
        except self._sdk.RequestFailedError as error:
            if getattr(error.category, "name", "") != "User":
                raise HostUnavailableError("a request failed there") from error
            if state:
                raise StateGoneError from error
            raise _refusal(error, opening=opening) from error
        except self._failures as error:
            # What a result is asked for is wrapped.
            status = getattr(error, "status_code", getattr(error.__cause__, "status_code", None))
            if status == _MISSING and state:
                raise StateGoneError from error
            if status in _BY_KEY:
                raise TrainingFailure(
                    "host_refused_key",
                    f"The host refused the key or the account ({status}): check both, and run the"
                    " same chain again. Training needs a key with the scope of training.",
                ) from error
            if status in _REFUSED or (status == _MISSING and opening):
                raise _refusal(error, opening=opening) from error
            if status in _FULL:
                raise HostUnavailableError(f"it has no capacity now, status {status}") from error
            why = type(error).__name__ if status is None else f"status {status}"
            raise HostUnavailableError(why) from error


class FireworksRun:
    """A model in training at Fireworks; see `HostedRun`."""

    def __init__(self, run: Any, host: FireworksHost) -> None:
        self._run = run
        self._host = host
        self._id = str(run.run_id)
        self._models: dict[str, str] = {}

    def step(self, data: Sequence[Datum], rate: float) -> dict[str, float]:
        """Send a batch and the update in one go."""
        with self._host.translated():
            trained = self._run.forward_backward(list(map(_datum, data)), "cross_entropy")
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

        sent = list(map(_datum, data))
        with self._host.translated():
            # Only then is its gradient sent, which the update has to follow.
            trained = self._host.wait(lambda: self._run.forward_backward_custom(sent, observed))
            updated = self._update(rate)
            self._host.wait(trained.result)
            self._host.wait(updated.result)
        return found

    def log_probabilities(self, data: Sequence[Datum]) -> list[list[float]]:
        """Compute log probabilities without a gradient."""
        with self._host.translated():
            asked = self._run.forward(list(map(_datum, data)), "cross_entropy")
            found = self._host.wait(asked.result)
        return [list(each["logprobs"].data) for each in found.loss_fn_outputs]

    def save_state(self, name: str) -> str:
        """Save weights and optimizer."""
        with self._host.translated():
            path = str(self._host.wait(self._run.save_state(name).result).path)
            # Another session needs account and run before the name.
            return path if _STATE.match(path) else self._host.reference(self._id, name)

    def save_model(self, name: str) -> str:
        """Save weights to answer with, and make them a model of the account."""
        with self._host.translated():
            saved = self._host.wait(lambda: self._run.save_weights_for_sampler_ext(name))
            self._models[name] = self._host.promote(self._id, str(saved.snapshot_name), name)
        return self._models[name]

    def export(self, name: str) -> str:
        """Return what fetches the weights of the model of this name: there is no other copy."""
        return _EXPORT + self._models[name]

    def _update(self, rate: float) -> Any:
        from fireworks.training.sdk import types  # noqa: PLC0415

        # As AdamW here; the SDK's defaults are others.
        return self._run.optim_step(
            types.AdamParams(
                learning_rate=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
                grad_clip_norm=1.0,
            )
        )  # fmt: skip


def base_at_fireworks(base: str) -> str:
    """Return how Fireworks names a base of the Hugging Face Hub; one of its own stays.

    Example:
        >>> base_at_fireworks("Qwen/Qwen3.8-27B")
        'accounts/fireworks/models/qwen3p8-27b'
    """
    if base.startswith("accounts/"):
        return base
    return f"accounts/fireworks/models/{base.rpartition('/')[2].lower().replace('.', 'p')}"


def _datum(one: Datum) -> Any:
    from fireworks.training.sdk import types  # noqa: PLC0415

    inputs: Any = {"target_tokens": one.targets, "weights": one.weights}
    return types.Datum(model_input=types.ModelInput.from_ints(one.tokens), loss_fn_inputs=inputs)


def _refusal(error: Exception, *, opening: bool) -> TrainingFailure:
    # Requests that open a session hold no training text, so an answer can't quote any.
    said = f": {error}" if opening else f" ({type(error).__name__})"
    return TrainingFailure("host_refused", f"The host refused the training{said}")
