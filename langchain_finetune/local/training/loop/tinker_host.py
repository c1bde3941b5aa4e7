"""Tinker, and every server of its REST, through its SDK.

Sources: tinker 0.38.0 and tinker-docs.thinkingmachines.ai, November 2026. A session lives only as
long as its client: it is finished in each case, by its id also after its process was killed, or
found by its metadata where the answer with its id was lost.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from langchain_finetune.local.training.events import TrainingFailure, Waiting
from langchain_finetune.local.training.loop.adapter import download
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

STATE_TTL_S = 30 * 86400
"""States are deleted as soon as there is a later one; this is for those of a job that was lost."""

EXPORT_TTL_S = 7 * 86400

_END_S = 8.0
_DOWNLOAD_S = 60.0
_REACH_S = 10.0
_GONE, _CONFLICT, _EXPIRED = 404, 409, 410


class TinkerHost:
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
            import tinker  # noqa: PLC0415 - seconds, and of an extra
            from tinker.lib.queue_state_logger import QueueStateLogger  # noqa: PLC0415

            key = spec.host_key.read_text()
        except ImportError as error:
            raise TrainingFailure(
                "missing_extra", "The engine's environment lacks the extra tinker: install it."
            ) from error
        except OSError as error:
            raise TrainingFailure(
                "missing_key", "The key for the host is gone from the engine's home: run the same"
                " chain again, with the key.",
            ) from error  # fmt: skip
        self._sdk = tinker
        # Beside its own, it raises these where a result is gone or an earlier request failed.
        self._failures = (
            tinker.TinkerError, httpx2.HTTPError, RuntimeError, ValueError, TimeoutError,
            CancelledError,
        )  # fmt: skip
        self._address = {"base_url": spec.host.base_url, "api_key": key}
        self._spec, self._rank = spec, rank
        self._base = spec.host.base_model or spec.name
        self._sessions, self._keep, self.promise = list(sessions), keep, promise
        self._waits = Waits(report, stop)
        self._lock = threading.Lock()
        self._ended = False
        self._client: Any = None
        # The SDK itself says so only in its log, after a quarter of an hour.
        QueueStateLogger.on_queue_state_change = self._waits.heard

    def open(self, state: str | None) -> "TinkerRun":
        """Begin a session; see `TrainingHost.open`."""
        mark = {MARK: self._spec.job}
        with self._lock, self.translated(opening=True):
            if self._ended:
                raise StopRequestedError
            self._require_reachable()
            self._finish_left()
            client = self._sdk.ServiceClient(user_metadata=mark, **self._address)
            # The session is created here.
            self._sessions.append(client.holder.get_session_id())
            self._client = client
            self._keep(self._sessions)
        with self.translated(opening=True, state=state is not None):
            if state:
                future = client.create_training_client_from_state_with_optimizer(
                    state, user_metadata=mark
                )
            else:
                future = client.create_lora_training_client(
                    base_model=self._base,
                    rank=self._rank,
                    seed=self._spec.seed,
                    # As training here: no matrices at the output layer.
                    train_unembed=False,
                    user_metadata=mark,
                )
            return TinkerRun(self.wait(future, until_stop=True), self)

    def close(self, how: How) -> None:
        """Close the session; where the host does not answer, the next `open` does so."""
        client, self._client = self._client, None
        if client is None:
            return
        session = client.holder.get_session_id()
        with suppress(*self._failures):
            client.close(how).result(_END_S)
            self._sessions.remove(session)
            self._keep(self._sessions)

    def end(self) -> None:
        """Close the session within seconds, from another thread: the process ends."""
        self._ended = True
        if self._lock.acquire(timeout=_END_S):
            client, self._client = self._client, None
            with suppress(*self._failures):
                if client:
                    client.close("interrupted").result(_END_S)

    def delete(self, path: str) -> None:
        """Delete what was saved; see `TrainingHost.delete`."""
        with self.translated(), suppress(self._sdk.NotFoundError):
            self._rest().delete_checkpoint_from_tinker_path(path).result(_DOWNLOAD_S)

    def fetch(self, export: str, folder: Path) -> Mapping[str, Any]:
        """Fetch an adapter by its signed addresses; see `TrainingHost.fetch`."""
        with self.translated():
            urls = self._rest().get_external_weights_urls(export).result(_DOWNLOAD_S).urls
        return download(urls, folder)

    def wait(self, future: Any, *, until_stop: bool = False) -> Any:
        """Return a future's result, and report meanwhile whether the host has capacity.

        Raises:
            StopRequestedError: With `until_stop`, if the process is asked to stop.
            HostUnavailableError: There is no answer within a day.
        """
        return self._waits.result(
            future.result, lambda: future.future().done(), until_stop=until_stop
        )

    def close_left(self) -> None:
        """Close what is not known to be closed; see `TrainingHost.close_left`."""
        with self._lock, self.translated():
            self._finish_left()

    def _require_reachable(self) -> None:
        """Ask the host for anything: the SDK itself says after five minutes that it is not there.

        Neither the key nor anything of the job is sent.

        Raises:
            httpx2.HTTPError: Nothing answers at its address.
        """
        httpx2.head(self._address["base_url"], timeout=_REACH_S)

    def _finish_left(self) -> None:
        """Finish sessions of processes that were killed, those with unknown ids among them."""
        rest = self._rest()
        for session in {*self._sessions, *self._found(rest)}:
            with suppress(_AlreadyFinishedError):
                _result(rest, partial(_finish, rest.holder, session))
        if self._sessions:
            self._sessions.clear()
            self._keep(self._sessions)

    def _found(self, rest: Any) -> list[str]:
        """Return the ids of this job's sessions that run, if the server can look for them."""
        types = self._sdk.types
        request = types.SessionSearchRequest(
            user_metadata={MARK: self._spec.job}, statuses=[types.ActiveSessionStatusQuery()]
        )
        with warnings.catch_warnings(action="ignore"), suppress(self._sdk.NotFoundError):
            page = rest.search_sessions(request).result(_DOWNLOAD_S)
            return [session.session_id for session in page.sessions]
        return []

    def _rest(self) -> Any:
        return self._sdk.RestClient(**self._address)

    @contextmanager
    def translated(self, *, opening: bool = False, state: bool = False) -> Iterator[None]:
        """Raise the SDK's errors as ours; what a request held is in none of them."""
        sdk = self._sdk
        try:
            yield
        except sdk.NotFoundError as error:
            if state:
                raise StateGoneError from error
            raise _refusal(error, opening=opening) from error
        except (sdk.AuthenticationError, sdk.PermissionDeniedError, sdk.BillingError) as error:
            raise TrainingFailure(
                "host_refused_key",
                f"The host refused the key or the account ({error.status_code}): check both, and"
                " run the same chain again.",
            ) from error
        except (sdk.BadRequestError, sdk.UnprocessableEntityError) as error:
            raise _refusal(error, opening=opening) from error
        except sdk.RequestFailedError as error:
            if error.category != sdk.types.RequestErrorCategory.User:
                raise HostUnavailableError("a request failed there") from error
            if state:
                raise StateGoneError from error
            raise _refusal(error, opening=opening) from error
        except self._failures as error:
            status = getattr(error, "status_code", None)
            why = type(error).__name__ if status is None else f"status {status}"
            raise HostUnavailableError(why) from error


class TinkerRun:
    """A model in training at Tinker; see `HostedRun`."""

    def __init__(self, run: Any, host: TinkerHost) -> None:
        self._run = run
        self._host = host

    def step(self, data: Sequence[Datum], rate: float) -> dict[str, float]:
        """Send a batch and the update in one go."""
        with self._host.translated():
            trained = self._run.forward_backward(list(map(_datum, data)), "cross_entropy")
            updated = self._update(rate)
            metrics = self._host.wait(trained).metrics
            self._host.wait(updated)
        return {"loss": float(metrics["loss:sum"])}

    def step_by(self, data: Sequence[Datum], loss: CustomLoss, rate: float) -> dict[str, float]:
        """Send a batch whose loss is computed here."""
        found: dict[str, float] = {}

        def observed(_: Any, answers: list[Any]) -> tuple[Any, dict[str, float]]:
            value, measures = loss(answers)
            found.update({"loss": float(value.detach()), **measures})
            return value, measures

        with self._host.translated():
            trained = self._run.forward_backward_custom(list(map(_datum, data)), observed)
            updated = self._update(rate)
            self._host.wait(trained)
            self._host.wait(updated)
        return found

    def log_probabilities(self, data: Sequence[Datum]) -> list[list[float]]:
        """Compute log probabilities without a gradient."""
        with self._host.translated():
            found = self._host.wait(self._run.forward(list(map(_datum, data)), "cross_entropy"))
        return [list(each["logprobs"].data) for each in found.loss_fn_outputs]

    def save_state(self, name: str) -> str:
        """Save weights and optimizer."""
        with self._host.translated():
            future = self._run.save_state(name, ttl_seconds=STATE_TTL_S, overwrite=True)
            return str(self._host.wait(future).path)

    def save_model(self, name: str) -> str:
        """Save weights to answer with, which do not expire."""
        self._host.promise(f"tinker://{self._run.model_id}/sampler_weights/{name}")
        with self._host.translated():
            return str(self._host.wait(self._run.save_weights_for_sampler(name)).path)

    def export(self, name: str) -> str:
        """Save weights in the Hugging Face form."""
        with self._host.translated():
            future = self._run.save_weights_external(name, ttl_seconds=EXPORT_TTL_S)
            return str(self._host.wait(future).path)

    def _update(self, rate: float) -> Any:
        from tinker.types import AdamParams  # noqa: PLC0415

        # As AdamW here; the SDK's defaults are others.
        return self._run.optim_step(
            AdamParams(
                learning_rate=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
                grad_clip_norm=1.0,
            )
        )  # fmt: skip


class _AlreadyFinishedError(Exception):
    """The session was finished before."""


def _datum(one: Datum) -> Any:
    from tinker import types  # noqa: PLC0415

    return types.Datum(
        model_input=types.ModelInput.from_ints(one.tokens),
        loss_fn_inputs={"target_tokens": one.targets, "weights": one.weights},
    )


def _refusal(error: Exception, *, opening: bool) -> TrainingFailure:
    # Requests that open a session hold no training text, so an answer can't quote any.
    said = f": {error}" if opening else f" ({type(error).__name__})"
    return TrainingFailure("host_refused", f"The host refused the training{said}")


async def _finish(holder: Any, session: str) -> None:
    """Finish a session by its id, as the SDK does for its own only."""
    from tinker import APIStatusError  # noqa: PLC0415
    from tinker.lib.client_connection_pool_type import ClientConnectionPoolType  # noqa: PLC0415

    with holder.aclient(ClientConnectionPoolType.TRAIN) as client:
        try:
            await client.post(
                f"/api/v1/sessions/{session}/finish",
                body={"reason": {"type": "interrupted"}, "detail": None},
                cast_to=type(None),
            )
        except APIStatusError as error:
            if error.status_code in {_GONE, _CONFLICT, _EXPIRED}:
                raise _AlreadyFinishedError from error
            raise


def _result(rest: Any, request: Callable[[], Any]) -> Any:
    holder = rest.holder
    return holder.run_coroutine_threadsafe(holder.execute_with_retries(request)).result(_DOWNLOAD_S)
