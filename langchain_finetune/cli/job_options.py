"""Which job a command is about: the same options for all commands."""

import os
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, cast

import typer
from pydantic import TypeAdapter

from langchain_finetune.cli.options import made_of
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.connection import Address, Connection, is_for, same_address
from langchain_finetune.finetune.deploy import Deployment
from langchain_finetune.finetune.engines.azure import AzureDeployment
from langchain_finetune.finetune.engines.nebius import NebiusDeployment
from langchain_finetune.finetune.engines.profiles import Engine, profile_of
from langchain_finetune.finetune.job import Job
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.finetune.submit import job_of_id
from langchain_finetune.home import home_path

_ADDRESS = TypeAdapter(Address)

EngineOption = Annotated[
    Engine | None, typer.Option(help="Where the job is; by default as this machine remembers.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of an engine that the key in the environment is for.")
]


def found(
    *,
    job_id: Annotated[str, typer.Argument(help="As the engine names it.")],
    engine: EngineOption = None,
    base_url: AddressOption = None,
) -> Job:
    """Return the job that the options name.

    Raises:
        typer.BadParameter: The address is none, or no other than the engine's own can be.
        EngineError: The engine has none of that id, or can't be asked.
        FineTuningError: The job is at an address that the key may not be for.
    """
    entries = (entry for entry in Ledger(home_path()).entries() if entry.job_id == job_id)
    if engine is None and (entry := next(entries, None)):
        connection = connection_of(entry, base_url)
    else:
        engine = engine or ("openai" if base_url else "local")
        if base_url is None and profile_of(engine).needs_base_url:
            raise typer.BadParameter(f"--engine {engine} needs --base-url.")
        if base_url is not None and engine == "local":
            raise typer.BadParameter("--engine local finds its address by itself.")
        connection = Connection(
            engine, base_url and made_of(partial(_ADDRESS.validate_python, base_url))
        )
    job = connection.run(partial(job_of_id, job_id))
    key = connection.key_for(job.engine, job.base_url)
    return job.with_api_key(key) if key else job


def connection_of(entry: Entry, base_url: str | None) -> Connection:
    """Return the connection to a job's engine.

    Raises:
        FineTuningError: The environment's key may be for another address: this one is neither
            the environment's nor the one that was given.
    """
    engine, address = cast("Engine", entry.engine), entry.base_url
    if engine == "local":
        return Connection(engine)
    if not is_for(engine, address) and not (base_url and same_address(address, base_url)):
        raise FineTuningError(
            f"The key for {address} is not known here: give --base-url {address} if "
            f"{profile_of(engine).key_variable} is for it."
        )
    return Connection(engine, address)


TOKEN_VARIABLE = "AZURE_MANAGEMENT_TOKEN"  # noqa: S105 - where it is, not what
"""Token for Azure's management plane, to deploy from the command line: in a flag others could
read it."""

_deploy_option = partial(typer.Option, rich_help_panel="Deployment, at azure and nebius")


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
        str | None, _deploy_option(help="Name of the deployment, or of the served model.")
    ] = None,
    azure_subscription: Annotated[
        str | None, _deploy_option(help="Id of the subscription.")
    ] = None,
    azure_resource_group: Annotated[str | None, _deploy_option(help="The resource group.")] = None,
    azure_account: Annotated[str | None, _deploy_option(help="Name of the resource.")] = None,
    azure_sku: Annotated[
        str | None,
        _deploy_option(help="Standard (the default), GlobalStandard, DeveloperTier, ..."),
    ] = None,
    azure_capacity: Annotated[
        int | None, _deploy_option(min=1, help="Thousands of tokens a minute; 1 by default.")
    ] = None,
    azure_management_url: Annotated[
        str | None, _deploy_option(help="Of another cloud than the public one.")
    ] = None,
    nebius_serving_base: Annotated[
        str | None, _deploy_option(help="The base that serves it, where it has another name there.")
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
