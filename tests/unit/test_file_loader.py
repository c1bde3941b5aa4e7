"""Runs in files become sessions, whatever the file's format, packing or name."""

import gzip
import json
import os

import pytest
import zstandard
from langchain_core.chat_loaders import BaseChatLoader

from langchain_finetune import (
    Convert,
    ConvertError,
    LoadError,
    RunFileChatLoader,
    Split,
    check_file,
)
from langchain_finetune.dialects.file_row import run_of_row, tools_are_unknown
from langchain_finetune.loaders import file_formats, json_lines
from support.dialects import TOLD
from support.runs import (
    CALL,
    FUNCTION,
    SENT,
    TOOL,
    WIRE_ANSWER,
    WIRE_CALL,
    WIRE_SENT,
    constructor,
    run,
)

WHOLE = {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}


def jsonl(*values):
    return "".join(
        (value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values
    ).encode()


def zstd(data):
    return zstandard.ZstdCompressor().compress(data)


def lines(path, **fields):
    examples = (RunFileChatLoader(path, **fields) | Convert()).invoke({})
    return list(examples), [(skip.id, skip.code) for skip in examples.rejected]


@pytest.fixture
def written(tmp_path):
    def write(data, name="runs.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


TWO = [run(), run()]
FORMS = {
    "JSON lines": jsonl(*TWO),
    "no newline at the end": jsonl(*TWO).strip(),
    "blank lines": b"\n\n" + jsonl(TWO[0]) + b"  \r\n" + jsonl(TWO[1]),
    "a byte order mark": b"\xef\xbb\xbf" + jsonl(*TWO),
    "a list": json.dumps(TWO).encode(),
    "an indented list": json.dumps(TWO, indent=2).encode(),
    "a list of lines": b"[\n" + b",\n".join(json.dumps(data).encode() for data in TWO) + b"\n]",
    "the API's answer": json.dumps({"runs": TWO}).encode(),
    "the API's answer, indented": json.dumps({"runs": TWO, "cursors": {}}, indent=1).encode(),
    "an answer a line": jsonl({"runs": TWO[:1]}, {"runs": TWO[1:]}),
    "JSON strings in JSON": jsonl(
        *({**data, "inputs": json.dumps(data["inputs"]), "extra": json.dumps(data["extra"])}
          for data in TWO)
    ),
}  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_the_content_tells_the_format(written, form, pack):
    assert lines(written(pack(FORMS[form]), "data.bin")) == ([WHOLE, WHOLE], [])


def test_one_object_is_one_run(written):
    for indent in (None, 2):
        assert lines(written(json.dumps(run(), indent=indent).encode())) == ([WHOLE], [])


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_files_may_be_joined(written, pack):
    assert lines(written(b"".join(pack(jsonl(data)) for data in TWO))) == ([WHOLE, WHOLE], [])


def test_a_broken_line_is_skipped_by_its_place(written):
    path = written(jsonl(run(), '{"id": "torn', "", "7", run(), '{"a": NaN}'))
    assert lines(path) == (
        [WHOLE, WHOLE],
        [(f"{path}:{line}", "broken_line") for line in (2, 4, 6)],
    )


def test_a_file_may_begin_with_a_broken_line(written):
    for first in ('n": "torn"}', '{"id": "torn'):
        path = written(jsonl(first, run()))
        assert lines(path) == ([WHOLE], [(f"{path}:1", "broken_line")])


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_packed_file_that_is_cut_off_says_how_far_it_was_read(written, pack):
    packed = b"".join(pack(jsonl(run(name=str(number)))) for number in range(50))
    path = written(packed[: len(packed) * 3 // 4])
    sessions = RunFileChatLoader(path).invoke()
    found = []
    with pytest.raises(LoadError, match=r"runs.jsonl is truncated or damaged: (\d+) rows") as error:
        found.extend(sessions)
    assert len(found) in range(30, 40)
    assert f" {len(found)} rows" in str(error.value)


@pytest.mark.parametrize("head", [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd\x77\x77"])
def test_a_damaged_file_is_an_error(written, head):
    with pytest.raises(LoadError, match="truncated or damaged: 0 rows"):
        lines(written(head + b"garbage" * 9))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (json.dumps(TWO, indent=2).encode()[:-9], "not valid JSON"),
        (b"id,name\n1,Ada\n", "is not JSON Lines, JSON or Parquet"),
        (b"\xff\xfe{\x00}\x00", "is not JSON Lines, JSON or Parquet in UTF-8 but UTF-16"),
        (json.dumps(TWO).encode("utf-16-be"), "UTF-16 text"),
        (json.dumps(TWO).encode("utf-32"), "UTF-32 text"),
        (gzip.compress(b"PAR1 and so on", mtime=0), "compressed Parquet"),
    ],
)
def test_what_is_no_file_of_runs_is_an_error(written, data, message):
    with pytest.raises(LoadError, match=message) as error:
        lines(written(data, "the-file"))
    assert "the-file" in str(error.value)


def test_runs_of_other_types_are_no_chats_but_counted(written):
    path = written(jsonl(run(run_type="chain"), run(run_type="LLM"), run(run_type="tool")))
    sessions = RunFileChatLoader(path).invoke()
    examples = Convert().invoke(sessions)
    for _ in range(2):
        assert list(examples) == [WHOLE]
        assert sessions.notes == examples.notes == {"not_an_llm_run": 2}
    assert sessions.skipped == []


def test_the_cli_leaves_the_tools_out_and_that_is_counted(written):
    kept = ("trace_id", "name", "run_type", "inputs", "outputs", "error")
    data = run()
    brief = {"run_id": data["id"]} | {key: data[key] for key in kept}
    sessions = RunFileChatLoader(written(jsonl(brief, data))).invoke()
    [session, whole] = sessions
    assert "tools" not in session
    assert session["source"] == whole["source"]
    assert sessions.notes == {"tools_unknown": 1}


def test_a_run_without_an_id_is_known_by_its_place(written):
    data = run()
    del data["id"]
    path = written(jsonl(data, data | {"error": "x"}))
    sessions = RunFileChatLoader(path).invoke()
    assert [session["source"]["run_id"] for session in sessions] == [f"{path}:1"]
    assert [skip.id for skip in sessions.skipped] == [f"{path}:2"]


def test_what_is_no_finished_chat_is_skipped(written):
    failed, garbled = run(error="x"), run(outputs="{no json")
    path = written(jsonl(failed, garbled, {"prompt": "Hi"}, run()))
    assert lines(path) == (
        [WHOLE],
        [
            (failed["id"], "errored_run"),
            (garbled["id"], "unreadable_json"),
            (f"{path}:3", "no_run"),
        ],
    )


def test_lines_of_a_training_file_are_read_as_they_are(written):
    weighted = [*WIRE_SENT, {**WIRE_ANSWER, "weight": 0}, WIRE_ANSWER | {"weight": 1}]
    weighted.insert(3, {"role": "tool", "content": "7", "tool_call_id": "call_5"})
    rows = [
        {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL], "parallel_tool_calls": False},
        {"messages": [*WIRE_SENT, {"role": "assistant", "content": "x"}], "functions": [FUNCTION]},
        {"messages": weighted, "tools": [TOOL]},
    ]
    assert lines(written(jsonl(*rows))) == (rows, [])


def test_training_lines_without_a_chat_are_skipped(written):
    path = written(jsonl({"messages": WIRE_SENT}, {"messages": 7}))
    assert lines(path) == (
        [],
        [(f"{path}:2", "malformed"), (f"{path}:1", "no_assistant_message")],
    )


def test_a_condition_selects_runs(written):
    path = written(jsonl(*TWO))
    assert lines(path, where=lambda data: data["id"] == TWO[1]["id"]) == ([WHOLE], [])


def test_folders_patterns_and_lists_name_files(written, tmp_path):
    for day in (2, 1):
        written(jsonl(run(tags=[str(day)])), f"runs/year=2026/day={day}/part.jsonl")
    written(b"", "runs/_SUCCESS.json")
    written(b"", "runs/.hidden/x.json")
    written(b"For readers", "runs/README.md")
    odd = written(jsonl(run(tags=["odd"])), "runs/[odd].json")

    def tags(path):
        seen = []
        found, _ = lines(path, where=lambda data: seen.append(data["tags"][0]) or True)
        assert len(found) == len(seen)
        return seen

    folder = tmp_path / "runs"
    assert tags(folder) == ["odd", "1", "2"]
    assert tags(str(folder)) == ["odd", "1", "2"]
    assert tags(str(folder / "**" / "part.jsonl")) == ["1", "2"]
    assert tags([odd, folder / "year=2026", odd]) == ["odd", "1", "2"]


@pytest.mark.parametrize("name", ["nowhere.jsonl", "*.nothing", "empty"])
def test_a_path_that_means_no_file_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoadError, match=name.replace("*", r"\*")):
        lines(tmp_path / name)


def test_a_file_that_may_not_be_read_is_an_error(written, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = written(jsonl(run()))
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(LoadError, match="can't be read: Permission denied"):
        lines(path)


def test_the_path_may_be_given_at_call_time(written):
    loader = RunFileChatLoader("nowhere")
    path = written(jsonl(run()))
    assert isinstance(loader, BaseChatLoader)
    assert len(list(loader.invoke({"path": path}))) == 1
    with pytest.raises(LoadError, match="no setting 'pth'"):
        list(loader.invoke({"pth": path}))


async def test_sync_and_async_give_the_same(written):
    loader = RunFileChatLoader(written(jsonl(run(), run(error="x"), run(run_type="chain"))))
    first, second = loader.invoke(), await loader.ainvoke()
    assert list(first) == list(second)
    assert first.skipped == second.skipped != []
    assert first.notes == second.notes != {}


def test_zstd_and_parquet_need_the_extra(written, monkeypatch):
    for module, data in (("zstandard", zstd(jsonl(run()))), ("pyarrow", b"PAR1")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(LoadError, match=r"pip install .*\[files\]'"):
            lines(written(data))


@pytest.mark.parametrize(
    ("data", "unknown"),
    [
        ({"inputs": {"messages": []}}, True),
        ({"inputs": {"messages": []}, "extra": None}, True),
        ({"inputs": {"messages": []}, "extra": {}}, False),
        ({"inputs": {"messages": [], "model": "m"}}, False),  # wrap_openai: the whole request
        ({"inputs": {"messages": [], "tools": []}}, False),
        ({"attributes": {}}, False),
    ],
)
def test_it_is_known_whether_the_tools_are_known(data, unknown):
    assert tools_are_unknown(data) == unknown


def test_a_span_keeps_its_own_ids():
    span = {"context": {"span_id": "0x1"}, "attributes": {"gen_ai.prompt": "{}"}}
    assert run_of_row(span, "spans.jsonl:1") == span


HALF = {"role": "user", "content": "half \ud83d"}


def test_half_a_character_costs_its_run_and_no_other(written):
    """Also in a file that is one JSON value, and in a column of JSON text."""
    bad = {
        **run(),
        "inputs": {"messages": [HALF]},
        "outputs": {"role": "assistant", "content": "8"},
    }
    as_text = {**bad, "id": "text", "inputs": json.dumps(bad["inputs"])}
    raw = json.dumps({**bad, "id": "raw"}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    lined = b"\n".join([json.dumps(bad).encode(), json.dumps(as_text).encode(), raw, jsonl(run())])
    whole = json.dumps({"runs": [bad, as_text, run()]}, indent=1).encode()
    for data, halves in ((lined, 3), (whole, 2)):
        sessions = RunFileChatLoader(written(data)).invoke({})
        examples = Convert().invoke(sessions)
        assert list(examples) == [WHOLE]
        assert examples.rejected_by_reason() == {"invalid_unicode": halves}
        fixed = Convert(fix=True).invoke(sessions)
        texts = [line["messages"][0]["content"] for line in fixed]
        assert texts[:halves] == ["half \ufffd"] * halves


def test_half_a_character_may_be_anywhere_in_a_chat(written):
    function = {"name": "f", "arguments": '{"a": "\ud83d"}'}
    asked = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**WIRE_CALL, "function": function}],
    }
    chats = [
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "half \ud83d"}],
        [{"role": "user", "content": "Hi"}, asked],
        [{"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}, TOLD],
    ]
    rows = [
        {"id": str(number), "inputs": {"messages": sent}, "outputs": {"message": told}}
        for number, (sent, told) in enumerate(([*sent], told) for *sent, told in chats)
    ]
    path = written("\n".join(map(json.dumps, rows)).encode())
    for calls in ("all", "last"):
        examples = (RunFileChatLoader(path, calls=calls) | Convert()).invoke({})
        assert list(examples) == []
        assert examples.rejected_by_reason() == {"invalid_unicode": 3}


@pytest.mark.parametrize("indent", [None, 1])
def test_text_in_another_encoding_is_named_as_such(written, indent):
    latin = json.dumps({"name": "Zoë"}, ensure_ascii=False).encode("latin-1")
    if indent:
        document = b"{\n" + latin[1:]
        with pytest.raises(LoadError, match="is not UTF-8 text"):
            lines(written(document))
        return
    path = written(latin + b"\n" + jsonl(run()))
    found, skipped = lines(path)
    assert (found, skipped) == ([WHOLE], [(f"{path}:1", "not_utf8")])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_whole_file_in_another_encoding_is_an_error(written, encoding):
    with pytest.raises(LoadError, match=f"{encoding[:6].upper()} text: convert it"):
        lines(written(jsonl(run()).decode().encode(encoding)))


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"conversation_id": "a"}, {"thread_id": "a"}),
        ({"thread_id": 7}, {"thread_id": "7"}),
        ({"session_id": "a"}, {"thread_id": "a"}),
        ({"metadata": {"thread_id": "a"}}, {"thread_id": "a"}),
        ({"group": "g", "thread_id": "a"}, {"group": "g", "thread_id": "a"}),
        ({"group": "", "metadata": "x"}, {}),
        ({"group": {"a": 1}, "thread_id": True}, {}),
    ],
)
def test_lines_of_training_files_keep_their_group(written, fields, source):
    path = written(jsonl({**WHOLE, **fields}))
    [session] = RunFileChatLoader(path).load()
    assert session["source"] == {"line": f"{path}:1", **source}
    assert list(Convert().invoke([session])) == [WHOLE]


def test_a_split_holds_a_named_group_whole(written):
    rows = [
        {
            "messages": [{"role": "user", "content": str(number)}, TOLD],
            "metadata": {"customer": f"c{number % 40}"},
        }
        for number in range(400)
    ]
    runs = [{**run(), "extra": {"metadata": {"customer": f"c{number}"}}} for number in range(40)]
    loader = RunFileChatLoader(written(jsonl(*rows, *runs)), group="customer")
    parts = {}
    examples = (loader | Convert(split=Split(test=0.5), contamination="exact")).invoke({})
    for row in examples.rows():
        if len(row.example["messages"]) == len(rows[0]["messages"]):
            parts.setdefault(row.source["group"], set()).add(row.part)
    assert len(parts) == 40
    assert all(len(found) == 1 for found in parts.values())
    assert set().union(*parts.values()) == {"train", "test"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_line_that_is_too_long_is_passed_over(written, monkeypatch, pack):
    for module in (file_formats, json_lines):
        monkeypatch.setattr(module, "LARGEST", 1 << 16)
    long = '{"x": "' + "a" * 3_000_000 + '"}'
    path = written(pack(jsonl(run(), run(), long, run(), long)))
    assert lines(path) == (
        [WHOLE] * 3,
        [(f"{path}:3", "line_too_long"), (f"{path}:5", "line_too_long")],
    )
    for data in (jsonl(long), jsonl(long, run()), json.dumps([long] * 2, indent=1).encode()):
        with pytest.raises(LoadError, match="more than 0 MiB, too much for one value"):
            RunFileChatLoader(written(pack(data))).load()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "runs.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(LoadError, match="not a regular file"):
        RunFileChatLoader(pipe).load()
    with pytest.raises(ConvertError, match="not a regular file"):
        check_file(pipe)


def replaced(arguments, thread="t"):
    """An answer's run, and a later one whose history has other arguments in its place."""
    extra = {"metadata": {"thread_id": thread}}
    edited = {**CALL, "args": arguments}
    history = [
        *SENT,
        constructor("AIMessage", content="", type="ai", tool_calls=[edited]),
        constructor("ToolMessage", content="Room 7", type="tool", tool_call_id=CALL["id"]),
    ]
    done = constructor("AIMessage", content="Room 7 is yours.", type="ai")
    return [run(extra=extra), run(history, done, extra=extra)]


def test_an_edit_that_the_history_shows_replaces_the_answer(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(jsonl(*replaced({"beds": 3})))
    first, second = RunFileChatLoader(path, calls="last").load()
    assert first["messages"][-1].tool_calls[0]["args"] == {"beds": 3}
    assert first["rejected"] == WIRE_ANSWER
    assert "rejected" not in second


@pytest.mark.parametrize("arguments", [{}, CALL["args"]])
def test_arguments_that_were_cleared_or_kept_are_no_edit(tmp_path, arguments):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(jsonl(*replaced(arguments)))
    assert all(
        "rejected" not in session for session in RunFileChatLoader(path, calls="last").load()
    )


def turns(*calls, thread="t", **changes):
    """The run after calls and results, each as (name of the user, arguments, result)."""
    sent = SENT[:1]
    for asked, arguments, result in calls:
        made = constructor("AIMessage", content="", tool_calls=[{**CALL, "args": arguments}])
        sent = [*sent, constructor("HumanMessage", content=asked), made]
        sent += [constructor("ToolMessage", content=result, tool_call_id=CALL["id"])]
    done = constructor("AIMessage", content="Done.", type="ai")
    return run(sent, done, extra={"metadata": {"thread_id": thread}}, **changes)


def answers(*calls, **changes):
    """The run that made the last of some calls."""
    *before, (asked, arguments, _) = calls
    sent = turns(*before)["inputs"]["messages"][0] + [constructor("HumanMessage", content=asked)]
    made = constructor("AIMessage", content="", type="ai", tool_calls=[{**CALL, "args": arguments}])
    return run(sent, made, extra={"metadata": {"thread_id": "t"}}, **changes)


def tool_calls(session):
    """The arguments of a chat's calls."""
    said = [getattr(message, "tool_calls", ()) for message in session["messages"]]
    return [call["args"] for made in said for call in made]


REJECTED = "User rejected the tool call for `find_room`"


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("more", [{}, {"where": lambda data: "next" not in data["id"]}])
def test_arguments_that_a_later_history_shortens_are_no_edit(written, newest_first, more):
    first, cut = ("One", {"beds": 2}, "7"), ("One", {"beds": "2 (cut)"}, "7")
    rejected = ("Two", {"beds": 4}, REJECTED)
    runs = [answers(first), turns(first, id="next"), turns(cut, rejected)]
    path = written(jsonl(*(reversed(runs) if newest_first else runs)))
    for calls in ("all", "last"):
        found = RunFileChatLoader(path, calls=calls, **more).load()
        # With "last", the call is folded into the next one where that is wanted.
        made = [tool_calls(each)[0] for each in found if len(tool_calls(each)) == 1]
        assert made == [{"beds": 2}] * (2 if (calls, more) == ("all", {}) else 1)
        assert all("rejected" not in session for session in found)


def test_ids_that_each_answer_has_again_are_told_apart_by_position(written):
    first, second = ("One", {"beds": 2}, "7"), ("Two", {"beds": 4}, REJECTED)
    path = written(jsonl(answers(first), answers(first, second), turns(first, second)))
    found, rejected = lines(path)
    assert [code for _, code in rejected] == ["replaced_call"]
    assert [
        [each.get("weight") for each in line["messages"] if each["role"] == "assistant"]
        for line in found
    ] == [[None], [None, 0, None]]


def test_calls_of_several_chats_of_a_thread_are_told_apart(written):
    first, second = ("One", {"beds": 2}, "7"), ("Two", {"beds": 4}, REJECTED)
    path = written(jsonl(answers(first), turns(first), answers(second), turns(second)))
    for calls in ("all", "last"):
        found = list(map(tool_calls, RunFileChatLoader(path, calls=calls).lazy_load()))
        whole = [[{"beds": 2}], [{"beds": 4}]]
        assert found == ([[{"beds": 2}], *whole] if calls == "all" else whole)


def test_decisions_are_applied_however_many_calls_follow(written, monkeypatch):
    monkeypatch.setattr("langchain_finetune.loaders.reviews.MAX_CALLS", 2)
    edits = [(f"Ask {number}", {"beds": number}, "7") for number in range(5)]
    rejected = [(f"Ask again {number}", {"beds": 1}, REJECTED) for number in range(5)]
    runs = [answers(each) for each in edits + rejected]
    runs += [turns((asked, {"beds": 9}, result)) for asked, _, result in edits]
    path = written(jsonl(*runs, *map(turns, rejected)))
    found = RunFileChatLoader(path, calls="last").invoke({})
    made = [each for each in found if each["messages"][-1].tool_calls]
    assert [each["messages"][-1].tool_calls[0]["args"] for each in made] == [{"beds": 9}] * 5
    assert [skip.code for skip in found.skipped] == ["replaced_call"] * 5


@pytest.mark.parametrize("calls", ["all", "last"])
def test_a_run_is_asked_for_once_also_if_it_shows_a_decision(written, calls):
    rejected = ("One", {"beds": 4}, REJECTED)
    path = written(jsonl(answers(rejected, id="a"), turns(rejected, id="b"), run(id="c")))
    asked = []

    def where(data):
        asked.append(data["id"])
        return data["id"] != "b"

    found = RunFileChatLoader(path, where=where, calls=calls).invoke({})
    assert [each["source"]["run_id"] for each in found] == ["c"]
    assert [skip.code for skip in found.skipped] == ["replaced_call"]
    assert asked == ["a", "b", "c"]


def test_a_call_that_is_not_wanted_contains_none(written):
    first = ("One", {"beds": 2}, "7")
    path = written(jsonl(answers(first, trace_id="t", id="a"), turns(first, trace_id="t", id="b")))
    loader = RunFileChatLoader(path, calls="last")
    [last] = loader.load()
    [kept] = loader.invoke({"where": lambda data: data["id"] == "a"})
    assert (last["source"]["run_id"], kept["source"]["run_id"]) == ("b", "a")


def spoken(*texts, thread=None, **fields):
    """A run of a chat of some texts, of which the last is the answer."""
    roles = ["human", "ai"] * len(texts)
    *sent, answer = [
        constructor("AIMessage" if role == "ai" else "HumanMessage", content=text, type=role)
        for role, text in zip(roles, texts, strict=False)
    ]
    extra = {"metadata": {"thread_id": thread} if thread else {}}
    return run(sent, answer, extra=extra, **fields)


def test_turns_of_a_thread_are_learnt_once_though_each_is_a_trace(written):
    path = written(
        jsonl(
            spoken("a", "b", thread="t", trace_id="1", id="first"),
            spoken("a", "b", "c", "d", thread="t", trace_id="2", id="step"),
            spoken("a", "b", "c", "d", "e", "f", thread="t", trace_id="2", id="second"),
            spoken("a", "b", thread="t", trace_id="3", id="again"),
            spoken("a", "B", thread="t", trace_id="4", id="another answer"),
            spoken("a", "b", thread="u", trace_id="5", id="another thread"),
            spoken("a", "b", trace_id="6", id="no thread"),
            spoken("c", "d", "e", "f", thread="t", trace_id="7", id="not the beginning"),
        )
    )
    found = RunFileChatLoader(path, calls="last").invoke({})
    assert [each["source"]["run_id"] for each in found] == [
        "second", "another answer", "another thread", "no thread", "not the beginning",
    ]  # fmt: skip
    assert [(skip.id, skip.code, str(skip.reason)) for skip in found.skipped] == [
        ("first", "folded", "Another call of the thread contains all of it."),
        ("step", "folded", "Another call of the trace contains all of it."),
        ("again", "folded", "Another call of the thread contains all of it."),
    ]
    assert len(RunFileChatLoader(path).load()) == 8


def test_lines_of_a_training_file_stay_though_they_name_a_thread(written):
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = written(
        jsonl({"messages": chat, "thread_id": "t"}, {"messages": chat * 2, "thread_id": "t"})
    )
    assert len(RunFileChatLoader(path, calls="last").load()) == 2


def test_spans_show_decisions(written):
    asked = {"role": "user", "content": "One"}
    made = {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}
    said = {"role": "tool", "tool_call_id": CALL["id"], "content": REJECTED}
    done = {"role": "assistant", "content": "Done."}

    def span(span_id, *sent):
        given = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "t"}
        *request, answer = sent
        given |= {"gen_ai.prompt": json.dumps(request), "gen_ai.completion": json.dumps([answer])}
        return {"context": {"span_id": span_id}, "name": "chat", "attributes": given}

    path = written(jsonl(span("a", asked, made), span("b", asked, made, said, done)))
    _, rejected = lines(path)
    assert rejected == [("a", "replaced_call")]
