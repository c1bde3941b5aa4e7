"""Datasets and examples with LangSmith's client."""

import datetime as dt
import json
from uuid import UUID, uuid4

import httpx
import pytest
from langsmith.schemas import DataType
from langsmith.utils import LangSmithConflictError, LangSmithError, LangSmithNotFoundError

from langchain_finetune.local.store.example_formats import openai_line


def chat(question, answer):
    """An example of a chat dataset, as LangSmith's walkthrough has them."""
    return {
        "inputs": {"input": [{"type": "human", "data": {"content": question}}]},
        "outputs": {"output": {"type": "ai", "data": {"content": answer}}},
    }


def teas(client, **options):
    return [example.inputs["tea"] for example in client.list_examples(**options)]


def test_the_walkthrough_with_a_chat_dataset(client):
    examples = [chat("Mild?", "White tea."), chat("Strong?", "Assam.")]
    made = client.create_dataset("teas", data_type=DataType.chat, description="Mild and strong")
    with pytest.warns(DeprecationWarning, match="reference_outputs"):
        client.create_examples(
            inputs=[example["inputs"] for example in examples],
            outputs=[example["outputs"] for example in examples],
            dataset_id=made.id,
        )
    found = client.read_dataset(dataset_name="teas")
    assert (found.id, found.data_type, found.example_count) == (made.id, DataType.chat, 2)
    listed = list(client.list_examples(dataset_name="teas"))
    assert [example.inputs for example in listed] == [example["inputs"] for example in examples]
    assert [example.outputs for example in listed] == [example["outputs"] for example in examples]
    lines = client.read_dataset_openai_finetuning(dataset_name="teas")
    assert lines[1]["messages"] == [
        {"role": "user", "content": "Strong?"},
        {"role": "assistant", "content": "Assam."},
    ]


def test_a_name_is_taken_once(client):
    client.create_dataset("teas")
    with pytest.raises(LangSmithConflictError):
        client.create_dataset("teas")


def test_datasets_are_found_and_deleted(client):
    kinds = {"teas": DataType.kv, "teapots": DataType.chat, "cups": DataType.llm}
    made = {name: client.create_dataset(name, data_type=kind) for name, kind in kinds.items()}
    client.create_dataset("tagged", metadata={"owner": "mum"})
    assert {found.name for found in client.list_datasets(dataset_name_contains="TEA")} == {
        "teas",
        "teapots",
    }
    assert [found.name for found in client.list_datasets(data_type="llm")] == ["cups"]
    assert [found.name for found in client.list_datasets(metadata={"owner": "mum"})] == ["tagged"]
    by_id = client.list_datasets(dataset_ids=[made["cups"].id, made["teas"].id])
    assert {found.name for found in by_id} == {"cups", "teas"}
    client.create_examples(dataset_id=made["teas"].id, examples=[{"inputs": {"tea": "white"}}])
    client.delete_dataset(dataset_name="teas")
    assert not client.has_dataset(dataset_name="teas")
    with pytest.raises(LangSmithNotFoundError):
        client.read_dataset(dataset_id=made["teas"].id)
    assert list(client.list_examples(dataset_id=made["teas"].id)) == []


def test_every_version_of_the_examples_can_be_read(client):
    dataset = client.create_dataset("teas")
    one, two = uuid4(), uuid4()
    first = client.create_examples(
        dataset_id=dataset.id,
        examples=[{"id": one, "inputs": {"tea": "white"}}, {"id": two, "inputs": {"tea": "green"}}],
    )["as_of"]
    client.update_example(one, inputs={"tea": "black"}, metadata={"strong": True})
    (changed,) = client.list_examples(example_ids=[one])
    client.delete_example(two)
    assert teas(client, dataset_id=dataset.id) == ["black"]
    assert teas(client, dataset_id=dataset.id, as_of="latest") == ["black"]
    assert teas(client, dataset_id=dataset.id, as_of=first) == ["white", "green"]
    assert teas(client, dataset_id=dataset.id, as_of=changed.modified_at) == ["black", "green"]
    before = dt.datetime.fromisoformat(first) - dt.timedelta(microseconds=1)
    assert teas(client, dataset_id=dataset.id, as_of=before) == []
    assert client.read_example(two, as_of=dt.datetime.fromisoformat(first)).id == two
    assert changed.metadata == {"strong": True, "dataset_split": ["base"]}
    with pytest.raises(LangSmithNotFoundError):
        client.read_example(two)
    with pytest.raises(LangSmithNotFoundError):
        teas(client, dataset_id=dataset.id, as_of="prod")
    with pytest.raises(LangSmithNotFoundError):
        client.update_example(two, inputs={"tea": "red"}, dataset_id=dataset.id)
    with pytest.raises(LangSmithNotFoundError):
        client.delete_example(two)


def test_examples_are_found_by_split_metadata_and_filter(client):
    dataset = client.create_dataset("teas")
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"inputs": {"tea": "white"}, "split": "train", "metadata": {"mild": True, "cups": 2}},
            {"inputs": {"tea": "green"}, "split": ["train", "test"], "metadata": {"cups": 3}},
            {"inputs": {"tea": "black"}},
        ],
    )

    def found(**options):
        return teas(client, dataset_id=dataset.id, **options)

    assert found(splits=["train"]) == ["white", "green"]
    assert found(splits=["test", "base"]) == ["green", "black"]
    assert client.list_dataset_splits(dataset_id=dataset.id) == ["base", "test", "train"]
    assert found(metadata={"mild": True}) == ["white"]
    assert found(metadata={"cups": 3}) == ["green"]
    assert found(filter='exists(metadata, "cups")') == ["white", "green"]
    assert found(filter="not(has(metadata, '{\"cups\": 2}'))") == ["green", "black"]
    assert found(filter='search("GREEN")') == ["green"]
    assert found(offset=1, limit=1) == ["green"]
    with pytest.raises(LangSmithError, match="no field"):
        found(filter='eq(colour, "red")')


def test_many_examples_come_page_after_page_in_order(server, client):
    dataset = client.create_dataset("teas")
    client.create_examples(
        dataset_id=dataset.id, examples=[{"inputs": {"tea": number}} for number in range(230)]
    )
    server.asked.clear()
    assert teas(client, dataset_id=dataset.id) == list(range(230))
    paths = [path for _, path, _ in server.asked]
    assert paths.count("/examples") == 3
    assert len(paths) <= 4


def test_an_upload_that_is_tried_again_changes_nothing(client):
    dataset, other = client.create_dataset("teas"), client.create_dataset("other")
    examples = [{"id": uuid4(), "inputs": {"tea": tea}} for tea in ("white", "green")]
    for _ in range(2):
        client.create_examples(dataset_id=dataset.id, examples=examples)
    assert teas(client, dataset_id=dataset.id) == ["white", "green"]
    with pytest.raises(LangSmithConflictError):
        client.create_examples(dataset_id=other.id, examples=examples)


def test_one_example_can_be_made_alone(client):
    dataset, run_id = client.create_dataset("teas"), uuid4()
    made = client.create_example(
        {"tea": "white"},
        dataset_id=dataset.id,
        reference_outputs={"mild": True},
        source_run_id=run_id,
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )
    assert (made.outputs, made.source_run_id) == ({"mild": True}, run_id)
    assert made.created_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    changed = client.update_examples(
        dataset_id=dataset.id, updates=[{"id": made.id, "outputs": {"mild": False}}]
    )
    assert changed["count"] == 1
    found = client.read_example(made.id)
    assert (found.inputs, found.outputs) == ({"tea": "white"}, {"mild": False})


def test_clients_without_multipart_write_examples_too(server, connecting):
    with connecting(server.url, info={"instance_flags": {}}) as client:
        dataset = client.create_dataset("teas")
        made = client.create_example(
            {"tea": "white"}, dataset_id=dataset.id, reference_outputs={"mild": True}
        )
        client.create_examples(
            dataset_id=dataset.id, examples=[{"inputs": {"tea": "green"}, "split": "test"}]
        )
        client.update_example(made.id, metadata={"cups": 2})
        client.delete_examples([made.id])
        assert teas(client, dataset_id=dataset.id) == ["green"]
        assert made.outputs == {"mild": True}
    assert {"/examples", "/examples/bulk"} <= {path for _, path, _ in server.asked}


def test_what_can_not_be_kept_is_refused(client):
    dataset = client.create_dataset("teas")
    with pytest.raises(LangSmithNotFoundError):
        client.create_example(dataset_id=dataset.id, use_source_run_io=True, source_run_id=uuid4())
    with pytest.raises(LangSmithNotFoundError):
        client.create_examples(dataset_id=uuid4(), examples=[{"inputs": {"tea": "white"}}])
    client.create_example({"tea": "white"}, dataset_id=dataset.id)
    with pytest.raises(LangSmithError, match="holds no chat"):
        client.read_dataset_openai_finetuning(dataset_id=dataset.id)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/datasets", {"name": ""}),
        ("POST", "/datasets", {"name": "a", "data_type": "table"}),
        ("POST", "/datasets", []),
        ("POST", "/examples", {"inputs": {}}),
        ("POST", "/examples", {"inputs": [], "dataset_id": str(uuid4())}),
        ("POST", "/examples/bulk", []),
        ("POST", "/examples/bulk", [1]),
        ("GET", "/examples", None),
        ("GET", "/examples?dataset=teas", None),
        ("GET", f"/examples?dataset={UUID(int=7)}&metadata=[]", None),
        ("GET", f"/examples?dataset={UUID(int=7)}&metadata=x", None),
        ("GET", f"/examples?dataset={UUID(int=7)}&order=random", None),
        ("GET", "/datasets?limit=1000", None),
        ("GET", "/datasets/teas", None),
        ("DELETE", "/examples?example_ids=1", None),
    ],
)
def test_malformed_requests_are_refused(server, method, path, body):
    content = None if body is None else json.dumps(body)
    answer = httpx.request(method, server.url + path, content=content)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


CALL = {"name": "brew", "args": {"tea": "white"}, "id": "call_1", "type": "tool_call"}
TOOL = {"type": "function", "function": {"name": "brew", "parameters": {}}}


def test_a_line_keeps_tools_calls_and_roles():
    given = [
        {"type": "system", "data": {"content": "You brew."}},
        {"type": "human", "data": {"content": "Tea!", "name": "mum"}},
        {"type": "ai", "data": {"content": "", "tool_calls": [CALL]}},
        {"type": "tool", "data": {"content": "done", "tool_call_id": "call_1"}},
        {"type": "chat", "data": {"content": "Hurry.", "role": "developer"}},
    ]
    answer = {
        "type": "ai",
        "data": {
            "content": "",
            "additional_kwargs": {"function_call": {"name": "f", "arguments": ""}},
        },
    }
    line = openai_line({"input": given, "tools": [TOOL]}, {"output": answer})
    assert line["tools"] == [TOOL]
    assert line["messages"] == [
        {"role": "system", "content": "You brew."},
        {"role": "user", "content": "Tea!", "name": "mum"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "brew", "arguments": '{"tea":"white"}'},
                }
            ],
        },
        {"role": "tool", "content": "done", "tool_call_id": "call_1"},
        {"role": "developer", "content": "Hurry."},
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ""}},
    ]


def test_a_line_is_made_of_openai_messages_too():
    user, assistant = {"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}
    expected = {"messages": [user, assistant]}
    assert openai_line({"messages": [user]}, {"message": assistant}) == expected
    assert openai_line({"messages": [user]}, {"messages": [user, assistant]}) == expected


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (None, {}),
        ({}, {}),
        ({"input": "text"}, {"output": "text"}),
        ({"input": []}, {"output": {"role": "assistant", "content": ""}}),
        ({"input": [1]}, {"output": {"role": "assistant", "content": ""}}),
        ({"messages": [{"role": "user"}]}, {"messages": []}),
        ({"input": [{"type": "remove", "data": {}}]}, {"output": {"role": "assistant"}}),
        ({"input": [{"type": "human", "data": "x"}]}, {"output": {"role": "assistant"}}),
    ],
)
def test_other_examples_make_no_line(inputs, outputs):
    assert openai_line(inputs, outputs) is None
