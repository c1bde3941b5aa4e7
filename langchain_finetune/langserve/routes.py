"""`add_finetune_routes`: serves a fine-tuning chain over HTTP."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from langserve import add_routes
from pydantic import BaseModel

from langchain_finetune.langserve.jobs import ServedJobs
from langchain_finetune.langserve.serializer import FineTuneSerializer
from langchain_finetune.langserve.steps import served_steps
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

    | under `path` | input | output |
    |---|---|---|
    | `/submit` | a query; `{}` uses the loader's own | the job, immediately |
    | `/status` | `{"job_id"}` | its status |
    | `/events` | `{"job_id", "after"}` | its events; `/events/stream` follows until it has ended |
    | `/cancel` | `{"job_id"}` | its status |
    | `/model` | `{"job_id"}` | the model, see `FineTuneSerializer` |
    | `/chain` | `{"job_id", "input"}` | output of the model's chain, optionally streamed |

    A client that disconnects loses nothing: the job continues, and submitting the same data again
    returns the same job.

    **Protect the routes** with `dependencies`: anyone who can reach them can start jobs that cost
    money. The fields of a caller's query override the loader's, so callers can train on every
    project that the loader's key can read; restrict the fields with a narrower `query_type`.
    Only jobs that were submitted under this path, from this home, can be reached: use separate
    paths for callers who must not see each other's jobs. LangServe's `stream_log` and
    `stream_events` expose the inner steps of `/chain`, including its prompt; those of `/submit`
    are not exposed.

    Args:
        app: Application or router that the routes are added to.
        chain: A chain that ends with `FineTune`, such as `loader | Convert() | FineTune(...)`.
        path: Prefix of all routes.
        query_type: Input of `/submit`; fields that are set are passed to the loader. With a
            model that has only `limit`, callers can choose nothing else.
        make_chain: Builds the chain of `/chain` around a finished model, as `FineTune` returns
            it: `lambda model: prompt | model`.
        dependencies: FastAPI dependencies of all routes, such as `[Depends(check_key)]`.

    Raises:
        ValueError: The chain does not end with `FineTune`.

    Example:
        ```python
        app = FastAPI()
        add_finetune_routes(app, loader | Convert() | FineTune(model="nano", engine="local"))
        ```
    """
    jobs = ServedJobs(chain, getattr(app, "prefix", "") + path)
    for name, step in served_steps(jobs, query_type, make_chain).items():
        add_routes(
            app,
            step,
            path=f"{path}/{name}",
            dependencies=[*(dependencies or ()), Depends(require_json)],
            serializer=FineTuneSerializer(),
            # A caller's config could change the loader's project and client.
            config_keys=(),
            disabled_endpoints=("config_hashes", "token_feedback"),
            # LangServe enables feedback on its own if it believes that it is hosted.
            enable_feedback_endpoint=False,
        )


def require_json(request: Request) -> None:
    """Refuse (415) a body whose content type is not JSON, which LangServe would parse regardless.

    Any website can make a browser send such a body without a preflight request, and so start a
    job. JSON requires a preflight.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and content_type != "application/json":
        raise HTTPException(415, "The body must be sent as Content-Type: application/json.")
