"""Serves a fine-tuned model at Fireworks, on a deployment of its own.

Source: fireworks-ai 1.2.30, `resources/deployments`, and docs.fireworks.ai ("Deploying fine-tuned
models"). A deployment has the adapter merged into its base. It is paid for by the second while it
has a replica: with none at least, it stops when idle, and starts with the next request.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from pydantic import Field

from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.flow import Flow, Patience, Retry, Sleep, ask_or_none
from langchain_finetune.errors import DeployError, EngineError

PATIENCE = Patience(timeout_s=3600.0, first_s=10.0, longest_s=10.0)

_READY = "READY"
_COMING = frozenset({"CREATING", "UPDATING", "STATE_UNSPECIFIED", ""})
_GOING = frozenset({"DELETING", "DELETED"})


class FireworksDeployment(Deployment):
    """How a fine-tuned model is served by Fireworks.

    Attributes:
        name: Begins the deployment's id; what follows tells models apart.
        shape: Deployment shape, `accounts/fireworks/deploymentShapes/...`, which chooses the
            hardware. Fireworks' console lists those of a base.
        min_replicas: Fewest replicas, each paid for while it runs; with 0 it stops when idle.
        max_replicas: Most replicas.
        idle_minutes: Minutes without a request after which it stops.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,53}$")
    shape: str = Field(
        pattern=r"^accounts/[^/]+/deploymentShapes/[^/]+(/versions/[^/]+)?$",
        description="Deployment shape, accounts/fireworks/deploymentShapes/...",
    )
    min_replicas: int = Field(default=0, ge=0, description="Fewest replicas; 0 by default.")
    max_replicas: int = Field(default=1, ge=1, description="Most replicas; 1 by default.")
    idle_minutes: int = Field(
        default=30,
        ge=5,
        description="Minutes without a request after which it stops; 30 by default.",
    )

    def body(self, model: str) -> dict[str, Any]:
        """The request that makes a deployment of a model."""
        return {
            "baseModel": model,
            "deploymentShape": self.shape,
            "minReplicaCount": self.min_replicas,
            "maxReplicaCount": max(self.min_replicas, self.max_replicas),
            "autoscalingPolicy": {"scaleToZeroWindow": f"{60 * self.idle_minutes}s"},
            "displayName": self.name,
        }


@dataclass(frozen=True)
class FireworksServing:
    """Deploys the model of one job.

    Attributes:
        asking: Makes an attempt of a request; given its verb, path and what is sent.
        retry: Retries of requests.
        job_id: The job.
        model: Name of its model, `accounts/.../models/...`.
        deployment: How it is served.
        patience: How long it is waited for.
    """

    asking: Callable[..., Flow[Any]]
    retry: Retry
    job_id: str
    model: str
    deployment: FireworksDeployment
    patience: Patience = PATIENCE

    @property
    def name(self) -> str:
        """The deployment's full name; each model has its own."""
        return f"{self._list}/{self._id}"

    @property
    def _list(self) -> str:
        return f"{self.model.partition('/models/')[0]}/deployments"

    @property
    def _id(self) -> str:
        return f"{self.deployment.name}-{hashlib.sha256(self.model.encode()).hexdigest()[:8]}"

    def start(self) -> Flow[str]:
        """Return the model's name on its deployment, once that is ready.

        What another process has begun is taken up. What does not get ready is deleted.

        Raises:
            DeployError: The deployment failed, or took too long.
            EngineError: Fireworks refused a request.
        """
        yield from self._make()
        try:
            yield from self._until_ready()
        except (DeployError, EngineError) as error:
            yield from self._give_up(error)
            raise
        return f"{self.model}#{self.name}"

    def abandon(self) -> Flow[None]:
        """Delete the deployment unless it is ready."""
        state = yield from self._state()
        if state is not None and state != _READY and state not in _GOING:
            yield from self._delete()

    def _make(self) -> Flow[None]:
        for attempt in count(1):
            state = yield from self._state()
            if state is not None and state not in _GOING:
                return
            try:
                path = f"/v1/{self._list}?deploymentId={self._id}"
                yield from self.asking("post", path, body=self.deployment.body(self.model))
            except EngineError as error:
                # The id is ours: where the outcome is unknown, the deployment is looked for.
                pause = self.retry.pause_after(attempt, error.failure)
                if pause is None:
                    raise
                yield Sleep(pause)
            else:
                return

    def _until_ready(self) -> Flow[None]:
        give_up = self.patience.clock() + self.patience.timeout_s
        while True:
            state = yield from self._state()
            if state == _READY:
                return
            # What was just made may not be there yet.
            if state is not None and state not in _COMING:
                raise DeployError(
                    f"Fireworks' deployment of job {self.job_id}'s model ended as {state}.",
                    job_id=self.job_id,
                )
            left = give_up - self.patience.clock()
            if left <= 0:
                raise DeployError(
                    f"Fireworks' deployment of job {self.job_id}'s model was not ready after "
                    f"{self.patience.timeout_s:g} s. The model is kept: run the same again.",
                    job_id=self.job_id,
                )
            yield Sleep(min(self.patience.first_s, left))

    def _state(self) -> Flow[str | None]:
        """Return the deployment's state, or None if there is none."""
        found = yield from ask_or_none(lambda: self.asking("get", f"/v1/{self.name}"), self.retry)
        return str(found.get("state", "")) if isinstance(found, dict) else None

    def _give_up(self, error: Exception) -> Flow[None]:
        try:
            yield from self.abandon()
        except EngineError as kept:
            error.add_note(
                f"Its deployment {self.name} could not be deleted ({kept}): delete it at Fireworks."
            )

    def _delete(self) -> Flow[None]:
        path = f"/v1/{self.name}?ignoreChecks=true"
        yield from ask_or_none(lambda: self.asking("delete", path), self.retry)
