"""`Job`: a fine-tuning job as a small piece of data, with all that can be done with it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from langchain_finetune.convert.contract import load_contract
from langchain_finetune.engines import EngineName, engine_of
from langchain_finetune.engines.base import Access, Address, Deployment
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
from langchain_finetune.finetune.job_queries import (
    all_events,
    answering_model,
    job_checkpoints,
    job_metrics,
    job_status,
    steer,
)
from langchain_finetune.finetune.training_files import (
    EXAMPLES,
    FINGERPRINT,
    TRAINING_SHA256,
    JobSpec,
)
from langchain_finetune.finetune.wait import wait_for_job
from langchain_finetune.home import home_path

DAY_S = 24 * 3600.0
Result = TypeVar("Result")


class Job(BaseModel):
    """A fine-tuning job: data that can be kept as JSON and picked up in another process.

    It holds no key. The embedded engine's is found automatically. `OPENAI_API_KEY` is sent to the
    address that the environment means (`OPENAI_BASE_URL`, or OpenAI's own) and to no other: a
    job that was read from JSON could name any. For another address give the key with
    `with_api_key`, or use `FineTune.attach`.

    Every method that asks the engine asks again where no answer comes, and raises an
    `EngineError` where it refuses or can't do that at all. Each has an async twin with the
    prefix `a`, such as `astatus`; that of `wait` is `wait_async`.

    Attributes:
        job_id: As the engine names it.
        engine: Its name, such as `local` for the embedded one.
        base_url: Address of another engine.
        base_model: What is fine-tuned.
        training_sha256: SHA-256 of the training file, where it is known.
        training_examples: How many examples it has, where it is known.
        fingerprint: Of all that the job is made from, where it is known.

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
            record: The job as its engine keeps it.
            account: Where the job is.
            spec: What it was made from, where the engine keeps no metadata.
        """
        marks = record.metadata or (spec.metadata if spec else {})
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
        """Return the same job, which uses this key; the key is in no copy as JSON or pickle."""
        job = self.model_copy()
        key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        job._api_key = key  # noqa: SLF001 of this class itself
        return job

    def status(self) -> JobStatus:
        """Return the job's state now."""
        return self._run(partial(job_status, self.job_id))

    async def astatus(self) -> JobStatus:
        """Do as `status` does, without blocking."""
        return await self._arun(partial(job_status, self.job_id))

    def wait(
        self,
        *,
        timeout_s: float = DAY_S,
        on_progress: Callable[[JobProgress], None] | None = None,
    ) -> JobStatus:
        """Wait until the job has succeeded.

        Args:
            timeout_s: Maximum seconds to wait; the job goes on afterwards.
            on_progress: Is called with each event once and in order, also across restarts, and
                with the job's state where there is no event.

        Raises:
            JobError: The job failed, was cancelled, or did not end in time.
            EngineError: The engine refuses, such as for a wrong key.
        """
        return self._connection().run(self._waiting(timeout_s), on_progress)

    async def wait_async(
        self,
        *,
        timeout_s: float = DAY_S,
        on_progress: Callable[[JobProgress], Awaitable[None]] | None = None,
    ) -> JobStatus:
        """Do as `wait` does, without blocking."""
        return await self._connection().arun(self._waiting(timeout_s), on_progress)

    def cancel(self) -> JobStatus:
        """Cancel the job; one that has ended stays as it is."""
        return self._run(partial(steer, self.job_id, "cancel"))

    async def acancel(self) -> JobStatus:
        """Do as `cancel` does, without blocking."""
        return await self._arun(partial(steer, self.job_id, "cancel"))

    def pause(self) -> JobStatus:
        """Pause the job, where the engine can."""
        return self._run(partial(steer, self.job_id, "pause"))

    async def apause(self) -> JobStatus:
        """Do as `pause` does, without blocking."""
        return await self._arun(partial(steer, self.job_id, "pause"))

    def resume(self) -> JobStatus:
        """Resume a paused job, where the engine can."""
        return self._run(partial(steer, self.job_id, "resume"))

    async def aresume(self) -> JobStatus:
        """Do as `resume` does, without blocking."""
        return await self._arun(partial(steer, self.job_id, "resume"))

    def events(self) -> list[JobEvent]:
        """Return all that has happened to the job so far, oldest first."""
        return self._run(partial(all_events, self.job_id))

    async def aevents(self) -> list[JobEvent]:
        """Do as `events` does, without blocking."""
        return await self._arun(partial(all_events, self.job_id))

    def metrics(self) -> list[dict[str, float]]:
        """Return the figures of each step, such as `{"step": 1.0, "train_loss": 0.4}`.

        They are read from the result file, or from the events while there is none.
        """
        return self._run(partial(job_metrics, self.job_id))

    async def ametrics(self) -> list[dict[str, float]]:
        """Do as `metrics` does, without blocking."""
        return await self._arun(partial(job_metrics, self.job_id))

    def checkpoints(self) -> list[JobCheckpoint]:
        """Return the models that were kept on the way, by step; OpenAI keeps the last three."""
        return self._run(partial(job_checkpoints, self.job_id))

    async def acheckpoints(self) -> list[JobCheckpoint]:
        """Do as `checkpoints` does, without blocking."""
        return await self._arun(partial(job_checkpoints, self.job_id))

    def model(
        self,
        checkpoint: int | None = None,
        *,
        deployment: Deployment | None = None,
        **settings: Any,
    ) -> ChatOpenAI:
        """Return a `ChatOpenAI` of the model that the job gave.

        It warns once when it is called with other tools than it was trained with, where this
        machine knows them; see `trained_contract`.

        Args:
            checkpoint: Take the one that was kept at this step instead.
            deployment: How to deploy it, at engines where it answers only then.
            settings: Further arguments of `ChatOpenAI`, such as `temperature=0`.

        Raises:
            JobError: The job has given no such model (yet).
            ModelRetiredError: The model was deleted or shut down.
        """
        name = self._run(
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
        """Do as `model` does, without blocking."""
        name = await self._arun(
            partial(answering_model, self.job_id, self.base_model, checkpoint, deployment)
        )
        return self._chat(name, await self._connection().aaccess(), settings)

    def _waiting(self, timeout_s: float) -> Callable[[Account], Flow[JobStatus]]:
        first, longest = engine_of(self.engine).pace.poll_s
        return partial(wait_for_job, self.job_id, Patience(timeout_s, first, longest))

    def _chat(self, name: str, access: Access, settings: dict[str, Any]) -> ChatOpenAI:
        lineage = {
            "job_id": self.job_id,
            "base_model": self.base_model,
            "training_sha256": self.training_sha256,
            "training_examples": self.training_examples,
        }
        metadata = {**(settings.pop("metadata", None) or {}), **lineage}
        contract = load_contract(self.training_sha256, home_path())
        if contract is not None:
            settings = with_watch(settings, contract, name)
        made = engine_of(self.engine).chat_model(access, name, {**settings, "metadata": metadata})
        # An engine of another shape than OpenAI's has a chat model of its own.
        return cast("ChatOpenAI", made)

    def _run(self, flow: Callable[[Account], Flow[Result]]) -> Result:
        return self._connection().run(flow)

    async def _arun(self, flow: Callable[[Account], Flow[Result]]) -> Result:
        return await self._connection().arun(flow)

    def _connection(self) -> Connection:
        return connection_to(self.engine, self.base_url, self._api_key)

    def __eq__(self, other: object) -> bool:
        # The key is not part of what a job is.
        return isinstance(other, Job) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.engine, self.base_url, self.job_id))

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle of pydantic's own making would hold the key.
        return Job.model_validate, (self.model_dump(),)
