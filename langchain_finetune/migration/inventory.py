"""The inventory of an account: its fine-tuned models, how long they last, and who calls them."""

import datetime as dt
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from langsmith import Client
from pydantic import BaseModel, ConfigDict, SecretStr

from langchain_finetune.engines.flow import Do, Flow, Tell
from langchain_finetune.errors import EngineAuthenticationError, LoadError
from langchain_finetune.finetune.connection import Account
from langchain_finetune.migration.calls import count_calls, tracing_client
from langchain_finetune.migration.listing import (
    ANNOUNCED,
    TunedModel,
    account_at,
    every,
    names_of,
    public_address,
    read_listing,
    steps_of,
)
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.sources import count_calls_in_files

NOT_COUNTED = (
    "The models' calls were not counted: set LANGSMITH_API_KEY, start the embedded engine, or name "
    "files of recorded runs (--file)."
)


class Inventory(BaseModel):
    """The fine-tuned models of an account, those with the fewest days left first.

    Attributes:
        engine: Name of the engine.
        base_url: Its address.
        taken_at: When it was taken; days are counted from there.
        days: Calls were counted over so many days.
        counted_in: Where the calls were counted; None if they were not.
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
    counted_in: str | None = None
    models: tuple[TunedModel, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def fetch(
        *,
        engine: str = "openai",
        base_url: str | None = None,
        api_key: SecretStr | str | None = None,
        project: str | Sequence[str] | None = None,
        files: Sequence[str | os.PathLike[str]] = (),
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
            files: Files of runs, such as those of `RunRecorder`, whose calls are counted in place
                of those in LangSmith.
            days: Calls of the last so many days are counted.
            client: LangSmith's client; by default that of the environment, or of the embedded
                engine if it is running. Without any of them calls are not counted.
            on_progress: Called with each step.

        Raises:
            EngineError: The engine does not answer, or refuses the key.
            LoadError: A project does not exist, or its runs cannot be read.
        """
        connection = account_at(engine, base_url, api_key)
        flow = partial(_inventory, names_of(project), files, days, client)
        return connection.run(flow, on_progress)

    @staticmethod
    async def afetch(
        *,
        engine: str = "openai",
        base_url: str | None = None,
        api_key: SecretStr | str | None = None,
        project: str | Sequence[str] | None = None,
        files: Sequence[str | os.PathLike[str]] = (),
        days: int = 30,
        client: Client | None = None,
        on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
    ) -> "Inventory":
        """Take the inventory of an account without blocking; as `fetch` otherwise."""
        connection = account_at(engine, base_url, api_key)
        flow = partial(_inventory, names_of(project), files, days, client)
        return await connection.arun(flow, on_progress)


def _inventory(
    projects: tuple[str, ...],
    files: Sequence[str | os.PathLike[str]],
    days: int,
    client: Client | None,
    account: Account,
) -> Flow[Inventory]:
    now = dt.datetime.fromtimestamp(account.now(), dt.UTC)
    yield Tell(MigrationProgress("inventory", "listing models and jobs"))
    listing = yield from read_listing(account, jobs_optional=True)
    tuned = [job_id for job_id, job in listing.jobs.items() if job.get("fine_tuned_model")]
    for done, job_id in enumerate(tuned):
        yield Tell(MigrationProgress("inventory", f"checkpoints of {job_id}", done, len(tuned)))
        checkpoints = yield from every("checkpoints", job_id, account, optional=True)
        listing.checkpoints[job_id] = steps_of(each.fields for each in checkpoints)
    models = listing.tuned(account.api, now.date())
    address = public_address(account)
    notes = [] if listing.models is not None else ["The engine does not list its models."]
    if not listing.has_jobs:
        notes.append(
            f"{address} has no fine-tuning API: it does not list jobs. Only its list of models is "
            "shown, with those whose names begin with ft:."
        )
    if any(model.shutdown_source == ANNOUNCED for model in models):
        notes.append(
            f"{address} gives no date for some models with names of OpenAI's: {ANNOUNCED}. It "
            "holds if the server is a gateway to OpenAI."
        )
    yield Tell(MigrationProgress("inventory", "counting calls", len(tuned), len(tuned)))
    models, told, counted_in = yield Do(
        partial(_counted, models, projects, files, now - dt.timedelta(days=days), client)
    )
    return Inventory(
        engine=account.engine.name,
        base_url=address,
        taken_at=now,
        days=days,
        counted_in=counted_in,
        models=tuple(models),
        notes=(*notes, *told),
    )


def _counted(
    models: list[TunedModel],
    projects: tuple[str, ...],
    files: Sequence[str | os.PathLike[str]],
    since: dt.datetime,
    client: Client | None,
) -> tuple[list[TunedModel], list[str], str | None]:
    """Return the models with their calls, notes, and where the calls were counted."""
    if not models:
        return models, [], None
    if files:
        found = count_calls_in_files(files, [model.name for model in models], since)
        counted = [model.model_copy(update={"calls": found[model.name]}) for model in models]
        return counted, [], ", ".join(map(str, files))
    source = None
    try:
        source = client or tracing_client()
        if source is None and not projects:
            return models, [NOT_COUNTED], None
        if source is None:
            raise LoadError(NOT_COUNTED)  # noqa: TRY301 - they were asked for
        names = [model.name for model in models]
        calls, notes, where = count_calls(source, names, projects, since)
    except (LoadError, EngineAuthenticationError) as error:
        # Nobody has asked for them: the inventory is not lost with them.
        if client or projects:
            raise
        return models, [str(error)], None
    finally:
        if source is not None and client is None:
            source.close()
    counted = [model.model_copy(update={"calls": calls.get(model.name)}) for model in models]
    return counted, notes, where
