"""`add_finetune_routes`: a fine-tuning chain over HTTP."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
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
    StatusStep,
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
    gives the same job.

    **Protect the routes** with `dependencies`: whoever reaches them can start jobs that cost.
    Each field of a caller's query takes the place of the loader's own, so callers can train on
    every project that the loader's key reads; a narrower `query_type` leaves them fewer fields.
    Only jobs that were submitted under this path, from this home, can be reached: give callers
    who must not see each other's jobs different paths. LangServe's `stream_log` and
    `stream_events` show the inner steps of `/chain`, its prompt among them; those of `/submit`
    are not shown.

    Args:
        app: Where the routes are added.
        chain: Ends with `FineTune`, such as `loader | Convert() | FineTune(...)`.
        path: Stands before all routes.
        query_type: What `/submit` takes; its fields that are set go to the loader. One with
            `limit` alone lets callers choose nothing else.
        make_chain: Puts a finished model, as `FineTune` returns it, into the chain of `/chain`:
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
    jobs = ServedJobs(chain, getattr(app, "prefix", "") + path)
    steps: dict[str, Runnable[Any, Any]] = {
        "submit": Submit(jobs, query_type),
        "status": StatusStep(jobs),
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
            dependencies=[*(dependencies or ()), Depends(takes_json)],
            serializer=FineTuneSerializer(),
            # A caller's config would reach into the loader: its project, its client.
            config_keys=(),
            disabled_endpoints=("config_hashes", "token_feedback"),
            # LangServe turns feedback on by itself where it takes itself for hosted.
            enable_feedback_endpoint=False,
        )


def takes_json(request: Request) -> None:
    """Refuse a body that is not called JSON, which LangServe would read all the same.

    Any web page may send such a body to a server on its reader's machine without asking, and so
    start a job. For JSON the browser asks first.

    Raises:
        HTTPException: It is called something else (415).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind != "application/json":
        raise HTTPException(415, "The body must be sent as Content-Type: application/json.")
