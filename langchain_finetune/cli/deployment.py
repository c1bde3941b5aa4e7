"""How a command has a model deployed, at the engines where it answers only then."""

import os
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from langchain_finetune.cli.sharing import made_of
from langchain_finetune.finetune.deploy import Deployment
from langchain_finetune.finetune.engines.azure import AzureDeployment
from langchain_finetune.finetune.engines.nebius import NebiusDeployment
from langchain_finetune.finetune.engines.profiles import Engine, profile_of

TOKEN_VARIABLE = "AZURE_MANAGEMENT_TOKEN"  # noqa: S105 - where it is, not what
"""Holds the token for Azure's management plane; on the command line others could read it."""

_option = partial(typer.Option, rich_help_panel="Deployment, at azure and nebius")


@dataclass(frozen=True)
class DeploymentOptions:
    """The options as they were given, and what they are called.

    Attributes:
        common: Those of every engine that deploys.
        azure: Those of Azure.
        nebius: Those of Nebius.
    """

    common: dict[str, Any]
    azure: dict[str, Any]
    nebius: dict[str, Any]

    def for_engine(self, engine: Engine) -> Deployment | None:
        """Return the deployment at an engine; None where a model answers without.

        Raises:
            typer.BadParameter: Something lacks, or is for another engine.
        """
        own = {"azure": self.azure, "nebius": self.nebius}.get(engine, {})
        taken = self.common | own if profile_of(engine).deploys else {}
        every = self.common | self.azure | self.nebius
        for option, value in every.items():
            if value is not None and option not in taken:
                raise typer.BadParameter(f"{option} is not for --engine {engine}.")
        if engine == "azure":
            return self._on_azure()
        return self._on_nebius() if engine == "nebius" else None

    def _on_azure(self) -> AzureDeployment:
        needed = self.common | self.azure
        lacking = [name for name in (*self.common, *_AZURE_NEEDS) if not needed[name]]
        if lacking:
            raise typer.BadParameter(f"--engine azure needs {', '.join(lacking)}.")
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise typer.BadParameter(
                f"--engine azure needs a token for the management plane in {TOKEN_VARIABLE}, such "
                "as `az account get-access-token --resource https://management.azure.com` prints."
            )
        fields = {
            "name": self.common["--deployment"],
            "subscription_id": self.azure["--azure-subscription"],
            "resource_group": self.azure["--azure-resource-group"],
            "account": self.azure["--azure-account"],
            "sku": self.azure["--azure-sku"],
            "capacity": self.azure["--azure-capacity"],
            "management_url": self.azure["--azure-management-url"],
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return made_of(AzureDeployment, **given, token=token)

    def _on_nebius(self) -> NebiusDeployment:
        name = self.common["--deployment"]
        if not name:
            raise typer.BadParameter("--engine nebius needs --deployment.")
        base = self.nebius["--nebius-serving-base"]
        return made_of(NebiusDeployment, name=name, base_model=base)


_AZURE_NEEDS = ("--azure-subscription", "--azure-resource-group", "--azure-account")


def deployment_options(
    *,
    deployment: Annotated[
        str | None, _option(help="Name of the deployment, or of the served model.")
    ] = None,
    azure_subscription: Annotated[str | None, _option(help="Id of the subscription.")] = None,
    azure_resource_group: Annotated[str | None, _option(help="The resource group.")] = None,
    azure_account: Annotated[str | None, _option(help="Name of the resource.")] = None,
    azure_sku: Annotated[
        str | None, _option(help="Standard (the default), GlobalStandard, DeveloperTier, ...")
    ] = None,
    azure_capacity: Annotated[
        int | None, _option(min=1, help="Thousands of tokens a minute; 1 by default.")
    ] = None,
    azure_management_url: Annotated[
        str | None, _option(help="Of another cloud than the public one.")
    ] = None,
    nebius_serving_base: Annotated[
        str | None, _option(help="The base that serves it, where it has another name there.")
    ] = None,
) -> DeploymentOptions:
    """Return how the model is deployed, as the options say."""
    return DeploymentOptions(
        {"--deployment": deployment},
        {
            "--azure-subscription": azure_subscription,
            "--azure-resource-group": azure_resource_group,
            "--azure-account": azure_account,
            "--azure-sku": azure_sku,
            "--azure-capacity": azure_capacity,
            "--azure-management-url": azure_management_url,
        },
        {"--nebius-serving-base": nebius_serving_base},
    )
