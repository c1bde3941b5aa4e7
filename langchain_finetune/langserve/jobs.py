"""Jobs of a served chain: submit and find them, and create their models."""

import asyncio
import time
from typing import Any

from fastapi import HTTPException
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_openai import ChatOpenAI

from langchain_finetune.finetune.contract import bound_as_trained
from langchain_finetune.finetune.job import Job
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.home import home_path

_MAX_MODELS = 64
_MODEL_TTL_S = 60.0


class ServedJobs:
    """Jobs of a chain `... | FineTune(...)` that callers of a route have submitted.

    Other jobs of the engine's account can't be reached. The ledger records which jobs belong to
    the route, across restarts and for all processes of a home.
    """

    def __init__(self, chain: Runnable[Any, Any], route: str) -> None:
        steps = chain.steps if isinstance(chain, RunnableSequence) else [chain]
        fine_tune = steps[-1]
        if not isinstance(fine_tune, FineTune) or len(steps) == 1:
            raise ValueError(
                "The chain must end with FineTune, such as loader | Convert() | FineTune(...)."
            )
        before = steps[:-1]
        self._prepare: Runnable[Any, Any] = (
            RunnableSequence(*before) if len(before) > 1 else before[0]
        )
        self._fine_tune = fine_tune
        self._route = route
        self._submissions: set[asyncio.Task[Job]] = set()
        self._models: dict[str, tuple[float, ChatOpenAI]] = {}

    async def submit(self, query: dict[str, Any]) -> Job:
        """Prepare the data and submit the job, or return the job of the same data.

        Continues if the caller disconnects, whatever the chain's `on_cancel` is.
        """
        submission = asyncio.create_task(self._submit(query))
        self._submissions.add(submission)  # Event loops keep only weak references.
        submission.add_done_callback(self._submissions.discard)
        return await asyncio.shield(submission)

    async def find(self, job_id: str) -> Job:
        """Return a job that was submitted through this route; there is no other (404)."""
        await self._check(job_id)
        return await self._fine_tune.afrom_job_id(job_id)

    async def model(self, job_id: str) -> ChatOpenAI:
        """Return the model of a job that has succeeded.

        Cached for only a minute: the engine's address may change, and models are deleted.
        """
        await self._check(job_id)
        now = time.monotonic()
        self._models = {
            key: kept for key, kept in self._models.items() if now - kept[0] < _MODEL_TTL_S
        }
        if job_id not in self._models:
            job = await self._fine_tune.afrom_job_id(job_id)
            model = await job.amodel(
                deployment=self._fine_tune.deployment, **self._fine_tune.chat_settings
            )
            if len(self._models) >= _MAX_MODELS:
                self._models.pop(next(iter(self._models)))
            self._models[job_id] = now, model
        return self._models[job_id][1]

    async def chain_model(self, job_id: str) -> Any:
        """Return the model as `FineTune` returns it, bound to its training tools if configured."""
        model = await self.model(job_id)
        return bound_as_trained(model) if self._fine_tune.bind_trained_tools else model

    async def _submit(self, query: dict[str, Any]) -> Job:
        # Without callbacks, through which a caller could read the chats.
        examples = await self._prepare.ainvoke(query, {"callbacks": []})
        job = await self._fine_tune.asubmit(examples)
        await asyncio.to_thread(Ledger(home_path()).serve, self._route, job.job_id)
        return job

    async def _check(self, job_id: str) -> None:
        ledger = Ledger(home_path())
        if not await asyncio.to_thread(ledger.is_served, self._route, job_id):
            raise HTTPException(
                404,
                f"No job {job_id[:64]!r} was submitted through this route. Submitting the same"
                " data again returns its job.",
            )
