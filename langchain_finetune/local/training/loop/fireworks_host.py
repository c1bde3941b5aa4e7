"""Fireworks' Training API, without a trainer of one's own ("serverless"), through its SDK.

Sources: fireworks-ai 1.2.30 with its TINKER_COMPATIBILITY.md, and docs.fireworks.ai (serverless
training), November 2026. It is paid for by the token. A session holds one of the account's few
slots; sessions can't be listed, so one whose id never came ends when Fireworks finds it idle.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_finetune.local.training.loop.adapter import download
from langchain_finetune.local.training.loop.fireworks_models import (
    SERVERLESS,
    FireworksModels,
    is_model,
    model_id,
)
from langchain_finetune.local.training.loop.host import HostedRun, How
from langchain_finetune.local.training.loop.sdk_host import END_S, SdkHost, SdkRun

_EXPORT = "export:"
"""Before the name of a model that is fetched: what is exported is the model itself."""

_STATE = re.compile(r"^[^/]+/run-[^/]+/.+$")


class FireworksHost(SdkHost):
    """The sessions of one job at Fireworks; see `SdkHost`."""

    _extra = "fireworks"
    _full = frozenset({409, 429})
    _refuses_missing = False
    _about_keys = " Training needs a key with the scope of training."

    def _load_sdk(self) -> Any:
        import fireworks  # noqa: PLC0415 - seconds, and of an extra
        import httpx  # noqa: PLC0415 - the SDK's
        from fireworks.training import sdk  # noqa: PLC0415
        from fireworks.training.sdk import types  # noqa: PLC0415
        from fireworks.training.sdk._core.lib import (  # noqa: PLC0415
            queue_state_logger,
            retryable_exception,
        )

        self._sdk, self.types = sdk, types
        self._failures = (
            sdk.TrainingError, fireworks.FireworksError, httpx.HTTPError, RuntimeError, ValueError,
            TimeoutError, CancelledError, retryable_exception.RetryableException,
        )  # fmt: skip
        return queue_state_logger.QueueStateLogger

    def _set_up(self, base_url: str, key: str) -> None:
        root = base_url.rstrip("/")
        self._address = {"base_url": root + SERVERLESS, "api_key": key}
        self._models = FireworksModels(root, key)

    @property
    def base(self) -> str:
        """Name of the base at Fireworks: the one that was given, or as it names those of the Hub.

        Example: `Qwen/Qwen3.8-27B` is `accounts/fireworks/models/qwen3p8-27b` there.
        """
        assert self._spec.host
        return self._spec.host.base_model or base_at_fireworks(self._spec.name)

    def _connect(self, mark: dict[str, str]) -> Any:
        # Each attempt makes a session that nobody could find: there is one only.
        return self._sdk.FiretitanServiceClient(user_metadata=mark, max_retries=0, **self._address)

    def _begin(self, client: Any, state: str | None, settings: dict[str, Any]) -> HostedRun:
        with self.translated(opening=True):
            run = self.wait(
                lambda: client.create_lora_training_client(self.base, **settings), until_stop=True
            )
        if state:
            with self.translated(opening=True, state=True):
                self.wait(run.load_state_with_optimizer(state).result, until_stop=True)
        return _FireworksRun(run, self)

    def _end(self, client: Any, session: str, how: How) -> None:
        del client, how  # Fireworks asks for neither.
        self._models.end_session(session, END_S)

    def _end_by_id(self, sessions: Sequence[str]) -> None:
        for session in sessions:
            self._models.end_session(session)

    def _status_of(self, error: BaseException) -> int | None:
        # What a result is asked for is wrapped.
        return getattr(error, "status_code", getattr(error.__cause__, "status_code", None))

    def close(self, how: How) -> None:
        """End the session, and let go of its client."""
        client = self._client
        super().close(how)
        if client is not None:
            with suppress(*self._failures):
                client.close()

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

    def promoted(self, run: str, checkpoint: str, step: str) -> str:
        """Make a saved checkpoint a model; return its name. See `FireworksModels.promote`."""
        models, session = self._models, str(self._client.holder.get_session_id())
        made = model_id(self._spec.suffix, self._spec.job, run, step)
        self.promise(f"accounts/{models.account}/models/{made}")
        return str(self.wait(lambda: models.promote(session, run, checkpoint, made, self.base)))

    def reference(self, run: str, name: str) -> str:
        """Return the path by which another session finds a state."""
        return f"{self._models.account}/{run}/{name}"


class _FireworksRun(SdkRun):
    """A model in training at Fireworks; see `HostedRun`."""

    _host: FireworksHost

    def __init__(self, run: Any, host: FireworksHost) -> None:
        super().__init__(run, host)
        self._id = str(run.run_id)
        self._models: dict[str, str] = {}

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
            self._models[name] = self._host.promoted(self._id, str(saved.snapshot_name), name)
        return self._models[name]

    def export(self, name: str) -> str:
        """Return what fetches the weights of the model of this name: there is no other copy."""
        return _EXPORT + self._models[name]


def base_at_fireworks(base: str) -> str:
    """Return how Fireworks names a base of the Hugging Face Hub; one of its own stays.

    Example:
        >>> base_at_fireworks("Qwen/Qwen3.8-27B")
        'accounts/fireworks/models/qwen3p8-27b'
        >>> base_at_fireworks("accounts/fireworks/models/qwen3p8-27b")
        'accounts/fireworks/models/qwen3p8-27b'
    """
    if base.startswith("accounts/"):
        return base
    return f"accounts/fireworks/models/{base.rpartition('/')[2].lower().replace('.', 'p')}"
