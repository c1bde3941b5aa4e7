"""Fireworks' Training API: a training loop that the embedded engine runs, then a deployment.

Its managed jobs of supervised training and DPO take no new ones (docs.fireworks.ai, "migrate from
managed training", November 2026). Trained is on its shared trainers ("serverless"), by the token
and with LoRA only; such models answer on a deployment of one's own. Source: fireworks-ai 1.2.30.
Prices depend on the base: they are for the user to give.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_finetune.checks import LOCAL
from langchain_finetune.engines.fireworks_deployment import (
    PATIENCE,
    FireworksDeployment,
    FireworksServing,
)
from langchain_finetune.engines.flow import Flow, Patience
from langchain_finetune.engines.jobs import JobStatus
from langchain_finetune.engines.local import ENGINE as EMBEDDED
from langchain_finetune.engines.loop import WEIGHTS_OPTION, LoopEngine
from langchain_finetune.errors import DeployError, EngineAuthenticationError, EngineError


@dataclass(frozen=True, kw_only=True, eq=False)
class _FireworksEngine(LoopEngine):
    def deploys(self, extra_body: Mapping[str, Any]) -> bool:
        """Return whether the model answers at Fireworks: weights that came home answer here."""
        return extra_body.get("weights") != "home"

    def answers_at_once(self, name: str) -> bool:
        """Return whether a model is on the embedded engine."""
        return not name.startswith(self.hosted)

    def is_gone(self, name: str) -> Flow[bool]:
        """Look for a model of the account."""
        try:
            yield from self.ask_host("get", f"/v1/{name.partition('#')[0]}")
        except EngineError as error:
            if error.failure.missing:
                return True
            raise
        return False

    def deploy(
        self,
        status: JobStatus,
        base: str,
        deployment: FireworksDeployment,
        patience: Patience = PATIENCE,
    ) -> Flow[str]:
        """Serve a job's model on a deployment; return the name to call it by.

        Raises:
            DeployError: Fireworks refused, or the deployment failed or took too long.
        """
        del base
        try:
            return (yield from self._serving(status, deployment, patience).start())
        except EngineAuthenticationError:
            raise
        except EngineError as error:
            raise DeployError(
                f"Fireworks did not deploy the model of job {status.job_id} ({error}). The model "
                "is kept: run the same again.",
                job_id=status.job_id,
            ) from error

    def undeploy(self, status: JobStatus, deployment: FireworksDeployment) -> Flow[None]:
        """Delete the deployment of a job's model if it is not ready yet."""
        yield from self._serving(status, deployment, PATIENCE).abandon()

    def _serving(
        self, status: JobStatus, deployment: FireworksDeployment, patience: Patience
    ) -> FireworksServing:
        model = status.fine_tuned_model or ""
        return FireworksServing(
            self.ask_host, self.pace.retry, status.job_id, model, deployment, patience
        )


ENGINE = _FireworksEngine(
    name="fireworks",
    summary="Fireworks' Training API, trained step by step by the embedded engine, then deployed",
    key_variable="FIREWORKS_API_KEY",
    base_url="https://api.fireworks.ai",
    extra="fireworks",
    # It renders with the base's template, which shows no response format.
    profile=replace(LOCAL, name="fireworks", response_format=False),
    lines=("supervised", "preference"),
    request_options={
        **WEIGHTS_OPTION,
        "--base-model": (
            "base_model",
            "Name of the base at the host, where it does not follow from that of the model.",
        ),
    },
    deployment=FireworksDeployment,
    pace=EMBEDDED.pace,
    address_variable="FIREWORKS_BASE_URL",
    modules=("fireworks", "pyqwest", "zstandard"),
    hosted="accounts/",
    answers_at="/inference/v1",
    host_options=("weights", "base_model"),
)
