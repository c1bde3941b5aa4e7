"""Tinker, and every server of its REST, through its SDK.

Sources: tinker 0.38.0 and tinker-docs.thinkingmachines.ai, November 2026. A session whose id was
lost with an answer is found by its metadata.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from langchain_finetune.local.training.loop.adapter import download
from langchain_finetune.local.training.loop.host import HostedRun, How
from langchain_finetune.local.training.loop.sdk_host import END_S, MARK, SdkHost, SdkRun

STATE_TTL_S = 30 * 86400
"""States are deleted as soon as there is a later one; this is for those of a job that was lost."""

EXPORT_TTL_S = 7 * 86400

_DOWNLOAD_S = 60.0
_REACH_S = 10.0
_GONE, _CONFLICT, _EXPIRED = 404, 409, 410


class TinkerHost(SdkHost):
    """The sessions of one job at Tinker; see `SdkHost`."""

    _extra = "tinker"
    _refuses_missing = True

    def _load_sdk(self) -> Any:
        import tinker  # noqa: PLC0415 - seconds, and of an extra
        from tinker.lib.queue_state_logger import QueueStateLogger  # noqa: PLC0415

        self._sdk, self.types = tinker, tinker.types
        # Beside its own, it raises these where a result is gone or an earlier request failed.
        self._failures = (
            tinker.TinkerError, httpx2.HTTPError, RuntimeError, ValueError, TimeoutError,
            CancelledError,
        )  # fmt: skip
        return QueueStateLogger

    def _set_up(self, base_url: str, key: str) -> None:
        self._address = {"base_url": base_url, "api_key": key}

    @property
    def base(self) -> str:
        """Name of the base at Tinker: the one that was given, or that of the Hub."""
        assert self._spec.host
        return self._spec.host.base_model or self._spec.name

    def _connect(self, mark: dict[str, str]) -> Any:
        return self._sdk.ServiceClient(user_metadata=mark, **self._address)

    def _begin(self, client: Any, state: str | None, settings: dict[str, Any]) -> HostedRun:
        with self.translated(opening=True, state=state is not None):
            if state:
                future = client.create_training_client_from_state_with_optimizer(
                    state, user_metadata=settings["user_metadata"]
                )
            else:
                future = client.create_lora_training_client(base_model=self.base, **settings)
            return _TinkerRun(self.wait(future.result, until_stop=True), self)

    def _end(self, client: Any, session: str, how: How) -> None:
        del session
        client.close(how).result(END_S)

    def _end_by_id(self, sessions: Sequence[str]) -> None:
        # The SDK itself says after five minutes that the host is not there. Neither the key nor
        # anything of the job is sent.
        httpx2.head(self._address["base_url"], timeout=_REACH_S)
        rest = self._rest()
        for session in {*sessions, *self._found(rest)}:
            with suppress(_AlreadyFinishedError):
                _result(rest, partial(_finish, rest.holder, session))

    def delete(self, path: str) -> None:
        """Delete what was saved; see `TrainingHost.delete`."""
        with self.translated(), suppress(self._sdk.NotFoundError):
            self._rest().delete_checkpoint_from_tinker_path(path).result(_DOWNLOAD_S)

    def fetch(self, export: str, folder: Path) -> Mapping[str, Any]:
        """Fetch an adapter by its signed addresses; see `TrainingHost.fetch`."""
        with self.translated():
            urls = self._rest().get_external_weights_urls(export).result(_DOWNLOAD_S).urls
        return download(urls, folder)

    def _found(self, rest: Any) -> list[str]:
        """Return the ids of this job's sessions that run, if the server can look for them."""
        types = self.types
        request = types.SessionSearchRequest(
            user_metadata={MARK: self._spec.job}, statuses=[types.ActiveSessionStatusQuery()]
        )
        with warnings.catch_warnings(action="ignore"), suppress(self._sdk.NotFoundError):
            page = rest.search_sessions(request).result(_DOWNLOAD_S)
            return [session.session_id for session in page.sessions]
        return []

    def _rest(self) -> Any:
        return self._sdk.RestClient(**self._address)


class _TinkerRun(SdkRun):
    """A model in training at Tinker; see `HostedRun`."""

    def save_state(self, name: str) -> str:
        """Save weights and optimizer."""
        with self._host.translated():
            future = self._run.save_state(name, ttl_seconds=STATE_TTL_S, overwrite=True)
            return str(self._host.wait(future.result).path)

    def save_model(self, name: str) -> str:
        """Save weights to answer with, which do not expire."""
        self._host.promise(f"tinker://{self._run.model_id}/sampler_weights/{name}")
        with self._host.translated():
            return str(self._host.wait(self._run.save_weights_for_sampler(name).result).path)

    def export(self, name: str) -> str:
        """Save weights in the Hugging Face form."""
        with self._host.translated():
            future = self._run.save_weights_external(name, ttl_seconds=EXPORT_TTL_S)
            return str(self._host.wait(future.result).path)


class _AlreadyFinishedError(Exception):
    """The session was finished before."""


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
