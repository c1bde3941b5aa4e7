"""`Job`: a handle of a fine-tuning job, and its operations."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from langchain_openai import ChatOpenAI
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.contract import load_contract
from langchain_finetune.engines import EngineName, engine_of
from langchain_finetune.engines.access import Access, Address
from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.flow import Flow, Patience
from langchain_finetune.engines.jobs import (
    JobCheckpoint,
    JobEvent,
    JobProgress,
    JobStatus,
    RemoteJob,
)
from langchain_finetune.finetune.connection import Account, Connection, connection_to
from langchain_finetune.finetune.contract import with_watch
from langchain_finetune.finetune.interrupt import when_cancelled, when_interrupted
from langchain_finetune.finetune.job_queries import (
    all_events,
    answering_model,
    job_checkpoints,
    job_metrics,
    job_status,
    steer,
    undeploy,
)
from langchain_finetune.finetune.training_files import (
    EXAMPLES,
    FINGERPRINT,
    TRAINING_SHA256,
    JobSpec,
)
from langchain_finetune.finetune.wait import wait_for_job
from langchain_finetune.finetune.weights import download_weights
from langchain_finetune.home import home_path

DAY_S = 24 * 3600.0
_STILL_DEPLOYED = "What was being deployed could not be removed"


class Job(CheckedArguments):
    """A fine-tuning job. It can be saved as JSON and used in another process.

    It contains no key. The key of the embedded engine is found automatically. `OPENAI_API_KEY` is
    sent only to the address of the environment (`OPENAI_BASE_URL`, or OpenAI's own), since a job
    that was read from JSON could name any address. For other addresses, set the key with
    `with_api_key`, or use `FineTune.attach`.

    Methods that send requests retry if the engine does not respond, and raise an `EngineError` if
    it refuses or does not support the operation. Each has an async twin with the prefix `a`, such
    as `astatus`; that of `wait` is `wait_async`.

    Attributes:
        job_id: The engine's id of the job.
        engine: Name of the engine, such as `local` for the embedded one.
        base_url: Address of the engine, unless it is embedded.
        base_model: The model that is fine-tuned.
        training_sha256: SHA-256 of the training file, if known.
        training_examples: Number of training examples, if known.
        fingerprint: Fingerprint of everything that the job is created from, if known.

    Example:
        ```python
        job = FineTune(model="nano", engine="local").submit(examples)
        text = job.model_dump_json()

        job = Job.model_validate_json(text)  # in another process, later
        job.wait()
        model = job.model(temperature=0)
        ```
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    job_id: str = Field(min_length=1)
    engine: EngineName
    base_url: Address | None = None
    base_model: str
    training_sha256: str | None = None
    training_examples: int | None = None
    fingerprint: str | None = None
    _api_key: SecretStr | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, record: RemoteJob, account: Account, spec: JobSpec | None = None) -> "Job":
        """Return the handle of a job that an engine reports.

        Args:
            record: The job as the engine reports it.
            account: Account of the job.
            spec: What it was created from, if the engine stores no metadata.
        """
        marks = {**record.metadata, **(spec.metadata if spec else {})}
        count = str(marks.get(EXAMPLES, ""))
        return cls(
            job_id=record.id,
            engine=account.engine.name,
            base_url=account.base_url if account.engine.takes_base_url else None,
            base_model=record.base_model or (spec.model if spec else "unknown"),
            training_sha256=marks.get(TRAINING_SHA256),
            training_examples=int(count) if count.isdecimal() else None,
            fingerprint=marks.get(FINGERPRINT),
        )

    def with_api_key(self, api_key: str | SecretStr | None) -> "Job":
        """Return the same job with a key, which is never part of its JSON or pickle."""
        job = self.model_copy()
        key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        job._api_key = key  # noqa: SLF001 - of the same class
        return job

    def status(self) -> JobStatus:
        """Return the current status."""
        return self._connection().run(partial(job_status, self.job_id))

    async def astatus(self) -> JobStatus:
        """Async version of `status`."""
        return await self._connection().arun(partial(job_status, self.job_id))

    def wait(
        self,
        *,
        timeout_s: float = DAY_S,
        on_progress: Callable[[JobProgress], None] | None = None,
    ) -> JobStatus:
        """Wait until the job has succeeded.

        Args:
            timeout_s: Maximum seconds to wait; the job continues afterwards.
            on_progress: Called with each event exactly once and in order, also across restarts,
                and with changes of the status that have no event.

        Raises:
            JobError: The job failed, was cancelled, or did not end in time.
            EngineError: The engine refused a request, for example because of a wrong key.
        """
        return self._connection().run(self._waiting(timeout_s), on_progress)

    async def wait_async(
        self,
        *,
        timeout_s: float = DAY_S,
        on_progress: Callable[[JobProgress], Awaitable[None]] | None = None,
    ) -> JobStatus:
        """Async version of `wait`."""
        return await self._connection().arun(self._waiting(timeout_s), on_progress)

    def cancel(self) -> JobStatus:
        """Cancel the job, unless it has already ended."""
        return self._connection().run(partial(steer, self.job_id, "cancel"))

    async def acancel(self) -> JobStatus:
        """Async version of `cancel`."""
        return await self._connection().arun(partial(steer, self.job_id, "cancel"))

    def pause(self) -> JobStatus:
        """Pause the job, if the engine supports it."""
        return self._connection().run(partial(steer, self.job_id, "pause"))

    async def apause(self) -> JobStatus:
        """Async version of `pause`."""
        return await self._connection().arun(partial(steer, self.job_id, "pause"))

    def resume(self) -> JobStatus:
        """Resume a paused job, if the engine supports it."""
        return self._connection().run(partial(steer, self.job_id, "resume"))

    async def aresume(self) -> JobStatus:
        """Async version of `resume`."""
        return await self._connection().arun(partial(steer, self.job_id, "resume"))

    def events(self) -> list[JobEvent]:
        """Return all events so far, oldest first."""
        return self._connection().run(partial(all_events, self.job_id))

    async def aevents(self) -> list[JobEvent]:
        """Async version of `events`."""
        return await self._connection().arun(partial(all_events, self.job_id))

    def metrics(self) -> list[dict[str, float]]:
        """Return the metrics of each step, such as `{"step": 1.0, "train_loss": 0.4}`.

        They are read from the result file, or from the events if there is none yet.
        """
        return self._connection().run(partial(job_metrics, self.job_id))

    async def ametrics(self) -> list[dict[str, float]]:
        """Async version of `metrics`."""
        return await self._connection().arun(partial(job_metrics, self.job_id))

    def checkpoints(self) -> list[JobCheckpoint]:
        """Return the checkpoints, by step; OpenAI keeps the last three."""
        return self._connection().run(partial(job_checkpoints, self.job_id))

    async def acheckpoints(self) -> list[JobCheckpoint]:
        """Async version of `checkpoints`."""
        return await self._connection().arun(partial(job_checkpoints, self.job_id))

    def model(
        self,
        checkpoint: int | None = None,
        *,
        deployment: Deployment | None = None,
        **settings: Any,
    ) -> ChatOpenAI:
        """Return a `ChatOpenAI` of the fine-tuned model.

        It warns once if it is called with tools other than those it was trained with, if they are
        known on this machine; see `trained_contract`.

        Args:
            checkpoint: Use the checkpoint of this step instead of the final model.
            deployment: How to deploy the model, at engines that require it.
            settings: Further arguments of `ChatOpenAI`, such as `temperature=0`.

        Raises:
            JobError: The job does not have this model (yet).
            ModelRetiredError: The model was deleted or shut down.
        """
        remove = partial(self._undeploy, deployment) if deployment else None
        with when_interrupted(remove, _STILL_DEPLOYED):
            name = self._connection().run(
                partial(answering_model, self.job_id, self.base_model, checkpoint, deployment)
            )
        return self._chat(name, self._connection().access(), settings)

    async def amodel(
        self,
        checkpoint: int | None = None,
        *,
        deployment: Deployment | None = None,
        **settings: Any,
    ) -> ChatOpenAI:
        """Async version of `model`."""
        remove = partial(self._aundeploy, deployment) if deployment else None
        async with when_cancelled(remove, _STILL_DEPLOYED):
            name = await self._connection().arun(
                partial(answering_model, self.job_id, self.base_model, checkpoint, deployment)
            )
        return self._chat(name, await self._connection().aaccess(), settings)

    def download(self, path: str | Path, checkpoint: int | None = None) -> Path:
        """Download the weights of the fine-tuned model, if the engine hands them out.

        The folder is then a model in Hugging Face's format: `FineTune(model=path, engine="local")`
        trains it further, and the embedded engine serves it.

        Args:
            path: The folder, which must not exist, or be empty. It appears when it is complete.
            checkpoint: Step of the checkpoint instead of the final model.

        Returns:
            The absolute path of the folder.

        Raises:
            EngineError: The engine does not hand out weights, or they came incomplete.
            JobError: The job does not have this model (yet).
            FineTuningError: The folder is not empty.
        """
        return self._connection().run(partial(download_weights, self.job_id, checkpoint, path))

    async def adownload(self, path: str | Path, checkpoint: int | None = None) -> Path:
        """Async version of `download`."""
        return await self._connection().arun(
            partial(download_weights, self.job_id, checkpoint, path)
        )

    def _undeploy(self, deployment: Deployment) -> None:
        self._connection().run(partial(undeploy, self.job_id, deployment))

    async def _aundeploy(self, deployment: Deployment) -> None:
        await self._connection().arun(partial(undeploy, self.job_id, deployment))

    def _waiting(self, timeout_s: float) -> Callable[[Account], Flow[JobStatus]]:
        first, longest = engine_of(self.engine).pace.poll_s
        return partial(wait_for_job, self.job_id, Patience(timeout_s, first, longest))

    def _chat(self, name: str, access: Access, settings: dict[str, Any]) -> ChatOpenAI:
        known = {"job_id", "base_model", "training_sha256", "training_examples"}
        lineage = self.model_dump(include=known)
        metadata = {**(settings.pop("metadata", None) or {}), **lineage}
        contract = load_contract(self.training_sha256, home_path())
        if contract is not None:
            settings = with_watch(settings, contract, name)
        made = engine_of(self.engine).chat_model(access, name, {**settings, "metadata": metadata})
        # Engines that are not OpenAI-compatible may have another chat model.
        return cast("ChatOpenAI", made)

    def _connection(self) -> Connection:
        return connection_to(self.engine, self.base_url, self._api_key)

    def __eq__(self, other: object) -> bool:
        # The key is not part of the job.
        return isinstance(other, Job) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.engine, self.base_url, self.job_id))

    def __reduce__(self) -> tuple[Any, ...]:
        # pydantic's own pickle would contain the key.
        return Job.model_validate, (self.model_dump(),)
