"""The jobs that a served chain makes: submit, look, cancel, fetch the model."""

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

_MODELS = 64
_MODEL_S = 60.0


class ServedJobs:
    """The jobs of a chain `... | FineTune(...)` that a route's callers have submitted.

    The engine's account may hold many more: those can't be reached. Which ones are the route's
    is kept in the ledger, so it holds across restarts and for all processes of a home.

    Args:
        chain: Ends with a `FineTune`.
        route: Names the route.

    Raises:
        ValueError: The chain does not end so.
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
        """Prepare the data and submit the job; one that was made of the same data is taken.

        It goes on when the caller is gone, whatever the chain's `on_cancel` says.
        """
        submission = asyncio.create_task(self._submit(query))
        self._submissions.add(submission)  # The event loop holds tasks only weakly.
        submission.add_done_callback(self._submissions.discard)
        return await asyncio.shield(submission)

    async def find(self, job_id: str) -> Job:
        """Return a job that was submitted here.

        Raises:
            HTTPException: None was (404).
        """
        await self._check(job_id)
        return await self._fine_tune.afrom_job_id(job_id)

    async def model(self, job_id: str) -> ChatOpenAI:
        """Return the model of a job that has succeeded.

        It is kept for a minute: the engine may move, and models are deleted.
        """
        await self._check(job_id)
        now = time.monotonic()
        self._models = {key: kept for key, kept in self._models.items() if now - kept[0] < _MODEL_S}
        if job_id not in self._models:
            job = await self._fine_tune.afrom_job_id(job_id)
            model = await job.model_async(
                deployment=self._fine_tune.deployment, **self._fine_tune.chat_settings
            )
            if len(self._models) >= _MODELS:
                self._models.pop(next(iter(self._models)))
            self._models[job_id] = now, model
        return self._models[job_id][1]

    async def chain_model(self, job_id: str) -> Any:
        """Return the model as `FineTune` returns it: bound to its training's tools, if asked."""
        model = await self.model(job_id)
        return bound_as_trained(model) if self._fine_tune.bind_trained_tools else model

    async def _submit(self, query: dict[str, Any]) -> Job:
        # No callbacks: through them a caller could watch the steps, and so read the chats.
        examples = await self._prepare.ainvoke(query, {"callbacks": []})
        job = await self._fine_tune.asubmit(examples)
        await asyncio.to_thread(Ledger(home_path()).serve, self._route, job.job_id)
        return job

    async def _check(self, job_id: str) -> None:
        ledger = Ledger(home_path())
        if not await asyncio.to_thread(ledger.is_served, self._route, job_id):
            raise HTTPException(
                404,
                f"No job {job_id[:64]!r} was submitted here. Submitting the same data again gives "
                "the job that was made of it.",
            )
