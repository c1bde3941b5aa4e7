"""The fine-tuned models of an account, from its lists of models, jobs and checkpoints.

The lists are data from outside: each field may be missing or of another type.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from langchain_finetune.content import mapping
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import is_address
from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.engines.base import Engine
from langchain_finetune.engines.flow import Flow, Pages
from langchain_finetune.engines.jobs import ApiRecord, ModelEnd, RecordKind
from langchain_finetune.engines.openai import SOURCE, shutdown_of
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.finetune.connection import Account, Connection

CHECKPOINT = re.compile(r"^(?P<model>.+):ckpt-step-(?P<step>\d+)$")
"""Name of the model of a checkpoint at OpenAI and Azure."""


_NO_ROUTE = frozenset({404, 405, 410, 501})
"""Answers of a server that has no list of jobs."""

ANNOUNCED = f"OpenAI's own date for this base: {SOURCE}"
"""Source of the date of a model at another server, such as a gateway to OpenAI."""


class ModelCalls(BaseModel):
    """Who called a model lately: LLM runs in traces.

    Attributes:
        count: Number of runs.
        at_least: There may be more: only the newest runs were counted.
        last_at: Start of the newest run.
        projects: Names of the projects with such runs.
    """

    model_config = ConfigDict(frozen=True)

    count: int = 0
    at_least: bool = False
    last_at: dt.datetime | None = None
    projects: tuple[str, ...] = ()


class TunedModel(BaseModel):
    """A fine-tuned model of an account.

    Attributes:
        name: Its name in requests.
        base: Its base.
        method: Its training method, as its engine calls it: `supervised`, `dpo`, `reinforcement`.
        job_id: Its job; None if the account does not list it.
        created_at: When its job was created, or else the model.
        training_file: Id of the training file.
        validation_file: Id of the validation file.
        result_files: Ids of the files with its metrics.
        checkpoint_of: For the model of a checkpoint: the last model of the same job.
        step: For the model of a checkpoint: its step.
        shutdown_date: When it stops answering, if that is announced.
        shutdown_source: Where that is announced.
        training_stops: When its base can no longer be trained, if that is announced.
        days_left: Days until `shutdown_date`; negative afterwards.
        status: `available`: it is in the list of models. `shut down`: it is not, and its date has
            passed. `deleted`: it is not, without such a reason. `unknown`: there is no such list.
        calls: Its runs in traces; None if none were counted.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    base: str | None = None
    method: str | None = None
    job_id: str | None = None
    created_at: dt.datetime | None = None
    training_file: str | None = None
    validation_file: str | None = None
    result_files: tuple[str, ...] = ()
    checkpoint_of: str | None = None
    step: int | None = None
    shutdown_date: dt.date | None = None
    shutdown_source: str | None = None
    training_stops: dt.date | None = None
    days_left: int | None = None
    status: Literal["available", "shut down", "deleted", "unknown"] = "unknown"
    calls: ModelCalls | None = None


@dataclass(frozen=True)
class Listing:
    """What an account lists, by name or id; `models` is None if the engine has no list of models.

    `has_jobs` says whether it has a list of jobs. `checkpoints` holds the steps of models that were
    kept, by name, by job; it is empty if they were not asked for.
    """

    jobs: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]] | None
    checkpoints: dict[str, dict[str, int | None]] = field(default_factory=dict)
    has_jobs: bool = True

    def tuned(self, engine: Engine, today: dt.date) -> list[TunedModel]:
        """Return the fine-tuned models, those with the fewest days left first."""
        found: dict[str, TunedModel] = {}
        for job_id, job in self.jobs.items():
            name = text(job.get("fine_tuned_model"))
            if name and name not in found:
                found[name] = self._of_job(name, job_id, job)
                for kept, step in self.checkpoints.get(job_id, {}).items():
                    found.setdefault(kept, _kept(kept, step, found[name]))
        for name, listed in (self.models or {}).items():
            if name not in found and (name.startswith("ft:") or text(listed.get("model"))):
                parent = CHECKPOINT.match(name)
                known = found.get(parent["model"]) if parent else None
                if parent and known:
                    found[name] = _kept(name, int(parent["step"]), known)
                else:
                    found[name] = self._unlisted(name, listed)
        dated = [self._dated(model, engine, today) for model in found.values()]
        return sorted(dated, key=_urgency)

    def _of_job(self, name: str, job_id: str, job: Mapping[str, Any]) -> TunedModel:
        listed = job.get("result_files")
        results = listed if isinstance(listed, list) else []
        return TunedModel(
            name=name,
            base=text(job.get("model")),
            method=text(mapping(job.get("method")).get("type")) or "supervised",
            job_id=job_id,
            created_at=time_of(job.get("created_at")),
            training_file=text(job.get("training_file")),
            validation_file=text(job.get("validation_file")),
            result_files=tuple(filter(None, map(text, results))),
        )

    def _unlisted(self, name: str, listed: Mapping[str, Any]) -> TunedModel:
        """Return a model whose job is not listed, such as that of another project."""
        in_name = name.split(":")[1] if name.startswith("ft:") else None
        created = listed.get("created") or listed.get("created_at")
        base = text(listed.get("model")) or in_name
        return TunedModel(name=name, base=base, created_at=time_of(created))

    def _dated(self, model: TunedModel, engine: Engine, today: dt.date) -> TunedModel:
        models = self.models or {}
        owner = model.checkpoint_of or model.name
        listed = [mapping(models.get(name or "")) for name in (owner, model.base)]
        end = engine.model_end(model.base or "", *listed) or _of_openai(owner, engine)
        past = end is not None and end.stops <= today
        if model.name in models or owner in models:
            status = "available"
        elif past:
            status = "shut down"
        else:
            status = "unknown" if self.models is None else "deleted"
        dates = (
            {
                "shutdown_date": end.stops,
                "shutdown_source": end.source,
                "training_stops": end.training_stops,
                "days_left": (end.stops - today).days,
            }
            if end
            else {}
        )
        return model.model_copy(update={"status": status, **dates})


def account_at(engine: str, base_url: str | None, api_key: SecretStr | str | None) -> Connection:
    """Return the connection to an account.

    Raises:
        FineTuningError: There is no such engine, or the address is none, missing or not accepted.
    """
    kind = engine_of(engine)
    if base_url is None and kind.needs_base_url:
        raise FineTuningError(f"Engine {engine!r} needs the base URL of the account.")
    if base_url is not None and not kind.takes_base_url:
        raise FineTuningError(f"Engine {engine!r} does not take a base URL.")
    if base_url is not None and not is_address(base_url):
        raise FineTuningError("The base URL must be one such as https://api.openai.com/v1.")
    return Connection(engine, base_url, SecretStr(api_key) if isinstance(api_key, str) else api_key)


def public_address(account: Account) -> str:
    """Return the address of an account without secrets in it."""
    return without_secrets(account.base_url)


def names_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def read_listing(account: Account, *, jobs_optional: bool = False) -> Flow[Listing]:
    """Read the lists of models and jobs.

    Raises:
        EngineError: The engine does not answer, or lists no jobs; with `jobs_optional`, if it
            lists no models either.
    """
    found: list[ApiRecord] = []
    missing = None
    try:
        found = yield from every("jobs", None, account)
    except EngineError as error:
        status = getattr(error.__cause__, "status_code", None)
        if not jobs_optional or status not in _NO_ROUTE:
            raise
        missing = error
    models = yield from every("models", None, account, optional=True)
    if missing is not None and not models:
        raise missing
    return Listing(
        {job.id: job.fields for job in found},
        # A server without a list of models is not one that has none.
        {model.id: model.fields for model in models} if models else None,
        has_jobs=missing is None,
    )


def every(
    kind: RecordKind, of: str | None, account: Account, *, optional: bool = False
) -> Flow[list[ApiRecord]]:
    """Return all objects of a list; with `optional`, none if the engine has no such list."""
    found: list[ApiRecord] = []
    pages = Pages(
        partial(account.api.records, kind, of), account.engine.pace.retry, optional=optional
    )
    while pages.more:
        found += yield from pages.following()
    return found


def steps_of(checkpoints: Iterable[Mapping[str, Any]]) -> dict[str, int | None]:
    """Return the steps of checkpoints by the names of their models."""
    found = {}
    for one in checkpoints:
        if name := text(one.get("fine_tuned_model_checkpoint")):
            step = one.get("step_number")
            found[name] = step if isinstance(step, int) else None
    return found


def text(value: Any) -> str | None:
    """Return a text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def time_of(value: Any) -> dt.datetime | None:
    """Return seconds since 1970 as a time, or None."""
    try:
        return dt.datetime.fromtimestamp(value, dt.UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _of_openai(name: str, engine: Engine) -> ModelEnd | None:
    """Return the end of a model that has a name of OpenAI's at another server."""
    if not engine.takes_base_url or not name.startswith("ft:"):
        return None
    stops = shutdown_of(name)
    return ModelEnd(stops, ANNOUNCED) if stops else None


def _kept(name: str, step: int | None, last: TunedModel) -> TunedModel:
    """Return the model of a checkpoint of the same job as `last`."""
    return last.model_copy(update={"name": name, "checkpoint_of": last.name, "step": step})


def _urgency(model: TunedModel) -> tuple[bool, int, str, int]:
    days = model.days_left
    return days is None, days or 0, model.checkpoint_of or model.name, model.step or -1
