"""Several processes trace at once: nothing is lost, and nothing is there twice.

`INGEST_RUNS=10000` writes that many runs, and as many spans.
"""

import datetime as dt
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support import writer_process

RUNS = int(os.environ.get("INGEST_RUNS", "400"))
PROCESSES = 4
TESTS = Path(writer_process.__file__).parents[1]
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
FIELDS = ["id", "name", "outputs", "status"]


def written_by_processes(url, module):
    """Write runs from several processes at once; return exit code, output and errors of each."""
    command = [sys.executable, "-m", module, url, "app"]
    environment = os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    writers = [
        subprocess.Popen(
            [*command, str(RUNS // PROCESSES // 2)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(PROCESSES)
    ]
    told = [writer.communicate() for writer in writers]
    return [(writer.returncode, *said) for writer, said in zip(writers, told, strict=True)]


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")
async def test_runs_of_four_processes_are_all_there_once(server, client):
    told = written_by_processes(server.url, "support.writer_process")
    assert [(code, errors) for code, _, errors in told] == [(0, "")] * PROCESSES
    written = Counter(line for _, ids, _ in told for line in ids.split())
    assert written.total() == len(written) == RUNS

    project = str(client.read_project(project_name="app").id)
    old = list(client.list_runs(project_id=project, select=FIELDS))
    assert Counter(str(run.id) for run in old) == written
    pages = client.runs.query(
        project_ids=[project],
        selects=[field.upper() for field in FIELDS],
        min_start_time=LONG_AGO,
        page_size=1000,
    )
    new = [run async for run in pages]
    assert Counter(run.id for run in new) == written
    assert {str(run.id): run.outputs for run in old} == {run.id: run.outputs for run in new}
    assert {run.status for run in old} == {"success"}
    answers = Counter(
        run.outputs["generations"][0][0]["message"]["kwargs"]["content"]
        for run in old
        if run.name == "ChatOpenAI"
    )
    assert answers.total() == len(answers) == RUNS // 2
    await client.runs._client.close()


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")
def test_spans_of_four_processes_are_all_there_once(server, client):
    told = written_by_processes(server.url, "support.span_process")
    assert [(code, errors) for code, _, errors in told] == [(0, "")] * PROCESSES
    written = Counter(line for _, ids, _ in told for line in ids.split())
    assert written.total() == len(written) == RUNS

    runs = list(client.list_runs(project_name="app", select=[*FIELDS, "extra", "parent_run_id"]))
    ids = (run.extra["otel"] for run in runs)
    assert Counter(f"{each['trace_id']}:{each['span_id']}" for each in ids) == written
    assert {run.status for run in runs} == {"success"}
    roots = {run.id: run for run in runs if run.name == "app"}
    children = [run for run in runs if run.name == "chat"]
    assert len(roots) == len(children) == RUNS // 2
    assert {run.parent_run_id for run in children} == set(roots) == {run.trace_id for run in runs}
    for run in children:
        assert run.dotted_order.startswith(f"{roots[run.parent_run_id].dotted_order}.")
        content = run.outputs["choices"][0]["message"]["content"]
        assert content == run.extra["otel"]["span_id"]
