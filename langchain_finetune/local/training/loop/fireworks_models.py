"""The control plane of Fireworks: sessions, checkpoints and models of an account.

Source: fireworks-ai 1.2.30 (`FireworksClient`, `resources/models`). Its own client of sessions and
checkpoints asks again for minutes and raises errors without a status, so the same requests are made
through the SDK's general client.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop.host import HostUnavailableError

SERVERLESS = "/training/v1/serverless"
"""Where the training API is, below the address of the control plane."""

_MODELS = re.compile(r"^accounts/([^/]+)/models/([^/]+)$")
_TIMEOUT_S = 60.0
_LISTED_S = 300.0
"""How long a checkpoint that was saved may not be listed yet."""

_READY_S = 3600.0
_POLL_S = 2.0
_PAGE = 200
_GONE = 404
_CONFLICT = 409


class FireworksModels:
    """Sessions, checkpoints and models.

    Args:
        base_url: Address of the control plane.
        key: The key of the account.
        pause: Waits some seconds.
    """

    def __init__(
        self, base_url: str, key: str, pause: Callable[[float], None] = time.sleep
    ) -> None:
        from fireworks import Fireworks  # noqa: PLC0415 - seconds, and of an extra

        self._client = Fireworks(
            api_key=key, base_url=base_url, max_retries=0, timeout=_TIMEOUT_S,
            default_headers={"X-Api-Key": key},
        )  # fmt: skip
        self._pause = pause
        self._account: str | None = None

    @property
    def account(self) -> str:
        """Id of the account of the key.

        Raises:
            TrainingFailure: `host_refused_key`: the key is that of no account, or of several.
        """
        if self._account is None:
            found = self._get("/v1/accounts", {"pageSize": 2}).get("accounts") or []
            if len(found) != 1:
                raise TrainingFailure(
                    "host_refused_key",
                    "Training at Fireworks needs a key that belongs to one account: make one there,"
                    " and run the same chain again with it.",
                )
            self._account = str(found[0]["name"]).removeprefix("accounts/")
        return self._account

    def end_session(self, session: str, timeout_s: float = _TIMEOUT_S) -> None:
        """End a session; one that has ended is no error."""
        path = f"/v1/accounts/{self.account}/trainingSessions/{session}"
        self._unless_gone(
            lambda: self._client.delete(path, cast_to=object, options={"timeout": timeout_s})
        )

    def promote(self, session: str, run: str, checkpoint: str, model: str, base: str) -> str:
        """Make a saved checkpoint of a run a model of the account; return the model's name.

        A model that an earlier attempt has made of it is taken as it is.

        Raises:
            HostUnavailableError: The checkpoint is not listed, or the model does not get ready.
        """
        name = f"accounts/{self.account}/models/{model}"
        if self._model(name) is None:
            found = self._listed(session, run, checkpoint)
            body = {"output_model": name, "base_model": base}
            try:
                self._client.post(f"/v1/{found}:promote", cast_to=object, body=body)
            except self._status_error() as error:
                # An attempt whose answer was lost has made it.
                if error.status_code != _CONFLICT:
                    raise
        give_up = time.monotonic() + _READY_S
        while True:
            made = self._model(name) or {}
            if made.get("state") == "READY":
                return name
            if time.monotonic() > give_up:
                raise HostUnavailableError(f"the model {name} does not get ready")
            self._pause(_POLL_S)

    def delete(self, name: str) -> None:
        """Delete a model; one that is gone is no error."""
        self._unless_gone(lambda: self._client.delete(f"/v1/{name}", cast_to=object))

    def urls(self, name: str) -> Mapping[str, str]:
        """Return the signed addresses of a model's files, by their names."""
        told = self._get(f"/v1/{name}:getDownloadEndpoint", {})
        urls = told.get("filenameToSignedUrls") or {}
        return {path.rpartition("/")[2]: url for path, url in urls.items()}

    def _listed(self, session: str, run: str, checkpoint: str) -> str:
        give_up = time.monotonic() + _LISTED_S
        while True:
            for row in self._checkpoints(session):
                if row.get("promotable") and _is(str(row.get("name")), run, checkpoint):
                    return str(row["name"])
            if time.monotonic() > give_up:
                raise HostUnavailableError(f"the checkpoint {checkpoint} is not listed")
            self._pause(_POLL_S)

    def _checkpoints(self, session: str) -> list[dict[str, Any]]:
        path = f"/v1/accounts/{self.account}/trainingSessions/{session}/checkpoints"
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._get(path, {"pageSize": _PAGE} | ({"pageToken": token} if token else {}))
            found += page.get("trainingSessionCheckpoints") or page.get("checkpoints") or []
            token = page.get("nextPageToken") or ""
            if not token:
                return found

    def _model(self, name: str) -> dict[str, Any] | None:
        try:
            return self._get(f"/v1/{name}", {})
        except self._status_error() as error:
            if error.status_code == _GONE:
                return None
            raise

    def _get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._client.get(path, cast_to=object, options={"params": query})
        return answer if isinstance(answer, dict) else {}

    def _unless_gone(self, act: Callable[[], object]) -> None:
        try:
            act()
        except self._status_error() as error:
            if error.status_code != _GONE:
                raise

    def _status_error(self) -> Any:
        from fireworks import APIStatusError  # noqa: PLC0415

        return APIStatusError


def is_model(name: str) -> bool:
    """Return whether a name is that of a model.

    Example:
        >>> is_model("accounts/acme/models/calculator"), is_model("acme/run-01/step-4")
        (True, False)
    """
    return _MODELS.match(name) is not None


def model_id(suffix: str | None, job: str, run: str, step: str) -> str:
    """Return the id of a checkpoint's model: at most 63 of a-z, 0-9 and hyphens.

    Example:
        >>> model_id("My model", "ftjob-1", "run-0123456789ab", "step-4")
        'my-model-3c114718-01234567-step-4'
    """
    own = re.sub(r"[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")[:24].rstrip("-") or "lcft"
    mark = hashlib.sha256(job.encode()).hexdigest()[:8]
    return f"{own}-{mark}-{run.removeprefix('run-')[:8]}-{step}"


def _is(listed: str, run: str, checkpoint: str) -> bool:
    """Return whether a listed checkpoint is that of a run: its id may begin with the run's."""
    short = listed.rpartition("/")[2]
    return short in {checkpoint, f"{run}-{checkpoint}", f"{run}:{checkpoint}"}
