"""Serves a fine-tuned model at Together: an endpoint, and a deployment that it routes to.

Source: together 3.1.1, `resources/endpoints` (endpoints v2; the names of endpoints are unique in a
project, and those of deployments in their endpoint). A deployment is paid for by the minute, so it
stops by itself when nobody asks it, and one that does not get ready is deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from pydantic import Field

from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.flow import Flow, Patience, Retry, Sleep, ask
from langchain_finetune.errors import DeployError, EngineError

PATIENCE = Patience(timeout_s=3600.0, first_s=10.0, longest_s=10.0)
_ATTEMPTS = 4
_PREFIX = "lcft-"
_STATE = "DEPLOYMENT_STATE_"
_READY, _FAILED = f"{_STATE}READY", f"{_STATE}FAILED"
_STOPPED, _STOPPING = f"{_STATE}STOPPED", f"{_STATE}STOPPING"
_PAGE = 100

Ask = Callable[..., Flow[Any]]
"""Makes one attempt of a request; given the request and the fields that its answer needs."""


class TogetherDeployment(Deployment):
    """How a fine-tuned model is served by Together.

    Attributes:
        name: Name of the endpoint; apps call the model as `<project>/<name>`. A model that is
            deployed under the same name later takes the place of this one.
        config: Config revision, as `projects/<project>/configs/<revision>`, which chooses the
            hardware; by default the first that Together offers for the model.
        min_replicas: Fewest replicas, each paid for by the minute.
        max_replicas: Most replicas.
        idle_minutes: Minutes without a request after which the deployment stops.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    config: str | None = Field(
        default=None,
        pattern=r"^projects/[^/]+/configs/[^/]+$",
        description="Config revision, which chooses the hardware; by default the first offered.",
    )
    min_replicas: int = Field(default=1, ge=1, description="Fewest replicas; 1 by default.")
    max_replicas: int = Field(default=1, ge=1, description="Most replicas; 1 by default.")
    idle_minutes: int = Field(
        default=30,
        ge=30,
        le=1440,
        description="Minutes without a request after which it stops; 30 by default.",
    )

    @property
    def replicas(self) -> dict[str, int]:
        """The bounds in requests."""
        most = max(self.min_replicas, self.max_replicas)
        return {"min_replicas": self.min_replicas, "max_replicas": most}


@dataclass(frozen=True)
class Serving:
    """Deploys the model of one job.

    Attributes:
        asking: Makes an attempt of a request.
        retry: Retries of requests that change nothing.
        looks: Pauses before each search for what may have been created.
        job_id: The job.
        model: Id of its model, `ml_...`.
        deployment: How it is served.
        patience: How long it is waited for.
    """

    asking: Ask
    retry: Retry
    looks: tuple[float, ...]
    job_id: str
    model: str
    deployment: TogetherDeployment
    patience: Patience = PATIENCE

    @property
    def name(self) -> str:
        """The name of the deployment: each model has its own."""
        return _PREFIX + "".join(each if each.isalnum() else "-" for each in self.model.lower())

    def start(self) -> Flow[str]:
        """Return the endpoint's name once it answers with this model.

        What another process has begun is taken up. What does not get ready is deleted.

        Raises:
            DeployError: The deployment failed, or took too long.
            EngineError: Together refused a request.
        """
        project, slug = yield from self._project()
        full = f"{slug}/{self.deployment.name}"
        endpoint = yield from self._once(
            lambda: self._endpoint(project, full),
            lambda: self._ask(
                lambda client: client.endpoints.create(
                    project_id=project, name=self.deployment.name
                ),
                "id",
            ),
        )
        where = {"project_id": project, "endpoint_id": endpoint.id}
        made = yield from self._once(
            lambda: self._found(where), lambda: self._create(project, where)
        )
        try:
            yield from self._until_ready(where, made.id)
            yield from self._route(project, endpoint.id, made.id)
        except (DeployError, EngineError) as error:
            yield from self._give_up(made.id, error)
            raise
        yield from self._stop_others(where, made.id)
        return full

    def abandon(self) -> Flow[None]:
        """Delete the deployment unless the endpoint routes to it already."""
        project, slug = yield from self._project()
        endpoint = yield from self._endpoint(project, f"{slug}/{self.deployment.name}")
        if endpoint is None:
            return
        where = {"project_id": project, "endpoint_id": endpoint.id}
        made = yield from self._found(where)
        if made is not None and made.id not in _routed(endpoint):
            yield from self._delete(where, made.id)

    def _project(self) -> Flow[tuple[str, str]]:
        who = yield from self._retried(lambda client: client.whoami(), "project")
        return str(who.project.id), str(who.project.slug)

    def _endpoint(self, project: str, full: str) -> Flow[Any]:
        return self._listed(
            lambda client: client.endpoints.list,
            lambda one: one.name in {full, self.deployment.name},
            project_id=project,
        )

    def _found(self, where: dict[str, str]) -> Flow[Any]:
        return self._listed(
            lambda client: client.endpoints.deployments.list,
            lambda one: one.name.rpartition("/")[2] == self.name,
            **where,
        )

    def _create(self, project: str, where: dict[str, str]) -> Flow[Any]:
        model = f"projects/{project}/models/{self.model}"
        config = self.deployment.config or (yield from self._config(project, model))
        return (
            yield from self._ask(
                lambda client: client.endpoints.deployments.create(
                    **where,
                    name=self.name,
                    model=model,
                    config=config,
                    autoscaling=self.deployment.replicas,
                    inactive_timeout=self.deployment.idle_minutes,
                ),
                "id",
            )
        )

    def _config(self, project: str, model: str) -> Flow[str]:
        page = yield from self._retried(
            lambda client: client.models.configs.list(project_id=project, reference_model=model),
        )
        if not page.data:
            raise DeployError(
                f"Together offers no config to serve the model of job {self.job_id} with: give "
                "TogetherDeployment(config=...).",
                job_id=self.job_id,
            )
        first = page.data[0]
        return f"projects/{first.project_id}/configs/{first.id}"

    def _until_ready(self, where: dict[str, str], made: str) -> Flow[None]:
        give_up = self.patience.clock() + self.patience.timeout_s
        while True:
            one = yield from self._retried(
                lambda client: client.endpoints.deployments.retrieve(made, **where), "status"
            )
            state = one.status.state
            if state == _READY or (one.status.ready_replicas and state != _STOPPING):
                return
            if state == _FAILED:
                raise DeployError(
                    f"Together's deployment of job {self.job_id}'s model failed: "
                    f"{one.status.message or 'it gives no reason'}",
                    job_id=self.job_id,
                )
            if state == _STOPPED:
                # It was idle, or somebody stopped it.
                yield from self._scale(where, made, one.etag, self.deployment.replicas)
            left = give_up - self.patience.clock()
            if left <= 0:
                raise DeployError(
                    f"Together's deployment of job {self.job_id}'s model was not ready after "
                    f"{self.patience.timeout_s:g} s. The model is kept: run the same again.",
                    job_id=self.job_id,
                )
            yield Sleep(min(self.patience.first_s, left))

    def _scale(
        self, where: dict[str, str], made: str, etag: str, replicas: dict[str, int]
    ) -> Flow[None]:
        yield from self._retried(
            lambda client: client.endpoints.deployments.update(
                made, **where, update_mask="autoscaling", autoscaling=replicas, etag=etag
            ),
        )

    def _route(self, project: str, endpoint_id: str, made: str) -> Flow[None]:
        """Send all requests of the endpoint to the deployment."""
        for attempt in count(1):
            endpoint = yield from self._retried(
                lambda client: client.endpoints.retrieve(endpoint_id, project_id=project), "etag"
            )
            if _routed(endpoint) == {made}:
                return
            try:
                yield from self._split(project, endpoint, made)
            except EngineError as error:
                # Somebody else has changed the endpoint, or the answer is lost: look again.
                pause = self.retry.pause_after(attempt, error.failure)
                if pause is None:
                    raise
                yield Sleep(pause)
            else:
                return

    def _split(self, project: str, endpoint: Any, made: str) -> Flow[None]:
        yield from self._ask(
            lambda client: client.endpoints.update(
                endpoint.id,
                project_id=project,
                update_mask="trafficSplit",
                etag=endpoint.etag,
                traffic_split=[{"deployment_id": made, "weight": 1}],
            )
        )

    def _stop_others(self, where: dict[str, str], made: str) -> Flow[None]:
        """Stop the deployments of earlier models, which nothing is routed to any more."""
        for one in (yield from self._all(lambda client: client.endpoints.deployments.list, where)):
            own = one.name.rpartition("/")[2].startswith(_PREFIX)
            if one.id == made or not own or one.status.state in {_STOPPED, _STOPPING}:
                continue
            none = {"min_replicas": 0, "max_replicas": 0}
            yield from self._scale(where, one.id, one.etag, none)

    def _give_up(self, made: str, error: Exception) -> Flow[None]:
        try:
            yield from self.abandon()
        except EngineError as kept:
            error.add_note(
                f"Its deployment {made} could not be deleted ({kept}). It stops by itself after "
                f"{self.deployment.idle_minutes} minutes without a request."
            )

    def _delete(self, where: dict[str, str], made: str) -> Flow[None]:
        try:
            yield from self._retried(
                lambda client: client.endpoints.deployments.delete(made, **where)
            )
        except EngineError as error:
            if not error.failure.missing:
                raise

    def _once(self, find: Callable[[], Flow[Any]], make: Callable[[], Flow[Any]]) -> Flow[Any]:
        """Return what is found, or else made; an uncertain outcome is looked up before."""
        found = yield from find()
        for attempt in count(1):
            if found is not None:
                return found
            try:
                return (yield from make())
            except EngineError as error:
                pause = self.retry.pause_after(attempt, error.failure)
                if pause is None or attempt >= _ATTEMPTS:
                    raise
                unknown = error.failure.outcome_unknown
            for look in self.looks if unknown else (pause,):
                yield Sleep(look)
                found = yield from find()
                if found is not None:
                    break
        raise AssertionError

    def _listed(
        self, method: Callable[[Any], Any], wanted: Callable[[Any], bool], **where: str
    ) -> Flow[Any]:
        for one in (yield from self._all(method, where)):
            if wanted(one):
                return one
        return None

    def _all(self, method: Callable[[Any], Any], where: dict[str, str]) -> Flow[list[Any]]:
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            page = yield from self._page(method, {**where, **after})
            found += page.data or []
            cursor = getattr(page, "next_cursor", None)
            if not cursor or {"after": cursor} == after:
                return found
            after = {"after": cursor}

    def _page(self, method: Callable[[Any], Any], where: dict[str, str]) -> Flow[Any]:
        return self._retried(lambda client: method(client)(**where, limit=_PAGE))

    def _ask(self, request: Callable[[Any], Any], *fields: str) -> Flow[Any]:
        return self.asking(request, *fields)

    def _retried(self, request: Callable[[Any], Any], *fields: str) -> Flow[Any]:
        return ask(lambda: self.asking(request, *fields), self.retry)


def _routed(endpoint: Any) -> set[str]:
    """Return the ids of the deployments that get requests."""
    return {entry.deployment_id for entry in endpoint.traffic_split or () if entry.weight}
