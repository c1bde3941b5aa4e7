"""Conversion in several processes: the same bytes, reports and errors as in one."""

import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path
from types import MappingProxyType

import orjson
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from langchain_core.messages import AIMessage, HumanMessage

from bench.agent_runs import agent_run
from langchain_finetune import (
    Convert,
    ConvertError,
    InvalidArgumentError,
    LangSmithRunChatLoader,
    LoadError,
    RunFileChatLoader,
    Split,
)
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.workers import rows as worker_rows
from langchain_finetune.finetune.training_files import write_training_files
from langchain_finetune.loaders import file_parts
from support import worker_functions
from support.chats import chats
from support.dialects import RUNS
from support.runs import CALL, SENT, constructor, run
from support.usual_runs import USUAL

KEY = "AKIAIOSFODNN7" + "EXAMPLE"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Many parts of little data, so that all workers have some."""
    monkeypatch.setattr(file_parts, "PART_BYTES", 60_000)
    monkeypatch.setattr(worker_rows, "_ROWS", 7)


def said(text, asked="Hi"):
    return {
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": text}]
    }


def mixed(first, count=40):
    """Rows of all kinds: runs, lines, copies and near copies, and what can't be learnt from."""
    draw = random.Random(first)
    rows = [agent_run(number) for number in range(first, first + count)]
    rows[1]["outputs"]["generations"][0][0]["generation_info"]["finish_reason"] = "length"
    rows[2]["error"], rows[3]["run_type"], rows[4]["name"] = "It failed", "chain", "bench-7"
    for number in (8, 9, 10):
        rows[number]["extra"]["metadata"]["thread_id"] = "talk"
        rows[number]["feedback_stats"] = {"user_score": {"n": 1, "avg": float(number % 2)}}
    copy = json.loads(json.dumps(rows[5]))
    near = json.loads(json.dumps(rows[6]))
    near["inputs"]["messages"][0][1]["kwargs"]["content"] += " Please."
    copy["id"], near["id"] = f"copy-{first}", f"near-{first}"
    rows += [copy, near, *USUAL.values(), *(run for run, *_ in RUNS.values())]
    rows += [said(f"The key is {KEY}."), said(f"{KEY} it was, {first}"), said("Same"), said("Same")]
    rows += [said(f"Word {number} {first}") for number in range(5)]
    rows += [{**said("Group"), "group": f"g-{number}"} for number in range(3)]
    empty = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}]}
    many = [each for number in range(30) for each in said(f"{number} of many" * 9)["messages"]]
    rows += [empty, {"messages": []}, {"no": "run"}, {**said("Tools"), "tools": []}]
    rows += [{"messages": many}, {"prompt": "Once", "completion": f" upon {first}"}]
    pair = said("Better")["messages"]
    for number in range(8):
        worse = [{"role": "assistant", "content": f"Worse {number} {first}"}]
        rows.append({"input": {"messages": pair[:1]}, "preferred_output": pair[1:],
                     "non_preferred_output": worse})  # fmt: skip
        thumb = said(f"Thumb {number}", f"Question {first} {number}")
        rows.append({**thumb, "label": bool(number % 2)})
    draw.shuffle(rows)
    lines = [orjson.dumps(row) for row in rows]
    lines[5:5] = [b"", b"{broken", b'{"text": "\xff"}', b"  ", b"[1, 2]"]
    return lines


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.jsonl").write_bytes(b"\n".join(mixed(0)))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf\n" + b"\n".join(mixed(40))))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(b"\r\n".join(mixed(20, 30)) + b"\n"))
    document = json.dumps([agent_run(number) for number in range(100, 104)], indent=1)
    (folder / "d.json").write_text(document)
    runs = [
        {key: json.dumps(value) if isinstance(value, dict) else value for key, value in run.items()}
        for run in (agent_run(number) for number in range(200, 230))
    ]
    table = pa.Table.from_pylist(runs).drop_columns(["parent_run_ids"])
    pq.write_table(table, folder / "e.parquet", row_group_size=4)
    return folder


def outcome(examples, folder, target=Target()):  # noqa: B008 - it is frozen
    """Return all that a conversion makes and says."""
    made = write_training_files(examples, folder, target=target)
    return {
        **{
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in made.folder.iterdir()
        },
        "contract": made.contract.model_dump(),
        "rejected": [astuple(skip) for skip in examples.rejected],
        "notes": list(examples.notes.items()),
        "findings": [(each, dict(each.source)) for each in examples.findings],
        "counts": (examples.findings.errors, examples.findings.warnings, examples.findings.fixed),
        "read": examples.chats_read,
    }


NANO = Target("local", "nano")
EVERYTHING = {
    "targets": "last",
    "fix": True,
    "truncated": "keep",
    "redact": worker_functions.redacted,
    "secrets": "redact",
    "duplicates": "drop_near",
    "contamination": "near",
    "too_long": "drop_oldest",
    "max_example_tokens": 1900,
    "split": Split(validation=0.2, test=0.2),
}
SETTINGS = {
    "default": ({}, {}, Target()),
    "everything": (EVERYTHING, {"where": worker_functions.wanted}, NANO),
    "rejecting": (
        {
            "targets": worker_functions.on_learnt,
            "secrets": "reject",
            "duplicates": "drop_exact",
            "max_example_tokens": 1900,
            "rules": "together",
            "split": Split(test=0.3, by=worker_functions.by_last_letters, seed=3),
        },
        {"group": "group", "internal_calls": True},
        Target("local", "nano"),
    ),
    "tokens of OpenAI": (
        {"duplicates": "drop_near", "near_threshold": 0.6, "split": Split(validation=0.3)},
        {"reasoning": "keep"},
        Target("openai", "gpt-4o-mini"),
    ),
    "last calls": ({"secrets": "redact"}, {"calls": "last"}, NANO),
    "preference": ({"method": "preference", "secrets": "redact"}, {"score": "user_score"}, NANO),
    "unpaired": (
        {"method": "unpaired_preference", "split": Split(test=0.2)},
        {"score": "user_score"},
        NANO,
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_any_number_of_workers_makes_the_same_bytes(corpus, tmp_path, name):
    settings, loading, target = SETTINGS[name]
    loader = RunFileChatLoader(corpus, **loading)
    found = []
    for workers in (1, 2, 7):
        examples = (loader | Convert(**settings, workers=workers)).invoke({})
        found.append(outcome(examples, tmp_path / str(workers), target))
    assert len(found[0]["rejected"]) > 5
    for other in found[1:]:
        assert found[0] == other


def lines_of(source, **settings):
    examples = Convert(**settings).invoke(source)
    return list(examples), [astuple(skip) for skip in examples.rejected], examples.notes


def test_completions(corpus):
    found = [
        lines_of(RunFileChatLoader(corpus), method="completion", workers=workers)
        for workers in (1, 3)
    ]
    assert found[0] == found[1]
    assert found[0][0]


@pytest.mark.parametrize("method", ["supervised", "preference", "unpaired_preference"])
def test_sessions_of_any_loader_are_converted_by_workers(method):
    """They are read here: a rejected one, one with values that JSON has not, a long list."""
    odd = HumanMessage("Odd", additional_kwargs={"tool_calls": [{"id": MappingProxyType({})}]})
    sessions = [
        *chats(60),
        {"messages": [HumanMessage("Alone")], "source": {"run_id": "no answer"}},
        {"messages": [odd, AIMessage("Yes")], "source": {"run_id": "odd"}},
        {"messages": [HumanMessage("Hi"), AIMessage("Yes")], "score": 1, "functions": [{1, 2}]},
        {"messages": [HumanMessage("Hi"), AIMessage("No")], "score": 0.0},
        {"messages": [HumanMessage("Hi"), AIMessage("Perhaps")], "score": float("nan")},
        *chats(20, seed=8),
    ]
    settings = {"method": method, "duplicates": "drop_exact", "model": "nano"}
    found = [lines_of(sessions, **settings, workers=workers) for workers in (1, 2)]
    assert found[0] == found[1]
    assert found[0][1]


def test_what_people_decided_is_found_in_any_part(tmp_path):
    """The agent's next call shows how its call was edited; here that is many parts later."""
    extra = {"metadata": {"thread_id": "talk"}}
    edited = constructor("AIMessage", content="", tool_calls=[{**CALL, "args": {"beds": 3}}])
    decided = 'Executed instead: find_room with arguments {"beds": 3}'
    result = constructor("ToolMessage", content=decided, tool_call_id=CALL["id"])
    done = constructor("AIMessage", content="Room 7 is yours.")
    rows = [run(extra=extra), *(agent_run(number) for number in range(20))]
    rows.append(run([*SENT, edited, result], done, extra=extra))
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    one, two = (lines_of(RunFileChatLoader(path), workers=workers) for workers in (1, 2))
    assert one == two
    [call] = two[0][0]["messages"][-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"beds": 3}


def test_runs_of_langsmith_are_converted_by_workers():
    runs = [*(agent_run(number) for number in range(20)), *USUAL.values()]
    one, two = (
        lines_of(LangSmithRunChatLoader(runs), duplicates="drop_exact", workers=workers)
        for workers in (1, 2)
    )
    assert one == two
    assert one[0]
    assert one[1]


def test_a_part_of_the_examples_and_a_second_iteration(corpus):
    split = Split(test=0.3)
    one, two = (
        (RunFileChatLoader(corpus / "a.jsonl") | Convert(split=split, workers=workers)).invoke({})
        for workers in (1, 2)
    )
    assert list(two.part("test")) == list(two.part("test")) == list(one.part("test")) != []


def test_strict_loaders_and_conversions_name_the_same_chats(corpus):
    for make in (
        lambda workers: RunFileChatLoader(corpus, strict=True) | Convert(workers=workers),
        lambda workers: RunFileChatLoader(corpus) | Convert(strict=True, workers=workers),
    ):
        errors = []
        for workers in (1, 2):
            with pytest.raises((LoadError, ConvertError)) as caught:
                list(make(workers).invoke({}))
            errors.append((type(caught.value), str(caught.value), vars(caught.value)))
        assert errors[0] == errors[1]


@pytest.fixture
def zebulon(tmp_path):
    """A file in which one chat has a word of its own."""
    rows = [said(f"Room {number} is free. " * 60) for number in range(200)]
    rows[120] = said("It is Zebulon.")
    path = tmp_path / "chats.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


@pytest.fixture
def children():
    """Tells which processes this one has started since; other tests may have engines."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: [
        each for each in psutil.Process().children(recursive=True) if each not in before
    ]


def test_an_error_names_its_chat_as_with_one_worker(children, zebulon):
    texts = []
    for workers in (1, 2):
        with pytest.raises(ConvertError) as caught:
            list(Convert(redact=worker_functions.broken, workers=workers).invoke(
                RunFileChatLoader(zebulon)))  # fmt: skip
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert f"{zebulon}:121" in texts[1]
    assert "Zebulon" not in texts[1]
    assert "ValueError" in str(caught.value.__cause__)
    assert children() == []


def test_a_damaged_file_is_named_after_what_could_be_read(corpus, tmp_path):
    whole = gzip.compress(b"\n".join(mixed(0)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) * 2 // 3])
    table = (corpus / "e.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(table[:9000] + bytes(9000) + table[18000:])
    for path in sorted(tmp_path.iterdir()):
        found = []
        for workers in (1, 2):
            examples = (RunFileChatLoader(path) | Convert(workers=workers)).invoke({})
            read = []
            with pytest.raises(LoadError) as caught:
                read.extend(examples)
            found.append((str(caught.value), read, examples.rejected))
        assert found[0] == found[1]


def test_what_a_killed_worker_did_is_done_again(zebulon, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.setenv("WORKERS_MARK", str(mark))
    again = lines_of(RunFileChatLoader(zebulon), redact=worker_functions.deadly_once, workers=2)
    assert mark.exists()
    assert again == lines_of(RunFileChatLoader(zebulon))


@pytest.mark.parametrize(
    ("function", "how"),
    [(worker_functions.deadly, "signal 9"), (worker_functions.crashing, "exit code 3")],
)
def test_rows_that_kill_each_worker_are_named(children, zebulon, function, how):
    with pytest.raises(ConvertError) as caught:
        list(Convert(redact=function, workers=2).invoke(RunFileChatLoader(zebulon)))
    told = str(caught.value)
    assert f"A worker process ended 3 times ({how}) as it converted rows " in told
    first, last = re.search(r"rows (\d+) to (\d+) of ", told).groups()
    assert int(first) <= 121 <= int(last)
    assert str(zebulon) in told
    assert children() == []


def test_a_session_that_kills_each_worker_is_named():
    sessions = chats(30)
    sessions[20]["messages"] = [HumanMessage("It is Zebulon."), AIMessage("Yes")]
    with pytest.raises(ConvertError, match=r"the chats run-\d+ to run-\d"):
        list(Convert(redact=worker_functions.deadly, workers=2).invoke(sessions))


def local_function(text):
    return text


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda text: text, "can't import test_functions|can't import <lambda>"),
        (__import__("functools").partial(max, open(os.devnull)), "holds an object"),  # noqa: PTH123, SIM115
    ],
)
def test_functions_that_workers_can_not_import_are_refused(children, zebulon, function, sentence):
    with pytest.raises(ConvertError, match=sentence):
        list(Convert(redact=function, workers=2).invoke(RunFileChatLoader(zebulon)))
    assert children() == []


SCRIPT = """
import sys
from langchain_finetune import Convert, ConvertError, RunFileChatLoader
from support import worker_functions

def redact(text):
    return text

loader = RunFileChatLoader(sys.argv[1])
try:
    list(Convert(workers=2, redact=redact).invoke(loader))
except ConvertError as error:
    print(error)
# No `if __name__ == "__main__"` is needed.
print(len(list(Convert(workers=2, redact=worker_functions.talkative).invoke(loader))))
"""


def test_a_script_needs_no_guard_and_its_own_functions_are_refused(zebulon, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    tests = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, path, zebulon],
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    refused, count = ran.stdout.splitlines()
    assert "can't import redact of __main__: define it at the top level of a module" in refused
    assert count == "200"
    assert "This goes to standard error." in ran.stderr


def test_there_is_at_least_one_worker():
    with pytest.raises(InvalidArgumentError, match="workers must be at least 1"):
        Convert(workers=0)


def test_who_stops_reading_leaves_no_process_and_no_text(children, zebulon, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = iter(Convert(redact=worker_functions.slow, workers=2).invoke(RunFileChatLoader(zebulon)))
    next(rows)
    assert len(children()) == 2
    rows.close()
    assert children() == []
    assert [path for path in tmp_path.iterdir() if path.name != zebulon.name] == []


PREPARE = """
import sys
from langchain_finetune.cli.__main__ import main
from langchain_finetune.convert import runnable
from langchain_finetune.loaders import file_parts
from support import worker_functions

file_parts.PART_BYTES = 30_000
init = runnable.Convert.__init__
def slow(self, *args, **fields):
    init(self, *args, redact=worker_functions.slow, **fields)
runnable.Convert.__init__ = slow
main()
"""


def has_ended(process):
    """Return whether a process has ended, though perhaps nobody has asked for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("when", ["starting", "working"])
@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_ctrl_c_and_a_kill_end_all_within_a_second(zebulon, tmp_path, how, when):
    tests = Path(__file__).parents[1]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = ["prepare", "--file", zebulon, "--out", tmp_path / "set", "--workers", "2"]
    running = subprocess.Popen(
        [sys.executable, "-c", PREPARE, *arguments],
        env={**os.environ, "PYTHONPATH": str(tests), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    with running:
        process = psutil.Process(running.pid)
        deadline = time.monotonic() + 60
        while len(workers := process.children(recursive=True)) < 2 or (
            when == "working" and not any(temporary.glob("*/*.made"))
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        begun = time.monotonic()
        running.send_signal(2 if how == "interrupt" else 9)
        running.wait(10)
        while not all(map(has_ended, workers)):
            assert time.monotonic() - begun < 2  # Within one, on a machine of its own.
            time.sleep(0.02)
        if how == "interrupt":
            assert running.returncode == 130
            assert b"Traceback" not in running.stderr.read()
    assert not (tmp_path / "set").exists()
    assert [each for each in temporary.iterdir() if "workers" in each.name] == []
