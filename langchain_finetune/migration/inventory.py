"""The inventory of an account: its fine-tuned models, how long they last, and who calls them."""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from langsmith import Client
from pydantic import BaseModel, ConfigDict, SecretStr

from langchain_finetune.engines.flow import Do, Flow, Tell
from langchain_finetune.errors import EngineAuthenticationError, LoadError
from langchain_finetune.finetune.connection import Account
from langchain_finetune.migration.calls import count_calls, tracing_client
from langchain_finetune.migration.listing import (
    TunedModel,
    account_at,
    every,
    names_of,
    public_address,
    read_listing,
    steps_of,
)
from langchain_finetune.migration.progress import MigrationProgress

NOT_COUNTED = (
    "The models' calls were not counted: set LANGSMITH_API_KEY, or start the embedded engine."
)


class Inventory(BaseModel):
    """The fine-tuned models of an account, those with the fewest days left first.

    Attributes:
        engine: Name of the engine.
        base_url: Its address.
        taken_at: When it was taken; days are counted from there.
        days: Calls were counted over so many days.
        models: The models, those of checkpoints after their job's last one.
        notes: What could not be found out, and why.

    Example:
        ```python
        inventory = Inventory.fetch(project="shop")
        for model in inventory.models:
            print(model.name, model.days_left, model.calls and model.calls.count)
        ```
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    base_url: str
    taken_at: dt.datetime
    days: int
    models: tuple[TunedModel, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def fetch(
        *,
        engine: str = "openai",
        base_url: str | None = None,
        api_key: SecretStr | str | None = None,
        project: str | Sequence[str] | None = None,
        days: int = 30,
        client: Client | None = None,
        on_progress: Callable[[MigrationProgress], None] | None = None,
    ) -> "Inventory":
        """Take the inventory of an account. It only reads.

        Args:
            engine: The engine: `openai` for each server of OpenAI's API, `azure`, ...
            base_url: Address of the engine, by default its own.
            api_key: Key of the engine; by default from its environment variable.
            project: Project, or several, whose runs are counted; by default all that have any.
            days: Calls of the last so many days are counted.
            client: LangSmith's client; by default that of the environment, or of the embedded
                engine if it is running. Without any of them calls are not counted.
            on_progress: Is told of each step.

        Raises:
            EngineError: The engine does not answer, or refuses the key.
            LoadError: A project does not exist, or its runs cannot be read.
        """
        connection = account_at(engine, base_url, api_key)
        flow = partial(_inventory, names_of(project), days, client)
        return connection.run(flow, on_progress)

    @staticmethod
    async def afetch(
        *,
        engine: str = "openai",
        base_url: str | None = None,
        api_key: SecretStr | str | None = None,
        project: str | Sequence[str] | None = None,
        days: int = 30,
        client: Client | None = None,
        on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
    ) -> "Inventory":
        """Take the inventory of an account without blocking; as `fetch` otherwise."""
        connection = account_at(engine, base_url, api_key)
        flow = partial(_inventory, names_of(project), days, client)
        return await connection.arun(flow, on_progress)


def _inventory(
    projects: tuple[str, ...],
    days: int,
    client: Client | None,
    account: Account,
) -> Flow[Inventory]:
    now = dt.datetime.fromtimestamp(account.now(), dt.UTC)
    yield Tell(MigrationProgress("inventory", "listing models and jobs"))
    listing = yield from read_listing(account)
    tuned = [job_id for job_id, job in listing.jobs.items() if job.get("fine_tuned_model")]
    for done, job_id in enumerate(tuned):
        yield Tell(MigrationProgress("inventory", f"checkpoints of {job_id}", done, len(tuned)))
        checkpoints = yield from every("checkpoints", job_id, account, optional=True)
        listing.checkpoints[job_id] = steps_of(each.fields for each in checkpoints)
    models = listing.tuned(account.api, now.date())
    notes = [] if listing.models is not None else ["The engine does not list its models."]
    yield Tell(MigrationProgress("inventory", "counting calls", len(tuned), len(tuned)))
    models, told = yield Do(
        partial(_counted, models, projects, now - dt.timedelta(days=days), client)
    )
    return Inventory(
        engine=account.engine.name,
        base_url=public_address(account),
        taken_at=now,
        days=days,
        models=tuple(models),
        notes=(*notes, *told),
    )


def _counted(
    models: list[TunedModel],
    projects: tuple[str, ...],
    since: dt.datetime,
    client: Client | None,
) -> tuple[list[TunedModel], list[str]]:
    """Return the models with their calls, and notes."""
    if not models:
        return models, []
    source = None
    try:
        source = client or tracing_client()
        if source is None and not projects:
            return models, [NOT_COUNTED]
        if source is None:
            raise LoadError(NOT_COUNTED)  # noqa: TRY301 - they were asked for
        calls, notes = count_calls(source, [model.name for model in models], projects, since)
    except (LoadError, EngineAuthenticationError) as error:
        # Nobody has asked for them: the inventory is not lost with them.
        if client or projects:
            raise
        return models, [str(error)]
    finally:
        if source is not None and client is None:
            source.close()
    return [model.model_copy(update={"calls": calls[model.name]}) for model in models], notes
