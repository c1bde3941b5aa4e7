"""Files of runs and examples, written and read back by LangSmith's own client."""

import datetime as dt
from uuid import uuid4

import httpx
import pytest
from langsmith import schemas, traceable, tracing_context
from langsmith.run_trees import RunTree
from langsmith.utils import LangSmithError, LangSmithNotFoundError

from langchain_finetune.local.store import attachments as attachments_module
from langchain_finetune.local.store import bodies

pytestmark = pytest.mark.filterwarnings("ignore:(list_runs|read_run).. is deprecated")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def read(attachments):
    return {name: each["reader"].read() for name, each in attachments.items()}


def traced(client, **attachments):
    """Record a run with these files; returns its id."""
    run = RunTree(
        name="look",
        run_type="tool",
        inputs={"a": 1},
        ls_client=client,
        project_name="app",
        attachments=attachments,
    )
    run.post()
    run.end(outputs={"b": 2})
    run.patch()
    client.flush()
    return run.id


@pytest.fixture(params=["zstd", "multipart"])
def writer(request, server, connecting, monkeypatch):
    """Clients that pack what they send, and that do not."""
    if request.param == "multipart":
        monkeypatch.setenv("LANGSMITH_DISABLE_RUN_COMPRESSION", "true")
    with connecting(server.url) as client:
        yield client


def test_the_files_of_a_run_come_back(writer):
    run_id = traced(writer, photo=("image/png", PNG), note=("text/plain", b"--line\r\n"))
    expected = {"photo": PNG, "note": b"--line\r\n"}
    assert read(writer.read_run(run_id).attachments) == expected
    [listed] = writer.list_runs(project_name="app")
    assert read(listed.attachments) == expected
    assert listed.attachments["photo"]["mime_type"] == "image/png"


def test_a_traced_function_may_take_files(client):
    @traceable(client=client, process_inputs=lambda _: {})
    def look(photo: schemas.Attachment) -> int:
        return len(photo.data)

    with tracing_context(client=client, enabled=True, project_name="app"):
        look(schemas.Attachment(mime_type="image/png", data=PNG))
    client.flush()
    [run] = client.list_runs(project_name="app")
    assert read(run.attachments) == {"photo": PNG}


async def test_the_new_api_gives_addresses_that_need_no_key(client):
    run_id = traced(client, photo=("image/png", PNG))
    project = str(client.read_project(project_name="app").id)
    pages = client.runs.query(
        project_ids=[project],
        selects=["ID", "ATTACHMENTS"],
        min_start_time=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    )
    [run] = [run async for run in pages]
    assert run.id == str(run_id)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(run.attachments["photo"])
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    await client.runs._client.close()


def test_a_file_of_the_same_name_takes_the_place_of_the_old(client, server):
    run_id = traced(client, photo=("image/png", b"old"))
    client.update_run(
        run_id,
        trace_id=run_id,
        dotted_order=client.read_run(run_id).dotted_order,
        attachments={"photo": ("image/png", b"new")},
    )
    client.flush()
    assert read(client.read_run(run_id).attachments) == {"photo": b"new"}
    assert server.store._database.row("SELECT count(*) AS n FROM blobs")["n"] == 1


def test_files_go_with_their_project(client, server):
    traced(client, photo=("image/png", PNG))
    client.delete_project(project_name="app")
    assert server.store._database.row("SELECT count(*) AS n FROM blobs")["n"] == 0


def test_an_address_works_for_its_file_only_and_not_for_ever(client, server, monkeypatch):
    run_id = traced(client, photo=("image/png", PNG))

    def address():
        [found] = httpx.get(f"{server.url}/runs/{run_id}").json()["s3_urls"].values()
        return server.url + found["presigned_url"]

    assert httpx.get(address()).status_code == 200
    blob = address().partition("/public/attachments/")[2][:36]
    for wrong in (
        address()[:-1],
        address().replace("expires=", "expires=9"),
        address().replace(blob, str(uuid4())),
        address().replace("signature=", "signature=%C3%A4"),
    ):
        assert httpx.get(wrong).status_code == 403
    assert httpx.get(address().partition("?")[0]).status_code == 400
    monkeypatch.setattr(attachments_module, "VALID_S", -1)
    assert "expired" in httpx.get(address()).json()["error"]["message"]


def test_no_browser_runs_what_strangers_traced(client, server):
    run_id = traced(client, page=("text/html", b"<script>"), odd=("a\r\nb: c", b""))
    files = httpx.get(f"{server.url}/runs/{run_id}").json()["s3_urls"]
    assert files["attachment.odd"]["mime_type"] == "application/octet-stream"
    answer = httpx.get(server.url + files["attachment.page"]["presigned_url"])
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_names_never_become_paths(client, tmp_path):
    names = ["../../etc/passwd", "/tmp/x", "a b", "ä", "'; DROP TABLE runs"]
    run_id = traced(client, **{name: ("text/plain", name.encode()) for name in names})
    found = read(client.read_run(run_id).attachments)
    # What holds a period is left out by LangSmith's client itself.
    assert found == {name: name.encode() for name in names if "." not in name}
    assert not list(tmp_path.rglob("*passwd*"))


def test_a_file_that_is_too_large_is_refused_with_its_bound(client, monkeypatch):
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 2**20)
    dataset = client.create_dataset("photos")
    with pytest.raises(LangSmithError, match="larger than 1 MiB"):
        client.create_example(
            {}, dataset_id=dataset.id, attachments={"photo": ("image/png", bytes(2**20))}
        )
    assert list(client.list_examples(dataset_id=dataset.id)) == []


def test_the_files_of_examples_come_back_when_they_are_asked_for(client):
    dataset = client.create_dataset("photos")
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"inputs": {"n": 1}, "attachments": {"photo": ("image/png", PNG)}},
            {"inputs": {"n": 2}},
        ],
    )
    first, second = client.list_examples(dataset_id=dataset.id, include_attachments=True)
    assert read(first.attachments) == {"photo": PNG}
    assert second.attachments == {}
    assert read(client.read_example(first.id).attachments) == {"photo": PNG}
    plain = client.list_examples(dataset_id=dataset.id)
    assert all(not each.attachments for each in plain)


def test_files_belong_to_versions(client, server):
    dataset = client.create_dataset("photos")
    made = client.create_example(
        {"n": 1},
        dataset_id=dataset.id,
        attachments={"one": ("text/plain", b"1"), "two": ("text/plain", b"2")},
    )

    def files(as_of=None):
        return read(client.read_example(made.id, as_of=as_of).attachments)

    client.update_example(made.id, metadata={"k": 1})
    assert files() == {"one": b"1", "two": b"2"}
    operations = schemas.AttachmentsOperations(rename={"one": "uno"}, retain=[])
    client.update_example(
        made.id,
        attachments_operations=operations,
        attachments={"three": ("text/plain", b"3")},
    )
    assert files() == {"uno": b"1", "three": b"3"}
    assert files(made.modified_at) == {"one": b"1", "two": b"2"}
    client.delete_examples([made.id], hard_delete=True)
    assert server.store._database.row("SELECT count(*) AS n FROM blobs")["n"] == 0
    with pytest.raises(LangSmithNotFoundError):
        client.read_example(made.id, as_of=made.modified_at)


def test_an_example_takes_values_and_files_from_its_run(client):
    run_id = traced(client, photo=("image/png", PNG), note=("text/plain", b"no"))
    dataset = client.create_dataset("photos")
    made = client.create_example(
        dataset_id=dataset.id,
        source_run_id=run_id,
        use_source_run_io=True,
        use_source_run_attachments=["photo"],
    )
    assert (made.inputs, made.outputs, made.source_run_id) == ({"a": 1}, {"b": 2}, run_id)
    assert read(made.attachments) == {"photo": PNG}
    client.delete_project(project_name="app")
    assert read(client.read_example(made.id).attachments) == {"photo": PNG}
