"""What loaders are given: refused in a sentence, or taken; and what a page may hold."""

import datetime as dt
import uuid
from functools import partial

import orjson
import pytest
from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.messages import AIMessage, HumanMessage
from langsmith import Client
from langsmith.utils import LangSmithError
from requests import RequestException

from langchain_finetune import (
    Convert,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LoadError,
)
from langchain_finetune.loaders.feedback import Rating, merged
from langchain_finetune.loaders.langsmith_client import reading
from langchain_finetune.loaders.message_times import _time
from langchain_finetune.loaders.run_pages import RawRun, read_page
from langchain_finetune.loaders.run_requests import batches
from support.runs import run
from support.store import bulk, record, say, store_client


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with store_client(tmp_path_factory.mktemp("store") / "runs.db") as client:
        yield client


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ("8a1f", "runs must be a list, also for a single run"),
        ([5], "Runs must be ids, Run objects or their JSON, not int"),
        (["no-id"], "A run id is not a UUID: one of no-id"),
    ],
)
def test_runs_that_are_none(client, runs, told):
    with pytest.raises(LoadError, match=told):
        LangSmithRunChatLoader(runs, client=client).load()


def test_a_loader_is_invoked_with_settings_or_none(client):
    loader = LangSmithRunChatLoader(project_name="app", client=client)
    with pytest.raises(LoadError, match="invoked with a dict or a RunQuery, not str"):
        loader.invoke("app")


@pytest.mark.parametrize("settings", [{}, {"dataset_name": "a", "dataset_id": str(uuid.uuid4())}])
def test_a_dataset_is_named_once(client, settings):
    with pytest.raises(LoadError, match="Set either dataset_name or dataset_id"):
        LangSmithDatasetChatLoader(client=client, **settings).load()


@pytest.fixture(scope="module")
def datasets(client):
    """Datasets of one example each, the second with a run that has no chat."""
    broken, _ = record(client, "Is 1 even?", "No.", project="runs")
    client.flush()
    for name, source in (("first", None), ("second", broken.id)):
        dataset = client.create_dataset(name)
        example = {
            "inputs": {"messages": [{"role": "user", "content": f"In the {name}?"}]},
            "reference_outputs": {"message": {"role": "assistant", "content": "Yes."}},
            "source_run_id": source,
        }
        client.create_examples(dataset_id=dataset.id, examples=[example])
    return client


def asked(sessions):
    return [session["messages"][0].content for session in sessions]


def test_a_dataset_may_be_named_at_call_time(datasets):
    loader = LangSmithDatasetChatLoader(dataset_name="first", client=datasets)
    assert asked(loader.invoke({})) == ["In the first?"]
    assert asked(loader.invoke({"dataset_name": "second"})) == ["In the second?"]
    other = datasets.read_dataset(dataset_name="second").id
    assert asked(loader.invoke({"dataset_id": str(other)})) == ["In the second?"]
    with pytest.raises(LoadError, match="The loader's setting is invalid"):
        list(loader.invoke({"dataset_nam": "second"}))


def test_a_version_is_named_where_it_is_not_there(datasets):
    loader = LangSmithDatasetChatLoader(dataset_name="none", as_of="v1", client=datasets)
    with pytest.raises(LoadError, match="no dataset 'none' as of v1"):
        loader.load()


def test_an_example_is_whole_without_the_chat_of_its_run(datasets):
    loader = LangSmithDatasetChatLoader(
        dataset_name="second", client=datasets, use_source_run=True, project_name="runs"
    )
    [session] = loader.load()
    assert "rejected" not in session


class Others(BaseChatLoader):
    def lazy_load(self):
        yield {"messages": [HumanMessage("Hi"), AIMessage("Yes")]}


def test_a_loader_of_another_package_takes_no_settings():
    chain = Others() | Convert()
    assert len(list(chain.invoke({}))) == 1
    with pytest.raises(LoadError, match="Others accepts no settings at call time"):
        list(chain.invoke({"limit": 1}))


def test_a_correction_goes_before_a_reference():
    reference, better = {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
    references = {"1": Rating(better=reference), "2": Rating(better=reference)}
    found = merged(references, {"1": Rating(score=1.0), "2": Rating(better=better)})
    assert (found["1"].better, found["1"].score) == (reference, 1.0)
    assert found["2"].better == better


def test_many_scores_of_a_run_come_page_by_page(client, monkeypatch):
    monkeypatch.setattr("langchain_finetune.loaders.feedback._PAGE", 2)
    _, call = record(client, "Is 3 even?", "No.", project="scored")
    client.flush()
    for score in (0.0, 0.5, 1.0, 1.0):
        say(client, call, "ok", score=score)
    client.flush()
    loader = LangSmithRunChatLoader(
        project_name="scored",
        client=client,
        feedback={"key": "ok", "on": "run", "use_score": True},
    )
    [session] = loader.load()
    assert session["score"] == 0.625


@pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")
def test_more_ids_than_a_request_takes(client, monkeypatch):
    monkeypatch.setattr("langchain_finetune.loaders.run_reader.IDS_PER_REQUEST", 2)
    by_two = partial(batches, size=2)
    monkeypatch.setattr("langchain_finetune.loaders.run_reader.batches", by_two)
    bulk(client, 5, project="many")
    ids = [str(each.id) for each in client.list_runs(project_name="many")]
    loader = LangSmithRunChatLoader(ids, client=client, project_name="many")
    assert len(loader.load()) == 5


def raw(**fields):
    return RawRun(orjson.dumps(run(**fields)), "v1")


def test_a_run_that_is_not_parsed_yet_is_a_mapping():
    one = raw()
    assert len(one) == len(dict(one)) > 5
    assert RawRun(b'{"id": 5, "name": "a"}', "v1")["id"] == 5


def test_a_run_with_a_number_beyond_all_floats_is_told_by_its_id():
    data = raw(name="big").data.replace(b'"big"', b"1e999")
    one = RawRun(data, "v1")
    with pytest.raises(LoadError, match=f"Run {one['id']} is not valid JSON"):
        one.fields()


def test_a_page_of_the_new_api_with_half_a_character_is_read():
    page = '{"items": [{"id": "1", "name": "half \\ud83d"}], "next_cursor": "c"}'
    runs, after = read_page("v2", page.encode())
    assert ([each["id"] for each in runs], after) == (["1"], "c")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RequestException("slow"), "did not return the runs in time: try again"),
        (LangSmithError("odd"), "could not return the runs"),
        (ValueError("odd"), "returned an incomplete or invalid response"),
    ],
)
def test_what_a_client_raises_is_told(error, told):
    client = Client("http://127.0.0.1:9", api_key="any", auto_batch_tracing=False)
    with pytest.raises(LoadError, match=told), reading(client, "runs"):
        raise error


def test_times_of_messages_may_be_datetimes():
    assert _time(dt.datetime(2026, 11, 1, 10), "") == dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)
