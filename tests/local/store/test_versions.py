"""Versions, tags, splits and schemas of datasets with LangSmith's client."""

import datetime as dt
from uuid import uuid4

import httpx
import pytest
from langsmith.utils import LangSmithError, LangSmithNotFoundError


@pytest.fixture
def dataset(client):
    return client.create_dataset("teas")


def added(client, dataset, *teas):
    """Add examples; returns their ids and the version that begins."""
    made = client.create_examples(
        dataset_id=dataset.id, examples=[{"inputs": {"tea": tea}} for tea in teas]
    )
    return made["example_ids"], dt.datetime.fromisoformat(made["as_of"])


def teas(client, dataset, as_of=None):
    return [each.inputs["tea"] for each in client.list_examples(dataset_id=dataset.id, as_of=as_of)]


def test_each_change_is_a_version(client, dataset):
    ids, first = added(client, dataset, "white", "green")
    _, second = added(client, dataset, "black")
    client.delete_example(ids[0])
    client.update_example(ids[1], inputs={"tea": "oolong"})
    found = list(client.list_dataset_versions(dataset_id=dataset.id))
    times = [version.as_of for version in found]
    assert times == sorted(times, reverse=True)
    assert times[-2:] == [second, first]
    assert len(times) == 4
    assert [version.tags for version in found] == [["latest"], [], [], []]
    limited = client.list_dataset_versions(dataset_name="teas", limit=2)
    assert [version.as_of for version in limited] == times[:2]
    assert teas(client, dataset, times[1]) == ["green", "black"]
    assert client.read_dataset(dataset_id=dataset.id).modified_at == times[0]


def test_a_version_is_found_by_time_and_by_tag(client, dataset):
    _, first = added(client, dataset, "white")
    _, second = added(client, dataset, "green")
    client.update_dataset_tag(dataset_id=dataset.id, as_of=first, tag="prod")

    def read(**options):
        return client.read_dataset_version(dataset_id=dataset.id, **options)

    assert read(tag="prod").as_of == first
    assert read(tag="latest").as_of == second
    between = first + (second - first) / 2
    assert (read(as_of=between).as_of, read(as_of=between).tags) == (first, ["prod"])
    assert teas(client, dataset, "prod") == ["white"]
    assert client.list_dataset_splits(dataset_id=dataset.id, as_of="prod") == ["base"]
    searched = client.list_dataset_versions(dataset_id=dataset.id, search="pro")
    assert [version.as_of for version in searched] == [first]
    client.update_dataset_tag(dataset_id=dataset.id, as_of=second, tag="prod")
    assert read(tag="prod").as_of == second
    assert read(as_of=first).tags == []
    assert teas(client, dataset, "prod") == ["white", "green"]


def test_unknown_versions_are_refused(client, dataset):
    _, first = added(client, dataset, "white")
    second = dt.timedelta(seconds=1)
    for options in ({"tag": "dev"}, {"as_of": first - second}):
        with pytest.raises(LangSmithNotFoundError):
            client.read_dataset_version(dataset_id=dataset.id, **options)
    with pytest.raises(LangSmithNotFoundError):
        client.update_dataset_tag(dataset_id=dataset.id, as_of=first + second, tag="prod")
    for tag in ("latest", "", "2026-01-01"):
        with pytest.raises(LangSmithError, match="A tag must be"):
            client.update_dataset_tag(dataset_id=dataset.id, as_of=first, tag=tag)
    with pytest.raises(LangSmithNotFoundError):
        list(client.list_dataset_versions(dataset_id=uuid4()))
    other = client.create_dataset("other")
    client.update_dataset_tag(dataset_id=dataset.id, as_of=first, tag="prod")
    with pytest.raises(LangSmithNotFoundError):
        teas(client, other, "prod")
    assert list(client.list_dataset_versions(dataset_id=other.id)) == []


def test_what_differs_between_two_versions(client, dataset):
    ids, first = added(client, dataset, "white", "green", "black")
    client.update_dataset_tag(dataset_id=dataset.id, as_of=first, tag="prod")
    client.update_example(ids[0], inputs={"tea": "red"})
    client.delete_example(ids[1])
    new, second = added(client, dataset, "oolong")
    found = client.diff_dataset_versions(
        dataset_id=dataset.id, from_version="prod", to_version=second
    )
    assert [str(each) for each in found.examples_modified] == [ids[0]]
    assert [str(each) for each in found.examples_removed] == [ids[1]]
    assert [str(each) for each in found.examples_added] == new
    same = client.diff_dataset_versions(
        dataset_name="teas", from_version=second, to_version="latest"
    )
    changed = [*same.examples_modified, *same.examples_removed, *same.examples_added]
    assert changed == []


def test_examples_move_between_splits(client, dataset):
    ids, first = added(client, dataset, "white", "green", "black")

    def split(name):
        listed = client.list_examples(dataset_id=dataset.id, splits=[name])
        return [each.inputs["tea"] for each in listed]

    client.update_dataset_splits(dataset_id=dataset.id, split_name="test", example_ids=ids[:2])
    assert (split("test"), split("base")) == (["white", "green"], ["white", "green", "black"])
    client.update_dataset_splits(
        dataset_name="teas", split_name="base", example_ids=ids[:1], remove=True
    )
    client.update_dataset_splits(
        dataset_id=dataset.id, split_name="test", example_ids=ids[1:2], remove=True
    )
    assert (split("test"), split("base")) == (["white"], ["green", "black"])
    assert client.list_dataset_splits(dataset_id=dataset.id) == ["base", "test"]
    assert client.list_dataset_splits(dataset_id=dataset.id, as_of=first) == ["base"]
    with pytest.raises(LangSmithNotFoundError):
        client.update_dataset_splits(
            dataset_id=dataset.id, split_name="test", example_ids=[uuid4()]
        )


def test_examples_must_fit_the_schemas_of_their_dataset(client):
    inputs = {"type": "object", "properties": {"tea": {"type": "string"}}, "required": ["tea"]}
    made = client.create_dataset(
        "typed", inputs_schema=inputs, outputs_schema={"required": ["mild"]}
    )
    assert made.inputs_schema == inputs
    assert client.read_dataset(dataset_id=made.id).outputs_schema == {"required": ["mild"]}
    good = client.create_example({"tea": "white"}, dataset_id=made.id)
    with pytest.raises(LangSmithError, match="schema at inputs/tea") as failed:
        client.create_examples(
            dataset_id=made.id, examples=[{"inputs": {"tea": "green"}}, {"inputs": {"tea": 7355}}]
        )
    assert "7355" not in str(failed.value)
    with pytest.raises(LangSmithError, match="schema at outputs"):
        client.update_example(good.id, outputs={"strong": True})
    assert [each.inputs for each in client.list_examples(dataset_id=made.id)] == [{"tea": "white"}]
    with pytest.raises(LangSmithError, match="must be a JSON schema"):
        client.create_dataset("odd", inputs_schema={"type": "tea"})


@pytest.mark.parametrize("count", [0, 1, 450])
def test_a_version_is_downloaded_as_lines(client, server, dataset, count):
    examples = [
        {
            "inputs": {"messages": [{"role": "user", "content": str(number)}]},
            "reference_outputs": {"message": {"role": "assistant", "content": "yes"}},
        }
        for number in range(count)
    ]
    if count:
        client.create_examples(dataset_id=dataset.id, examples=examples)
        lines = client.read_dataset_openai_finetuning(dataset_id=dataset.id)
        assert [line["messages"][0]["content"] for line in lines] == [
            str(number) for number in range(count)
        ]
    root = f"{server.url}/datasets/{dataset.id}"
    assert len(httpx.get(f"{root}/openai_ft").text.splitlines()) == count
    assert len(httpx.get(f"{root}/jsonl").text.splitlines()) == count
    assert httpx.get(f"{root}/openai_ft?as_of=2020-01-01").text == ""
    assert httpx.get(f"{root}/openai_ft?as_of=prod").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/version", None),
        ("GET", "/version?as_of=noon", None),
        ("GET", "/version?as_of=2026-01-01&tag=prod", None),
        ("GET", "/versions/diff", None),
        ("PUT", "/tags", []),
        ("PUT", "/tags", {"tag": "prod"}),
        ("PUT", "/splits", []),
        ("PUT", "/splits", {"split_name": "a", "examples": ["x"]}),
    ],
)
def test_malformed_requests_are_refused(server, dataset, method, path, body):
    answer = httpx.request(method, f"{server.url}/datasets/{dataset.id}{path}", json=body)
    assert answer.status_code == 400, answer.text


def test_a_download_is_of_the_version_that_was_the_newest(client, dataset, server):
    _, first = added(client, dataset, "white")
    versions = server.store.versions
    client.update_dataset_tag(dataset_id=dataset.id, as_of=first, tag="prod")
    later = (first + dt.timedelta(days=1)).isoformat()
    fixed = {as_of: versions.fixed(str(dataset.id), as_of) for as_of in (None, "latest", "prod")}
    assert {*fixed.values(), versions.fixed(str(dataset.id), later)} == {first.isoformat()}
    _, second = added(client, dataset, "green")
    assert versions.fixed(str(dataset.id), "latest") == second.isoformat()
    assert versions.fixed(str(dataset.id), "prod") == first.isoformat()
    url = f"{server.url}/datasets/{dataset.id}/jsonl"
    assert len(httpx.get(url, params={"as_of": "prod"}).text.splitlines()) == 1
    assert len(httpx.get(url, params={"as_of": "latest"}).text.splitlines()) == 2
    assert httpx.get(url, params={"as_of": "dev"}).status_code == 404


def test_versions_have_times_of_their_own_where_the_clock_steps_back(client, dataset, monkeypatch):
    _, first = added(client, dataset, "white")
    monkeypatch.setattr("langchain_finetune.local.store.examples.now", lambda: 0)
    _, second = added(client, dataset, "green")
    other = client.create_dataset("coffees")
    _, third = added(client, other, "black")
    assert first < second < third
