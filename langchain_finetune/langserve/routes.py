"""`add_finetune_routes`: a fine-tuning chain over HTTP."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from langserve import add_routes
from pydantic import BaseModel

from langchain_finetune.langserve.jobs import ServedJobs
from langchain_finetune.langserve.serializer import FineTuneSerializer
from langchain_finetune.langserve.steps import (
    Cancel,
    Events,
    EventsRequest,
    FinishedChain,
    Model,
    Status,
    Submit,
)
from langchain_finetune.loaders.query import RunQuery


def add_finetune_routes(
    app: FastAPI | APIRouter,
    chain: Runnable[Any, Any],
    *,
    path: str = "/finetune",
    query_type: type[BaseModel] = RunQuery,
    make_chain: Callable[[ChatOpenAI], Runnable[Any, Any]] = lambda model: model,
    dependencies: Sequence[Any] | None = None,
) -> None:
    """Serve a fine-tuning chain: LangServe's routes and playground for each of its steps.

    | under `path` | takes | gives |
    |---|---|---|
    | `/submit` | a query; `{}` takes the loader's own | the job, at once |
    | `/status` | `{"job_id"}` | its state |
    | `/events` | `{"job_id", "after"}` | its events; `/events/stream` until it has ended |
    | `/cancel` | `{"job_id"}` | its state |
    | `/model` | `{"job_id"}` | the model, see `FineTuneSerializer` |
    | `/chain` | `{"job_id", "input"}` | what the model's chain gives, streamed where asked |

    Nothing is lost with a client that goes away: the job goes on, and submitting the same again
    gives the same job. Whoever reaches these routes can start jobs that cost and read what the
    loader selects: protect them with `dependencies`.

    Args:
        app: Where the routes are added.
        chain: Ends with `FineTune`, such as `loader | Convert() | FineTune(...)`.
        path: Stands before all routes.
        query_type: What `/submit` takes; its fields that are set go to the loader.
        make_chain: Puts a finished model into the chain that `/chain` serves, such as
            `lambda model: prompt | model`.
        dependencies: FastAPI's, such as `[Depends(check_key)]`; they guard all routes.

    Raises:
        ValueError: The chain does not end with `FineTune`.

    Example:
        ```python
        app = FastAPI()
        add_finetune_routes(app, loader | Convert() | FineTune(model="nano", engine="local"))
        ```
    """
    jobs = ServedJobs(chain)
    steps: dict[str, Runnable[Any, Any]] = {
        "submit": Submit(jobs, query_type),
        "status": Status(jobs),
        "events": Events(jobs, EventsRequest),
        "cancel": Cancel(jobs),
        "model": Model(jobs),
        "chain": FinishedChain(jobs, make_chain),
    }
    for name, step in steps.items():
        add_routes(
            app,
            step,
            path=f"{path}/{name}",
            dependencies=dependencies,
            serializer=FineTuneSerializer(),
            # A caller's config would reach into the loader: its project, its client.
            config_keys=(),
        )
