"""`export`: the embedded engine's runs as files."""

import shutil
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from langsmith import Client
from langsmith.utils import LangSmithError, LangSmithNotFoundError
from requests.exceptions import RequestException

from langchain_finetune.cli.output import AsJson, print_json
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.errors import EngineError
from langchain_finetune.home import home_path

_FORMATS = {"parquet": "Parquet", "jsonl": "JSONL"}
_POLL_S = 0.2
_WORKING = frozenset({"Created", "Running"})


def export(
    *,
    project: Annotated[str, typer.Option(help="Project with the runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to move the files to; else they stay in the home.")
    ] = None,
    file_format: Annotated[
        Literal["parquet", "jsonl"], typer.Option("--format", help="Kind of the files.")
    ] = "parquet",
    since: Annotated[str | None, typer.Option(help="Began at this time or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Began before this time.")] = None,
    filter: Annotated[str | None, typer.Option(help="Condition on the run.")] = None,  # noqa: A002
    as_json: AsJson = False,
) -> None:
    """Write the engine's runs to files, laid out as LangSmith's bulk export."""
    address = ensure_engine(home_path())
    client = Client(
        api_url=address.url,
        api_key=address.api_key.get_secret_value(),
        auto_batch_tracing=False,
    )
    asked = {
        "start_time": since,
        "end_time": until,
        "filter": filter,
        "format": _FORMATS[file_format],
    }
    try:
        asked["session_id"] = str(client.read_project(project_name=project).id)
        made = _ask(client, "POST", "", {key: value for key, value in asked.items() if value})
        while made["status"] in _WORKING:
            time.sleep(_POLL_S)
            made = _ask(client, "GET", f"/{made['id']}")
    except LangSmithNotFoundError as error:
        raise EngineError(f"The embedded engine has no project {project!r}.") from error
    except (LangSmithError, RequestException) as error:
        raise EngineError(f"The export could not be made: {error}") from error
    finally:
        client.close()
    if made["status"] != "Completed":
        raise EngineError(f"The export ended as {made['status']}: {made['error']}")
    folder = Path(made["folder"])
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(shutil.move(folder, out / folder.name))
    if as_json:
        print_json({"folder": str(folder), "runs": made["exported_runs"]})
    else:
        typer.echo(f"{made['exported_runs']} runs are in {folder}.")


def _ask(
    client: Client, method: Literal["GET", "POST"], path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = client.request_with_retries(method, f"/bulk-exports{path}", json=body)
    return dict(answer.json())
