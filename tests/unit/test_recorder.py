"""`RunRecorder` writes one line a run, whoever calls it from wherever, and never breaks the app."""

import asyncio
import datetime as dt
import json
import logging
import stat
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_finetune import Convert, LoadError, RunFileChatLoader, RunRecorder
from support import forking_recorder

TOOL = {"type": "function", "function": {"name": "find", "parameters": {}}}


class Place(BaseModel):
    """A place."""

    name: str = "Rome"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "runs.jsonl"


@pytest.fixture
def recorder(path):
    with RunRecorder(path) as recorder:
        yield recorder


def model(*answers):
    return FakeListChatModel(responses=list(answers) or ["Hello"])


def recorded(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def examples(path):
    return list((RunFileChatLoader(path) | Convert()).invoke({}))


def line(question="Hi", answer="Hello"):
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def test_a_line_has_langsmiths_shape(recorder, path):
    began = dt.datetime.now(dt.UTC)
    model().bind(tools=[TOOL]).invoke("Hi", {"callbacks": [recorder], "tags": ["shop"]})
    [data] = recorded(path)
    assert list(data) == [
        "id",
        "trace_id",
        "parent_run_id",
        "name",
        "run_type",
        "start_time",
        "end_time",
        "status",
        "error",
        "inputs",
        "outputs",
        "extra",
        "tags",
        "dotted_order",
    ]
    assert (data["name"], data["run_type"], data["status"]) == (
        "FakeListChatModel",
        "llm",
        "success",
    )
    assert data["trace_id"] == data["id"]
    assert data["dotted_order"].endswith(data["id"])
    assert (data["parent_run_id"], data["error"], data["tags"]) == (None, None, ["shop"])
    started, ended = (dt.datetime.fromisoformat(data[key]) for key in ("start_time", "end_time"))
    assert began <= started <= ended
    assert data["inputs"]["messages"][0][0]["kwargs"]["content"] == "Hi"
    assert data["extra"]["invocation_params"]["tools"] == [TOOL]
    assert examples(path) == [{**line(), "tools": [TOOL]}]


def test_only_its_owner_may_read_the_file(recorder, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_trace_is_recorded_whole_when_asked(path, tmp_path):
    chain = RunnableLambda(lambda text: text) | model()
    with RunRecorder(path) as short, RunRecorder(tmp_path / "all", whole_traces=True) as whole:
        chain.invoke("Hi", {"callbacks": [short, whole]})
    [alone] = recorded(path)
    runs = recorded(tmp_path / "all")
    assert [run["run_type"] for run in runs] == ["chain", "llm", "chain"]
    root = runs[-1]
    assert all(runs[1][key] == alone[key] for key in ("id", "inputs", "outputs", "extra"))
    assert {run["trace_id"] for run in runs} == {root["id"]}
    assert [run["parent_run_id"] for run in runs] == [root["id"], root["id"], None]
    assert runs[1]["dotted_order"].startswith(root["dotted_order"] + ".")
    sessions = RunFileChatLoader(tmp_path / "all").invoke()
    assert list(Convert().invoke(sessions)) == examples(path) == [line()]
    assert sessions.notes == {"not_an_llm_run": 2}


def test_a_failed_run_says_so(recorder, path):
    failing = GenericFakeChatModel(messages=iter([]))
    with pytest.raises(StopIteration):
        failing.invoke("Hi", {"callbacks": [recorder]})
    [data] = recorded(path)
    assert data["status"] == "error"
    assert "StopIteration" in data["error"]
    assert examples(path) == []


def test_streams_keep_no_event_for_a_token(recorder, path):
    assert len(list(model("Hello there").stream("Hi", {"callbacks": [recorder]}))) == 11
    assert examples(path) == [line(answer="Hello there")]
    assert len(path.read_bytes()) < 3000


async def test_async_calls_are_recorded(recorder, path):
    config = {"callbacks": [recorder]}
    await model().ainvoke("one", config)
    assert [chunk async for chunk in model().astream("two", config)]
    await (RunnableLambda(lambda text: text) | model()).abatch(["three", "four"], config)
    await asyncio.gather(*(model().ainvoke(str(number), config) for number in range(20)))
    asked = [example["messages"][0]["content"] for example in examples(path)]
    assert asked[:2] == ["one", "two"]
    assert sorted(asked[2:4]) == ["four", "three"]
    assert sorted(map(int, asked[4:])) == list(range(20))


def test_threads_and_recorders_share_a_file(path):
    with RunRecorder(path) as first, RunRecorder(path) as second, ThreadPoolExecutor(8) as pool:
        questions = [f"{number} " + "x" * 9000 for number in range(100)]
        both = {"callbacks": [first]}, {"callbacks": [second]}
        list(pool.map(lambda at: model().invoke(questions[at], both[at % 2]), range(100)))
    asked = [example["messages"][0]["content"] for example in examples(path)]
    assert sorted(asked) == sorted(questions)


def test_plain_language_models_are_recorded(recorder, path):
    FakeListLLM(responses=["Hello"]).invoke("Hi", {"callbacks": [recorder]})
    [data] = recorded(path)
    assert data["inputs"] == {"prompts": ["Hi"]}


def test_a_file_is_continued_even_behind_a_torn_line(path):
    for _ in range(2):
        with RunRecorder(path) as recorder:
            model().invoke("Hi", {"callbacks": [recorder]})
    assert examples(path) == [line(), line()]
    path.write_bytes(path.read_bytes()[:-20])
    with RunRecorder(path) as recorder:
        model().invoke("Hi", {"callbacks": [recorder]})
        model().invoke("Hi", {"callbacks": [recorder]})
    loaded = (RunFileChatLoader(path) | Convert()).invoke({})
    assert list(loaded) == [line()] * 3
    assert [(skip.id, skip.code) for skip in loaded.rejected] == [(f"{path}:2", "broken_line")]


class BrokenDisk:
    """Takes part of each line, and then no more, until it is fixed."""

    def __init__(self, file):
        self.file, self.broken, self.taken = file, True, False

    def write(self, data):
        if self.broken and self.taken:
            self.taken = False
            raise OSError(28, "No space left on device")
        self.taken = True
        return self.file.write(data[:100])

    def close(self):
        self.file.close()


def test_a_full_disk_does_not_break_the_app(recorder, path, caplog):
    disk = recorder._file = BrokenDisk(recorder._file)
    with caplog.at_level(logging.WARNING):
        assert model().invoke("secret", {"callbacks": [recorder]}).content == "Hello"
    assert recorder.lost == 1
    assert "was not recorded" in caplog.text
    assert "secret" not in caplog.text
    disk.broken = False
    model().invoke("Hi", {"callbacks": [recorder]})
    assert examples(path) == [line()]


def test_after_close_runs_are_lost_but_the_app_goes_on(recorder, path):
    recorder.close()
    assert model().invoke("Hi", {"callbacks": [recorder]}).content == "Hello"
    assert recorder.lost == 1


def test_what_json_can_not_say_is_said_in_words(path):
    odd = {
        "message": HumanMessage("Hi"),
        "place": Place(),
        "class": Place,
        "set": {1},
        "bytes": b"a",
        "id": uuid.UUID(int=1),
        3: threading.Lock(),
    }
    with RunRecorder(path, whole_traces=True) as recorder:
        RunnableLambda(lambda value: "done").invoke(odd, {"callbacks": [recorder]})
    [data] = recorded(path)
    inputs = data["inputs"]
    assert inputs["message"]["content"] == "Hi"
    assert inputs["place"] == {"name": "Rome"}
    assert inputs["class"] == str(Place)
    assert (inputs["set"], inputs["bytes"]) == ([1], "YQ==")
    assert inputs["id"] == "00000000-0000-0000-0000-000000000001"
    assert "lock" in inputs["3"]
    assert data["outputs"] == {"output": "done"}


def test_what_can_not_be_written_at_all_is_counted(recorder, path):
    model().invoke("half \ud83d of a pair", {"callbacks": [recorder]})
    model().invoke("Hi", {"callbacks": [recorder]})
    assert recorder.lost == 1
    assert examples(path) == [line()]


def test_a_long_life_keeps_nothing(recorder):
    chain = RunnableLambda(lambda text: text) | model()
    for _ in range(3):
        chain.invoke("Hi", {"callbacks": [recorder]})
    assert (recorder.run_map, recorder.order_map) == ({}, {})


def test_a_file_that_can_not_be_opened_is_an_error(tmp_path):
    with pytest.raises(LoadError, match="Cannot record runs in"):
        RunRecorder(tmp_path)


def test_runs_can_be_chosen_by_what_the_app_knows(recorder, path):
    chosen = uuid.uuid4()
    model().invoke("no", {"callbacks": [recorder]})
    model("Yes").invoke("yes", {"callbacks": [recorder], "run_id": chosen})
    loader = RunFileChatLoader(path, where=lambda run: run["trace_id"] == str(chosen))
    [session] = loader.load()
    assert session["messages"][-1] == AIMessage("Yes")


def test_forked_processes_record_too(tmp_path):
    """As under gunicorn: while one forks, threads are in the middle of a line."""
    script = Path(forking_recorder.__file__)
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path / "runs.jsonl"), "12"]
    ended = subprocess.run(command, capture_output=True, check=True, timeout=300, text=True)
    assert ended.stdout.split() == ["12"]
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    runs = [json.loads(line) for line in lines if line.strip()]
    asked = [str(run["inputs"]) for run in runs]
    assert all(any(f"child {number}'" in each for each in asked) for number in range(12))
