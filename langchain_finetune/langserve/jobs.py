"""The jobs that a served chain makes: submit, look, cancel, fetch the model."""

from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_openai import ChatOpenAI

from langchain_finetune.finetune.handle import Job
from langchain_finetune.finetune.runnable import FineTune

_KEPT_MODELS = 64


class ServedJobs:
    """The jobs of a chain `... | FineTune(...)`.

    Args:
        chain: Ends with a `FineTune`.

    Raises:
        ValueError: It does not.
    """

    def __init__(self, chain: Runnable[Any, Any]) -> None:
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
        self._models: dict[str, ChatOpenAI] = {}

    async def submit(self, query: dict[str, Any], config: RunnableConfig | None) -> Job:
        """Prepare the data and submit the job; one that was made of the same data is taken."""
        examples = await self._prepare.ainvoke(query, config)
        return await self._fine_tune.asubmit(examples)

    async def find(self, job_id: str) -> Job:
        """Return a job of this chain's engine."""
        return await self._fine_tune.afrom_job_id(job_id)

    async def model(self, job_id: str) -> ChatOpenAI:
        """Return the model of a job that has succeeded."""
        if job_id not in self._models:
            job = await self.find(job_id)
            model = await job.model_async(**self._fine_tune.chat_settings)
            if len(self._models) >= _KEPT_MODELS:
                self._models.pop(next(iter(self._models)))
            self._models[job_id] = model
        return self._models[job_id]
