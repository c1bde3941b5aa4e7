"""`export`: exports the embedded engine's runs to files."""

import shutil
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from langsmith import Client
from langsmith.utils import LangSmithError, LangSmithNotFoundError
from requests.exceptions import RequestException

from langchain_finetune.cli.output import AsJson, print_json, print_line
from langchain_finetune.display.text import counted
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.errors import EngineError
from langchain_finetune.home import home_path


def export(
    *,
    project: Annotated[str, typer.Option(help="Project of the runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default in the home.")
    ] = None,
    file_format: Annotated[
        Literal["parquet", "jsonl"], typer.Option("--format", help="File format.")
    ] = "parquet",
    since: Annotated[
        str | None, typer.Option(help="Only runs started at or after this time.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only runs started before this time.")] = None,
    filter: Annotated[str | None, typer.Option(help="Filter in LangSmith's language.")] = None,  # noqa: A002
    as_json: AsJson = False,
) -> None:
    """Export the engine's runs to files, in the layout of LangSmith's bulk export."""
    address = ensure_engine(home_path())
    client = Client(
        api_url=address.url,
        api_key=address.api_key.get_secret_value(),
        auto_batch_tracing=False,
    )
    body = {
        "start_time": since,
        "end_time": until,
        "filter": filter,
        "format": {"parquet": "Parquet", "jsonl": "JSONL"}[file_format],
    }
    try:
        body["session_id"] = str(client.read_project(project_name=project).id)
        job = _request(client, "POST", "", {key: value for key, value in body.items() if value})
        while job["status"] in {"Created", "Running"}:
            time.sleep(0.2)
            job = _request(client, "GET", f"/{job['id']}")
    except LangSmithNotFoundError as error:
        raise EngineError(f"The embedded engine has no project {project!r}.") from error
    except (LangSmithError, RequestException) as error:
        raise EngineError(f"The export failed: {error}") from error
    finally:
        client.close()
    if job["status"] != "Completed":
        raise EngineError(f"The export ended with status {job['status']}: {job['error']}")
    folder = Path(job["folder"])
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(shutil.move(folder, out / folder.name))
    if as_json:
        print_json({"folder": str(folder), "runs": job["exported_runs"]})
    else:
        print_line(f"{counted(job['exported_runs'], 'run')} exported to {folder}.")


def _request(
    client: Client, method: Literal["GET", "POST"], path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    response = client.request_with_retries(method, f"/bulk-exports{path}", json=body)
    return dict(response.json())
