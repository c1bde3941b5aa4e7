"""Azure: a fine-tuned model answers only once it is deployed under a name of its own.

Sources: Microsoft's guides "Deploy a fine-tuned model" (REST, API version 2024-10-21: a `PUT` of
the deployment at the management plane, with a token of Microsoft Entra; the model of a request is
then the deployment's name; it costs by the hour while it exists), "Fine-tuning with OpenAI's SDK"
(the address ends in `/openai/v1/`, no dots in the suffix), "Vision fine-tuning" (64 images) and
"Customize a model" (UTF-8 with a byte order mark, 512 MB). Two answers in a row failed there as an
invalid schema (github.com/microsoft-foundry/fine-tuning, issue 23), which no page says: a warning.
Prices depend on the region and the type of training: they are for the user to give.

The dates are those of Microsoft's "Model retirement schedule" of 2026-07-07
(github.com/MicrosoftDocs/azure-ai-docs, articles/foundry/openai); the API's list of models has
dates of its own, `deprecation.inference` (Models - List, API version 2024-10-21).
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from openai import OpenAIError
from pydantic import Field, SecretStr

from langchain_finetune.checks.profiles import KEYS, UNPROVEN, Profile
from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.deployment import PATIENCE, ask_until_ready
from langchain_finetune.engines.flow import Call, Flow, Patience
from langchain_finetune.engines.jobs import JobStatus, ModelEnd
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine
from langchain_finetune.errors import DeployError

_API_VERSION = "2024-10-21"
RETIREMENT_SOURCE = "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/model-retirements"
RETIREMENTS_AS_OF = "2026-07"


@dataclass(frozen=True)
class AzureDates:
    """When a base retires, its training (existing customers, not before), and its fine-tunes."""

    base: dt.date
    training: dt.date
    deployment: dt.date


_GPT_41 = AzureDates(dt.date(2026, 10, 14), dt.date(2027, 4, 14), dt.date(2027, 10, 14))
_GPT_4O = AzureDates(dt.date(2026, 10, 1), dt.date(2027, 4, 1), dt.date(2027, 10, 1))

RETIREMENTS = {
    "gpt-4.1-2025-04-14": _GPT_41,
    "gpt-4.1-mini-2025-04-14": _GPT_41,
    "gpt-4.1-nano-2025-04-14": _GPT_41,
    "gpt-4o-2024-08-06": _GPT_4O,
    "gpt-4o-mini-2024-07-18": _GPT_4O,
    "o4-mini-2025-04-16": AzureDates(
        dt.date(2026, 10, 16), dt.date(2027, 4, 16), dt.date(2027, 10, 16)
    ),
}
"""The bases that can be fine-tuned on Azure, and their last days."""

_FAILED = frozenset({"failed", "canceled", "deleting", "disabled"})


class AzureDeployment(Deployment):
    """Where and how a fine-tuned model is deployed on Azure.

    Attributes:
        subscription_id: The Azure subscription.
        resource_group: The resource group.
        account: Name of the Azure OpenAI (or Foundry) resource.
        name: Name of the deployment; apps call the model by it.
        token: A token for the management plane, or a function that returns one, such as
            `azure.identity.get_bearer_token_provider(DefaultAzureCredential(),
            "https://management.azure.com/.default")`. A token lives an hour, a job may take longer.
        sku: Type of the deployment: `Standard`, `GlobalStandard`, `DeveloperTier`, ...
        capacity: Size of the deployment, in thousands of tokens a minute.
        management_url: The management plane.
    """

    subscription_id: str = Field(
        min_length=1,
        description="Id of the subscription.",
        json_schema_extra={"option": "subscription"},
    )
    resource_group: str = Field(min_length=1, description="The resource group.")
    account: str = Field(min_length=1, description="Name of the resource.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$")
    token: SecretStr | Callable[[], str] = Field(
        repr=False,
        exclude=True,
        description="a token for the management plane, such as `az account get-access-token "
        "--resource https://management.azure.com` prints",
        json_schema_extra={"variable": "AZURE_MANAGEMENT_TOKEN"},
    )
    sku: str = Field(
        default="Standard", description="Standard (the default), GlobalStandard, DeveloperTier, ..."
    )
    capacity: int = Field(
        default=1, ge=1, description="Thousands of tokens a minute; 1 by default."
    )
    management_url: str = Field(
        default="https://management.azure.com", description="Of another cloud than the public one."
    )

    @property
    def url(self) -> str:
        """Address of the deployment at the management plane."""
        return (
            f"{self.management_url}/subscriptions/{self.subscription_id}"
            f"/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{self.account}"
            f"/deployments/{self.name}?api-version={_API_VERSION}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _AzureEngine(OpenAICompatibleEngine):
    def model_end(self, base: str, *listed: Mapping[str, Any]) -> ModelEnd | None:
        """Return the date of the model itself in the list of models, else the dated data here.

        On Azure a fine-tuned model outlives its base, so the base's date does not count.
        """
        own = listed[0] if listed else {}
        told = own.get("shutdown_date") or _day(own.get("deprecation"))
        known = RETIREMENTS.get(base)
        found = super().model_end(base, {"shutdown_date": told})
        if known is None:
            return found
        source = f"{RETIREMENT_SOURCE}, {RETIREMENTS_AS_OF}"
        end = found or ModelEnd(known.deployment, source)
        return replace(end, training_stops=known.training)

    def deploy(
        self,
        status: JobStatus,
        base: str,
        deployment: AzureDeployment,
        patience: Patience = PATIENCE,
    ) -> Flow[str]:
        """Deploy a job's model and wait until it answers; return the deployment's name.

        Doing it again does no harm: a deployment that is there is left as it is.

        Raises:
            DeployError: Azure refused, gave up, or took too long; or there is no token.
        """
        del base
        model = {"format": "OpenAI", "name": status.fine_tuned_model, "version": "1"}
        body = {
            "sku": {"name": deployment.sku, "capacity": deployment.capacity},
            "properties": {"model": model},
        }

        def ask(client: Any, verb: str = "get", **sent: Any) -> Any:
            options = _authorized(deployment, status.job_id)
            return getattr(client, verb)(deployment.url, cast_to=object, options=options, **sent)

        try:
            yield Call(partial(ask, verb="put", body=body), (OpenAIError,))
        except OpenAIError as error:
            raise DeployError(
                f"Azure did not take the deployment {deployment.name!r} of job {status.job_id}'s "
                f"model ({error}). The model is kept: deploy it by hand, or run the same again.",
                job_id=status.job_id,
            ) from error
        what = f"Azure's deployment {deployment.name!r}"
        yield from ask_until_ready(ask, _state, status.job_id, what, patience)
        return deployment.name


def _day(deprecation: Any) -> str | None:
    """Return the day until which a model answers, from the list of models."""
    try:
        return dt.datetime.fromtimestamp(deprecation["inference"], dt.UTC).date().isoformat()
    except (TypeError, KeyError, ValueError, OverflowError, OSError):
        return None


def _state(answer: Any) -> tuple[bool, str | None]:
    properties = answer.get("properties") if isinstance(answer, dict) else None
    state = str((properties or {}).get("provisioningState", ""))
    return state.lower() == "succeeded", state if state.lower() in _FAILED else None


def _authorized(deployment: AzureDeployment, job_id: str) -> dict[str, Any]:
    """Return options of a request with a token in the place of the engine's key."""
    token = deployment.token
    try:
        bearer = token.get_secret_value() if isinstance(token, SecretStr) else token()
    except Exception as error:
        raise DeployError(
            f"Your function `token` failed, so the model of job {job_id} is not deployed on Azure "
            "yet: its own error is the cause of this one. The model is kept: run the same again.",
            job_id=job_id,
        ) from error
    return {"headers": {"Authorization": f"Bearer {bearer}"}}


ENGINE = _AzureEngine(
    streams_usage=True,
    name="azure",
    summary="Azure OpenAI, which deploys a model before it answers",
    key_variable="AZURE_OPENAI_API_KEY",
    needs_base_url=True,
    profile=Profile(name="azure", keys=KEYS, max_images=64, warnings=UNPROVEN, within_openai=True),
    lines=("supervised", "preference"),
    refused_in_suffix=".",
    deployment=AzureDeployment,
    request_options={"--training-type": ("trainingType", "Standard, GlobalStandard or Developer.")},
)
