"""Making a finished model answer, at the engines that want a step of their own for it."""

from dataclasses import replace

from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.azure import AzureDeployment, deploy_on_azure
from langchain_finetune.finetune.engines.deployment import Pause
from langchain_finetune.finetune.engines.nebius import NebiusDeployment, deploy_on_nebius
from langchain_finetune.finetune.engines.profiles import Engine, profile_of
from langchain_finetune.finetune.flow import Flow
from langchain_finetune.finetune.job_queries import finished_model, job_status

Deployment = AzureDeployment | NebiusDeployment

_ENGINES: dict[type, Engine] = {AzureDeployment: "azure", NebiusDeployment: "nebius"}


def require_fitting(engine: Engine, deployment: Deployment | None) -> None:
    """Refuse a deployment that is for another engine.

    Raises:
        ValueError: It is.
    """
    wanted = None if deployment is None else _ENGINES[type(deployment)]
    if wanted not in (None, engine):
        kind = type(deployment).__name__
        raise ValueError(f"deployment={kind} is for engine={wanted!r}, not {engine!r}.")


def answering_model(
    job_id: str,
    base: str,
    checkpoint: int | None,
    deployment: Deployment | None,
    place: Account,
) -> Flow[str]:
    """Return the name by which a job's model answers, and deploy it where that takes a step.

    Args:
        job_id: The job.
        base: What was fine-tuned.
        checkpoint: Take the model that was kept at this step instead of the last.
        deployment: How to deploy it.
        place: Where the job is.

    Raises:
        JobError: The job has given no such model (yet), or it can't be deployed.
        FineTuningError: The engine deploys models, and nothing says how.
    """
    name = yield from finished_model(job_id, checkpoint, place)
    if not profile_of(place.engine).deploys:
        return name
    if deployment is None:
        raise FineTuningError(
            f"The model of job {job_id} answers at {place.engine} only once it is deployed: give "
            "deployment=AzureDeployment(...) or NebiusDeployment(...)."
        )
    status = yield from job_status(job_id, place)
    pause = Pause()
    if isinstance(deployment, AzureDeployment):
        return (
            yield from deploy_on_azure(replace(status, fine_tuned_model=name), deployment, pause)
        )
    return (yield from deploy_on_nebius(status, base, place.base_url, deployment, pause))
