"""Bodies and forms that the run store refuses: each with a sentence, and nothing is kept."""

import httpx
import pytest
from langsmith.run_trees import RunTree

KNOWN = "4165cc94-c22c-450b-9047-154c4f33a489"
OTHER = "925a8cd3-74c2-43b5-bad4-589f921ea65b"
SCALE = {"type": "continuous", "min": 0, "max": 1}


@pytest.fixture
def dataset(client):
    return str(client.create_dataset("rooms").id)


def form(**parts):
    """A multipart form; those whose value is bytes are files."""
    return [
        (name, (f"{name}.csv", value, "text/csv") if isinstance(value, bytes) else (None, value))
        for name, value in parts.items()
    ]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"input_keys": "beds"}, "The form needs a file."),
        ({"file": b"beds\n2\n"}, "input_keys must name columns."),
        ({"file": b"beds\n2\n", "input_keys": "rooms"}, "The file has no column rooms."),
        ({"file": b"b\xff\n2\n", "input_keys": "b"}, "file is not UTF-8 text."),
    ],
)
def test_forms_of_examples(server, client, parts, told):
    answer = httpx.post(f"{server.url}/datasets/upload", files=form(**parts))
    assert (answer.status_code, told in answer.text) == (400, True)
    assert list(client.list_datasets()) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (KNOWN, "[]", "An example must be a JSON object."),
        (f"{KNOWN}.extra", "{}", "A part's name is not that of an example."),
    ],
)
def test_parts_of_examples(server, client, dataset, name, value, told):
    url = f"{server.url}/platform/datasets/{dataset}/examples"
    files = [(name, (None, value, "application/json"))]
    answer = httpx.post(url, files=files)
    assert (answer.status_code, told in answer.text) == (400, True)
    assert list(client.list_examples(dataset_id=dataset)) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"use_source_run_io": True}, "A source_run_id must say from which run."),
        ({"inputs": {}, "metadata": {"dataset_split": 5}}, "split must be a string or a list"),
        ({"outputs": {"a": 1}}, "needs inputs."),
    ],
)
def test_examples(server, client, dataset, fields, told):
    answer = httpx.post(f"{server.url}/examples", json={"dataset_id": dataset, **fields})
    assert (answer.status_code, told in answer.text) == (400, True)
    assert list(client.list_examples(dataset_id=dataset)) == []


def test_many_examples_at_once(server, client, dataset):
    url = f"{server.url}/examples/bulk"
    other = str(client.create_dataset("halls").id)
    both = [{"dataset_id": each, "inputs": {"beds": 2}} for each in (dataset, other)]
    refused = httpx.post(url, json=both)
    assert (refused.status_code, "must be of one dataset" in refused.text) == (400, True)
    made = httpx.post(url, json=both[:1]).json()
    assert httpx.patch(url, json={}).status_code == 400
    changed = httpx.patch(url, json=[{"id": made[0]["id"], "inputs": {"beds": 3}}])
    assert changed.json()["count"] == 1
    assert [each.inputs for each in client.list_examples(dataset_id=dataset)] == [{"beds": 3}]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"/examples/{KNOWN}", "An example must be a JSON object."),
        (f"/feedback/{KNOWN}", "A change of feedback must be a JSON object."),
        ("/feedback-configs", "A feedback configuration must be a JSON object."),
        (f"/runs/{KNOWN}", "A run must be a JSON object."),
    ],
)
def test_changes_that_are_no_objects(server, path, told):
    answer = httpx.patch(f"{server.url}{path}", json=[])
    assert (answer.status_code, told in answer.text) == (400, True)


def test_categories_of_a_scale_without_any(server):
    url = f"{server.url}/feedback-configs"
    given = {"feedback_key": "taste", "feedback_config": SCALE}
    assert httpx.post(url, json=given).is_success
    added = {"feedback_key": "taste", "add_categories": [{"value": 1, "label": "good"}]}
    answer = httpx.patch(url, json=added)
    assert answer.status_code == 422
    assert "Only a categorical configuration has categories." in answer.text


def test_a_search_for_a_number(server, client):
    project = str(client.create_project("app").id)
    asked = {"session": [project], "filter": "search(name, 5)"}
    answer = httpx.post(f"{server.url}/runs/query", json=asked)
    assert (answer.status_code, "search() takes a text." in answer.text) == (400, True)


def test_a_run_without_events_may_say_so(server, client):
    run = {"id": OTHER, "trace_id": OTHER, "name": "chat", "run_type": "llm", "inputs": {}}
    time = "2026-11-01T10:00:00.000000Z"
    run |= {"start_time": time, "dotted_order": f"20261101T100000000000Z{OTHER}", "events": None}
    assert httpx.post(f"{server.url}/runs", json=run).is_success
    assert httpx.get(f"{server.url}/runs/{OTHER}").json()["name"] == "chat"


def test_a_file_whose_run_was_deleted(server, client):
    files = {"note": ("text/plain", b"hello")}
    run = RunTree(name="look", inputs={}, ls_client=client, project_name="app", attachments=files)
    run.post()
    client.flush()
    [address] = [
        each["presigned_url"]
        for each in httpx.get(f"{server.url}/runs/{run.id}").json()["s3_urls"].values()
    ]
    assert httpx.get(server.url + address).content == b"hello"
    client.delete_project(project_name="app")
    assert httpx.get(server.url + address).status_code == 404
