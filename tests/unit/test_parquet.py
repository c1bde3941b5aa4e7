"""Parquet as LangSmith's bulk export writes it, with columns of JSON strings and of structs."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langchain_finetune import Convert, LoadError, RunFileChatLoader
from langchain_finetune.loaders import parquet
from langchain_finetune.loaders.file_formats import may_contain
from langchain_finetune.sessions import Sessions
from support.dialects import RUNS
from support.runs import ANSWER, SENT, TOOL, WIRE_ANSWER, WIRE_SENT, constructor, run
from support.usual_runs import USUAL

WHOLE = {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}
LARGE = ("inputs", "outputs", "extra", "feedback_stats")


def exported(**changes):
    """A run with the columns of a bulk export."""
    data = run(feedback_stats={"user_score": {"n": 1, "avg": 1.0}}, events=[], tags=["a"])
    data["start_time"] = dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)
    return data | changes


def as_strings(rows):
    return [
        row | {name: None if row[name] is None else json.dumps(row[name]) for name in LARGE}
        for row in rows
    ]


def write(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def lines(path):
    examples = (RunFileChatLoader(path) | Convert()).invoke({})
    return list(examples), [(skip.id, skip.code) for skip in examples.rejected]


@pytest.mark.parametrize("shape", [as_strings, list], ids=["strings", "structs"])
@pytest.mark.parametrize("name", ["runs.parquet", "runs.data"])
def test_both_shapes_of_columns_are_read(tmp_path, shape, name):
    rows = shape([exported(), exported(run_type="LLM")])
    path = write(tmp_path / name, rows, row_group_size=1, compression="zstd")
    assert lines(path) == ([WHOLE, WHOLE], [])


@pytest.mark.parametrize("shape", [as_strings, list], ids=["strings", "structs"])
def test_arguments_are_those_of_their_own_tool(tmp_path, shape):
    """A struct's schema holds the arguments of all tools, and null where a row has none."""
    other = {"name": "book", "args": {"room": {"floor": 2}}, "id": "c", "type": "tool_call"}
    answer = constructor("AIMessage", content="", type="ai", tool_calls=[other])
    tool = {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {"room": {"type": "object", "properties": {}}},
            },
        },
    }
    second = run(answer=answer, extra={"invocation_params": {"tools": [tool]}})
    rows = [exported(), exported(outputs=second["outputs"], extra=second["extra"])]
    if shape is list:  # Parquet has no structs without fields.
        del tool["function"]["parameters"]["properties"]["room"]["properties"]
    found, skipped = lines(write(tmp_path / "runs.parquet", shape(rows)))
    assert skipped == []
    assert found[0] == WHOLE
    [call] = found[1]["messages"][-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"room": {"floor": 2}}
    assert found[1]["tools"] == [tool]


def test_in_structs_a_null_argument_that_was_sent_is_lost(tmp_path):
    """The limit that is documented: no column of structs can tell the two nulls apart."""
    call = {"name": "find_room", "args": {"beds": 2, "name": None}, "id": "c", "type": "tool_call"}
    answer = constructor("AIMessage", content="", type="ai", tool_calls=[call])
    rows = [exported(outputs=run(answer=answer)["outputs"])]
    for shape, expected in ((as_strings, {"beds": 2, "name": None}), (list, {"beds": 2})):
        [line], _ = lines(write(tmp_path / "runs.parquet", shape(rows)))
        [sent] = line["messages"][-1]["tool_calls"]
        assert json.loads(sent["function"]["arguments"]) == expected


def test_maps_are_objects(tmp_path):
    message = pa.map_(pa.string(), pa.string())
    rows = [
        {"messages": [list({"role": "user", "content": "Hi"}.items())]},
        {"messages": [list({"role": "user", "content": "Hi"}.items()),
                      list({"role": "assistant", "content": "Hello"}.items())]},
    ]  # fmt: skip
    path = tmp_path / "chats.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, schema=pa.schema({"messages": pa.list_(message)})), path
    )
    found, skipped = lines(path)
    assert found == [
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ]
        }
    ]
    assert skipped == [(f"{path}:1", "no_answer")]


def test_columns_may_be_missing(tmp_path):
    rows = [{key: row[key] for key in ("inputs", "outputs")} for row in as_strings([exported()])]
    path = write(tmp_path / "runs.parquet", rows)
    sessions = RunFileChatLoader(path).invoke()
    assert list(Convert().invoke(sessions)) == [{"messages": WHOLE["messages"]}]
    assert sessions.notes == {"tools_unknown": 1}
    assert next(iter(sessions))["source"] == {"run_id": f"{path}:1"}


@pytest.mark.parametrize("column", ["inputs", "outputs"])
def test_without_the_chats_it_is_an_error(tmp_path, column):
    rows = as_strings([exported()])
    del rows[0][column]
    with pytest.raises(LoadError, match=f"no column {column}"):
        lines(write(tmp_path / "runs.parquet", rows))


def test_unfinished_and_failed_runs_are_skipped(tmp_path):
    rows = [exported(outputs=None), exported(error="x", status="error"), exported()]
    found, skipped = lines(write(tmp_path / "runs.parquet", as_strings(rows)))
    assert found == [WHOLE]
    assert skipped == [(rows[0]["id"], "pending_run"), (rows[1]["id"], "errored_run")]


def test_partitioned_folders_are_read_in_order(tmp_path):
    names = []
    for month, day in ((11, 2), (11, 1), (10, 31)):
        path = tmp_path / "runs" / "year=2026" / f"month={month}" / f"day={day:02}" / "0.parquet"
        write(path, as_strings([exported(name=f"{month}-{day}")]))
    (tmp_path / "runs" / "_SUCCESS").touch()
    loader = RunFileChatLoader(
        tmp_path / "runs", where=lambda data: names.append(data["name"]) or True
    )
    assert len(loader.load()) == 3
    assert names == ["10-31", "11-1", "11-2"]


def test_feedback_and_times_are_there_to_select_by(tmp_path):
    liked, plain = exported(), exported(feedback_stats=None)
    path = write(tmp_path / "runs.parquet", as_strings([plain, liked]))
    loader = RunFileChatLoader(
        path,
        where=lambda data: (
            data["start_time"].year == 2026
            and (data["feedback_stats"] or {}).get("user_score", {}).get("avg", 0) > 0
        ),
    )
    assert [session["source"]["run_id"] for session in loader.lazy_load()] == [liked["id"]]


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    whole = write(tmp_path / "runs.parquet", as_strings([exported() for _ in range(40)]))
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    with pytest.raises(LoadError, match=r"runs.parquet is truncated or damaged: 0 rows"):
        lines(whole)


def test_damage_in_the_middle_says_how_far_it_was_read(tmp_path):
    rows = as_strings([exported() for _ in range(300)])
    path = write(tmp_path / "runs.parquet", rows, row_group_size=100, compression="zstd")
    with pq.ParquetFile(path) as file:
        place = file.metadata.row_group(2).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 400] = b"\xff" * 400
    path.write_bytes(data)
    with pytest.raises(LoadError, match=r"damaged: (128|192|200) rows"):
        lines(path)


def test_a_table_of_messages_is_read_as_training_lines(tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Y"}]}
    ]
    assert lines(write(tmp_path / "chats.parquet", rows)) == (rows, [])


def test_messages_of_the_tracer_survive_structs_of_many_kinds(tmp_path):
    long = [
        *SENT,
        ANSWER,
        constructor("ToolMessage", content="7", type="tool", tool_call_id="call_5"),
    ]
    rows = [exported(inputs=run(long)["inputs"]), exported()]
    found, skipped = lines(write(tmp_path / "runs.parquet", rows))
    assert skipped == []
    assert found[0]["messages"][2:] == [
        WIRE_ANSWER,
        {"role": "tool", "content": "7", "tool_call_id": "call_5"},
        WIRE_ANSWER,
    ]
    assert found[1] == WHOLE


# Not `ru_maxrss`: Linux counts the peak of the process that started this one, too.
READING = """
import re, sys
from pathlib import Path
from langchain_finetune import RunFileChatLoader
rows = sum(1 for _ in RunFileChatLoader(sys.argv[1]).lazy_load())
print(rows, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a peak from /proc")
def test_a_small_file_of_long_texts_takes_little_memory(tmp_path):
    """A text that all rows share is stored once, and would be in memory 64 times."""
    long = json.dumps({"messages": [{"role": "user", "content": "a" * 20_000_000}]})
    table = pa.Table.from_pylist(as_strings([exported()] * 64)).drop_columns("inputs")
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array([long]))
    path = tmp_path / "runs.parquet"
    # Without its schema it is read as plain text.
    pq.write_table(
        table.append_column("inputs", shared), path, compression="zstd", store_schema=False
    )
    assert path.stat().st_size < 30_000
    done = subprocess.run(
        [sys.executable, "-c", READING, path], capture_output=True, text=True, check=True
    )
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 64
    assert megabytes < 1000


def test_what_expands_as_no_chats_do_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_LARGEST", 1 << 20)
    rows = as_strings([exported(name=f"{n}" + "a" * 200_000) for n in range(20)])
    path = write(tmp_path / "runs.parquet", rows, compression="zstd", use_dictionary=False)
    with pytest.raises(LoadError, match="expands to 3 MiB in 20 rows of the column name"):
        RunFileChatLoader(path).load()


def as_json_columns(data):
    """A run of any fixture with columns of JSON strings, and each of them also on a row alone."""
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in data.items()
    }


FIXTURES = {**{name: data for name, (data, *_) in RUNS.items()}, **USUAL}


@pytest.mark.parametrize("name", FIXTURES)
def test_columns_of_json_make_the_same_bytes_as_parsed_rows(tmp_path, name):
    data = FIXTURES[name]
    if not {"inputs", "outputs"} <= data.keys():
        pytest.skip("is no run of LangSmith's export")
    path = write(tmp_path / "runs.parquet", [as_json_columns(data)] * 3)
    loader = RunFileChatLoader(path)
    parsed = Sessions(lambda skip: loader.read_sessions({}, skip))
    made = []
    for sessions in (loader.invoke({}), parsed):
        examples = Convert().invoke(sessions)
        made.append([(row.id, row.line, dict(row.source)) for row in examples.rows()])
        made.append(examples.rejected)
    assert made[:2] == made[2:]


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_run_stays_json(tmp_path, name, monkeypatch):
    path = write(tmp_path / "runs.parquet", [as_json_columns(USUAL[name])] * 3)
    monkeypatch.setattr(parquet, "_parsed", lambda *_: pytest.fail("parsed"))
    assert len(list(Convert().invoke(RunFileChatLoader(path)))) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": '{"messages": []}, "id": "other"'},
        {"inputs": ""},
        {"outputs": None},
        {"extra": '{"invocation_params": NaN}'},
        {"id": None},
        {"thread_id": 7},
        {"status": b"\xff"},
        {"feedback_stats": "[]"},
    ],
)
def test_a_column_that_is_no_json_of_a_usual_run_is_read_as_before(tmp_path, changes):
    row = as_json_columns(USUAL["call"]) | changes
    path = write(tmp_path / "runs.parquet", [row])
    loader = RunFileChatLoader(path)
    parsed = Sessions(lambda skip: loader.read_sessions({}, skip))
    made = [Convert().invoke(sessions) for sessions in (loader.invoke({}), parsed)]
    assert list(made[0]) == list(made[1])
    assert made[0].rejected == made[1].rejected


def test_of_a_run_that_stays_json_where_sees_all_columns(tmp_path):
    rows = [
        as_json_columns(USUAL["bench"]) | {"id": f"r-{n}", "team": "abc"[n % 3]} for n in range(9)
    ]
    path = write(tmp_path / "runs.parquet", rows)
    loader = RunFileChatLoader(path, where=lambda data: data["team"] != "b", group="team")
    kept = [(row.id, row.source["group"]) for row in Convert().invoke(loader).rows()]
    assert kept == [(f"r-{n}", "abc"[n % 3]) for n in range(9) if n % 3 != 1]


def test_a_person_s_decision_in_a_column_is_found(tmp_path):
    """The files are searched for it before they are read."""
    decided, plain = as_json_columns(USUAL["call"]), as_json_columns(USUAL["answer"])
    path = write(tmp_path / "runs.parquet", [plain])
    assert not may_contain(path, [b"Executed instead: "])
    decided["inputs"] = decided["inputs"].replace("?", "? Executed instead: ")
    path = write(tmp_path / "runs.parquet", [plain] * 100 + [decided])
    assert may_contain(path, [b"Executed instead: "])
    assert may_contain(write(tmp_path / "structs.parquet", [exported()]), [b"x" * 99])


def test_many_runs_in_a_row_group_are_read_many_at_once(tmp_path):
    rows = as_strings([exported(name=str(n)) for n in range(2000)])
    path = write(tmp_path / "runs.parquet", rows, use_dictionary=False)
    with pq.ParquetFile(path) as file:
        assert parquet._rows_at_once(path, file.metadata) == 64
