"""Together: its own job API through its SDK, then an endpoint that is paid for while it runs.

Sources: together 3.1.1 (requests, states and limits as its modules have them) and
docs.together.ai/docs/fine-tuning-data-preparation (rows: roles, tools, weights, images in base64).
A file is known by its checksum: uploaded again, it is the same. Training is priced by its
`estimate-price`, from the uploaded file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI

from langchain_finetune.checks.profiles import (
    CHATML_TOKENS,
    MB,
    OPEN_MODELS,
    UNPROVEN,
    Profile,
)
from langchain_finetune.engines.access import Access
from langchain_finetune.engines.base import CAPABILITIES, Pace, Steering
from langchain_finetune.engines.flow import Flow, Patience, Retry, ask, ask_or_none
from langchain_finetune.engines.jobs import (
    JobCheckpoint,
    JobEvent,
    JobStatus,
    ListPage,
    NewJob,
    RemoteJob,
)
from langchain_finetune.engines.together_client import URL, TogetherClient
from langchain_finetune.engines.together_deployment import PATIENCE, Serving, TogetherDeployment
from langchain_finetune.engines.together_errors import (
    KEY_NAME,
    created_nothing,
    known_outcome,
    without_base,
)
from langchain_finetune.engines.together_records import (
    OWN_SUFFIX,
    carries,
    job_checkpoints,
    job_events,
    metrics_rows,
    remote_job,
)
from langchain_finetune.engines.together_request import arguments, continues, price_arguments
from langchain_finetune.engines.together_weights import fetch
from langchain_finetune.errors import (
    DeployError,
    EngineAuthenticationError,
    EngineError,
    Failure,
    JobSubmissionError,
)

_ANSWERS = "https://api-inference.together.ai/v1"
"""Where deployed models answer."""

_MODEL = "ml_"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _TogetherEngine(TogetherClient):
    def usual_epochs(self, base: str, examples: int) -> tuple[int, str]:
        """Return one epoch, the default of Together."""
        del base, examples
        return 1, "Together's default"

    def quote(self, request: NewJob) -> Flow[float]:
        """Return Together's estimate of a job's price in USD.

        Raises:
            EngineError: It gives none, or the account may not spend as much.
        """
        limits = yield from self._limits(request.model)
        asked = price_arguments(arguments(request), limits.lora_training.default_rank)
        try:
            told = yield from self.ask(
                lambda client: client.fine_tuning.estimate_price(**asked), "estimation_available"
            )
        except EngineError as error:
            raise known_outcome(error) from error.__cause__
        price = getattr(told, "estimated_total_price", None)
        if not told.estimation_available or price is None:
            reason = getattr(told, "unavailable_reason", None) or "it gives no reason"
            raise EngineError(
                f"Together gives no estimate of the price ({reason}), so max_cost_usd can't be "
                "checked; no job was created. Leave max_cost_usd out, or set the price: prices="
                f"{{{request.model!r}: USD per million trained tokens}}."
            )
        if getattr(told, "allowed_to_proceed", None) is False:
            raise EngineError(
                f"Together estimates ${price:,.2f}, more than the account's limit of "
                f"${getattr(told, 'user_limit', None) or 0:,.2f}; no job was created."
            )
        return float(price)

    def create(self, request: NewJob) -> Flow[RemoteJob]:
        """Create a job from the uploaded files; its suffix carries the marks of its metadata."""
        made = arguments(request)
        limits = yield from self._limits(request.model)
        try:
            job = yield from self.ask(
                lambda client: client.fine_tuning.create(**made, model_limits=limits),
                "id",
                "status",
            )
        except EngineError as error:
            raise _refusal(error) from error.__cause__
        return remote_job(job)

    def jobs(
        self, metadata: Mapping[str, str] | None, after: str | None
    ) -> Flow[ListPage[RemoteJob]]:
        """List the jobs, newest first; Together gives them all at once."""
        del metadata, after
        listed = yield from self.ask(lambda client: client.fine_tuning.list(), "data")
        jobs = [remote_job(job) for job in listed.data]
        return ListPage(sorted(jobs, key=lambda job: job.status.created_at or 0, reverse=True))

    def carries(self, job: RemoteJob, metadata: Mapping[str, str]) -> bool:
        """Return whether the mark in a job's suffix is that of the metadata."""
        return carries(job, metadata)

    def status(self, job_id: str) -> Flow[RemoteJob]:
        """Return a job; of one that failed, with the message of its last event."""
        found = yield from self._job(job_id)
        job = remote_job(found)
        if job.id != job_id:
            raise EngineError(
                f"{self.base_url} answered about another job than {job_id}.",
                failure=Failure(may_pass=True, reason="the answer is about another job"),
            )
        if job.status.status != "failed":
            return job
        listed = yield from self.ask(lambda client: client.fine_tuning.list_events(job_id), "data")
        last = job_events(job_id, listed.data, ())[:1]
        message = last[0].message if last else None
        return replace(job, status=replace(job.status, error_message=message))

    def steer(self, job_id: str, verb: Steering) -> Flow[RemoteJob]:
        """Cancel a job."""
        del verb
        job = yield from self.ask(lambda client: client.fine_tuning.cancel(job_id), "id", "status")
        return remote_job(job)

    def events(self, job_id: str, after: str | None) -> Flow[ListPage[JobEvent]]:
        """List a job's events, with its metrics among them, newest first."""
        del after
        listed = yield from self.ask(lambda client: client.fine_tuning.list_events(job_id), "data")
        rows = yield from self._rows(job_id)
        return ListPage(job_events(job_id, listed.data, rows))

    def checkpoints(self, job_id: str, after: str | None) -> Flow[ListPage[JobCheckpoint]]:
        """List a job's checkpoints, newest first."""
        del after
        kept = yield from self.ask(
            lambda client: client.fine_tuning.list_checkpoints(job_id), "data"
        )
        return ListPage(job_checkpoints(job_id, kept.data))

    def metrics(self, status: JobStatus) -> Flow[list[dict[str, float]]]:
        """Return the metrics of each step that was logged."""
        return metrics_rows((yield from self._rows(status.job_id)))

    def deploy(
        self,
        status: JobStatus,
        base: str,
        deployment: TogetherDeployment,
        patience: Patience = PATIENCE,
    ) -> Flow[str]:
        """Serve a job's model at an endpoint; return the name to call it by.

        Raises:
            DeployError: Together refused, or the deployment failed or took too long.
        """
        del base
        try:
            serving = yield from self._serving(status, deployment, patience)
            return (yield from serving.start())
        except EngineAuthenticationError:
            raise
        except EngineError as error:
            raise DeployError(
                f"Together did not deploy the model of job {status.job_id} ({error}). The model "
                "is kept: run the same again.",
                job_id=status.job_id,
            ) from error

    def undeploy(self, status: JobStatus, deployment: TogetherDeployment) -> Flow[None]:
        """Delete the deployment of a job's model if it does not answer yet."""
        serving = yield from self._serving(status, deployment, PATIENCE)
        yield from serving.abandon()

    def weights(self, status: JobStatus, step: int | None, folder: Path) -> Flow[None]:
        """Write the weights of a job's model; those of LoRA are merged into its base."""
        job = yield from ask(partial(self._job, status.job_id), self.pace.retry)
        kind = getattr(getattr(job, "training_type", None), "type", "Lora")
        selected = "merged" if kind == "Lora" else "model_output_path"
        yield from fetch(status.job_id, selected, step, folder, self.base_url or "")

    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> ChatOpenAI:
        """Return a `ChatOpenAI` of a deployed model."""
        own = access.base_url.rstrip("/")
        url = _ANSWERS if own == URL else f"{own}/v1"
        return ChatOpenAI(model=name, base_url=url, api_key=access.api_key, **settings)

    def _serving(
        self, status: JobStatus, deployment: TogetherDeployment, patience: Patience
    ) -> Flow[Serving]:
        model = status.fine_tuned_model or ""
        if not model.startswith(_MODEL):  # It is not a checkpoint's.
            job = yield from ask(partial(self._job, status.job_id), self.pace.retry)
            model = getattr(job, "api_model_object_id", None) or ""
        if not model:
            raise DeployError(
                f"Together names no model of job {status.job_id} that could be deployed yet. "
                "Run the same again later.",
                job_id=status.job_id,
            )
        pace = self.pace
        return Serving(self.ask, pace.retry, pace.looks, status.job_id, model, deployment, patience)

    def _job(self, job_id: str) -> Flow[Any]:
        return self.ask(
            lambda client: client.fine_tuning.retrieve(job_id, timeout=_TIMEOUT_S), "id", "status"
        )

    def _rows(self, job_id: str) -> Flow[list[dict[str, float]]]:
        told = yield from ask_or_none(
            lambda: self.ask(lambda client: client.fine_tuning.list_metrics(job_id)),
            Retry(attempts=1),
        )
        return getattr(told, "metrics", None) or []

    def _limits(self, model: str) -> Flow[Any]:
        name = model.partition(":")[0] if continues(model) else model
        try:
            return (
                yield from self.ask(
                    lambda client: client.fine_tuning.model_limits(model_name=name),
                    "lora_training",
                )
            )
        except EngineError as error:
            raise without_base(error, model) from error.__cause__


def _refusal(error: EngineError) -> EngineError:
    """Return the error to raise for a job that was not created."""
    failure = error.failure
    if created_nothing(error):
        failure = replace(failure, outcome_unknown=False)
    if type(error) is EngineError and not failure.outcome_unknown:
        return JobSubmissionError(f"The job was not created: {error}", failure=failure)
    error.failure = failure
    return error


ENGINE = _TogetherEngine(
    name="together",
    summary="Together, which serves a model at an endpoint that stops when idle",
    key_variable=KEY_NAME,
    base_url=URL,
    extra="together",
    profile=Profile(
        name="together",
        keys={
            "system": frozenset({"role", "content"}),
            "user": frozenset({"role", "content"}),
            "assistant": frozenset(
                {"role", "content", "tool_calls", "weight", "reasoning", "reasoning_content"}
            ),
            "tool": frozenset({"role", "content", "tool_call_id"}),
        },
        left_out=frozenset({"parallel_tool_calls", "name", "refusal", "annotations", "audio"}),
        parts=frozenset({"text", "image_url"}),
        remote_images=False,
        functions=False,
        special_tokens=CHATML_TOKENS,
        min_examples=1,
        max_file_bytes=50 * 1024 * MB,
        text_roles=frozenset(),
        warnings=UNPROVEN | OPEN_MODELS | {"special_token"},
    ),
    lines=("supervised", "preference"),
    price_source="Together's estimate before each job",
    quotes=True,
    shares_files=True,
    max_suffix=OWN_SUFFIX,
    deployment=TogetherDeployment,
    capabilities=frozenset(CAPABILITIES) - {"pause", "resume"},
    # Its list of jobs may lag behind by half a minute.
    pace=Pace(looks=(2.0, 5.0, 10.0, 20.0)),
)
