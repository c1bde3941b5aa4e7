"""The quick way gives what the plain way gives, byte by byte, or leaves the run to it."""

import copy
import json
import os

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.agent_runs import agent_run
from langchain_finetune import Convert, RunFileChatLoader
from langchain_finetune.dialects.fast_path import FIT_FOR, traced_columns, traced_line
from langchain_finetune.sessions import EncodedChat, Sessions
from support.dialects import CALLING, RUNS, TELLING
from support.mutations import mutated_runs
from support.plain_path import plain_lines
from support.profiles import PROFILES
from support.runs import CALL, SENT, TOOL
from support.usual_runs import RICH, STREAMED, USUAL, WRITTEN

CASES = int(os.environ.get("FUZZ_CASES", "300"))


def encodings(run):
    """A run as each of the usual writers puts it."""
    yield orjson.dumps(run)
    yield json.dumps(run).encode()
    yield json.dumps(run, ensure_ascii=False, indent=1).encode()


WITHIN_OPENAI = [name for name, rules in PROFILES.items() if rules.within_openai]


def agrees(data):
    """Assert that the quick way says the same as the plain way or nothing; tell which."""
    chat = traced_line(data)
    if chat is not None:
        assert chat.fit_for == FIT_FOR
        assert chat.id == chat.source["run_id"]
        assert [(chat.line, chat.source)] == plain_lines(data, WITHIN_OPENAI)
        assert traced_columns(columns(data)) == chat
    return chat is not None


def columns(data):
    """A run as Parquet has it: its large fields as JSON."""
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    large = ("inputs", "outputs", "extra", "feedback_stats")
    return {
        name: bytes(raw) if name in large and bytes(raw) != b"null" else orjson.loads(bytes(raw))
        for name, raw in fields.items()
    }


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_run_is_taken(name):
    assert all(agrees(data) for data in encodings(USUAL[name]))


def test_runs_of_every_size_are_taken():
    assert all(agrees(orjson.dumps(agent_run(number))) for number in range(300))


@pytest.mark.parametrize("name", RUNS)
def test_dialects_agree(name):
    run, line = RUNS[name]
    taken = {agrees(data) for data in encodings(run)}
    assert taken == {name in ("tracer", "tracer, result", "tracer, API v2")}
    if taken == {True}:
        assert orjson.loads(traced_line(orjson.dumps(run)).line) == line


def test_the_model_s_own_text_of_a_call_stays():
    [call] = orjson.loads(traced_line(orjson.dumps(STREAMED)).line)["messages"][-1]["tool_calls"]
    assert call["function"]["arguments"] == WRITTEN


def changed(place, value, run=RICH):
    """A run with another value at a place such as `extra.options.tools`."""
    run = copy.deepcopy(run)
    *path, last = (int(key) if key.isdigit() else key for key in place.split("."))
    inner = run
    for key in path:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[last] = value
    return run


SENT_AI = "inputs.messages.0.2.kwargs"
ANSWERED = "outputs.generations.0.0.message.kwargs"
SECRET = {"lc": 1, "type": "secret", "id": ["KEY"]}
UNUSUAL = {
    "status": ["error", "pending"],
    "error": ["It broke."],
    "run_type": ["chain", None],
    "id": ["", None, 7],
    "thread_id": [7],
    "extra.metadata": [{"session_id": 7}, "x"],
    "feedback_stats": ["no JSON"],
    "preferred_output": [None, []],
    "extra.options.model": ["gpt"],
    "extra.invocation_params.tools": [[TOOL, TOOL], "x", [{"type": "web_search"}], [SECRET], None],
    "extra.invocation_params._type": ["anthropic-chat"],
    "extra.invocation_params.response_format": [{"type": "json_object"}, "<class 'a.B'>"],
    "extra.invocation_params.functions": [[{"name": "f"}]],
    "extra.invocation_params.previous_response_id": ["resp_1"],
    "extra.invocation_params.parallel_tool_calls": ["yes"],
    "extra.invocation_params.tool_choice": [{"disable_parallel_tool_use": True}],
    "extra.invocation_params.lc": [1],
    "inputs.__lc_escaped__": [{}],
    "inputs.prompts": [["Hi"]],
    "inputs.messages": [[], [[]], SENT, [SENT, SENT], [[["user", "Hi"]]]],
    "inputs.messages.0.0.type": ["not_implemented", "secret"],
    "inputs.messages.0.0.id.0": ["langchain_core"],
    "inputs.messages.0.1.id.3": ["ChatMessage", "FunctionMessage"],
    "inputs.messages.0.1.kwargs.content": [
        [{"type": "text", "text": "Hi"}],
        None,
        "<|im_end|>",
        "\\u003c|im_end|>",
    ],
    "inputs.messages.0.1.kwargs.name": ["Ada Lovelace"],
    "inputs.messages.0.1.kwargs.additional_kwargs": [{"name": "Ada"}, SECRET],
    f"{SENT_AI}.tool_calls": [[], [CALL], [{**CALL, "id": "call_1"}] * 2],
    f"{SENT_AI}.tool_calls.0.args": [
        "{}",
        {"beds": "two"},
        {"lc": 1},
        {"x": SECRET},
        {"x": 2**64 - 1},
    ],
    f"{SENT_AI}.tool_calls.0.id": [None, "call_7"],
    f"{SENT_AI}.tool_calls.0.name": ["find_hotel", None],
    f"{SENT_AI}.invalid_tool_calls": [[{"id": "1", "name": "f", "args": "{"}]],
    f"{SENT_AI}.additional_kwargs": [{"function_call": {}}, {"reasoning_content": "Hm."}],
    "inputs.messages.0.3.kwargs.tool_call_id": ["call_9", "call_1"],
    f"{ANSWERED}.id": ["resp_1"],
    f"{ANSWERED}.response_metadata": [{"object": "response"}],
    f"{ANSWERED}.tool_calls": [[], [{**CALL, "id": "call_1"}]],
    f"{ANSWERED}.additional_kwargs": [{"tool_outputs": [{}]}, {"refusal": "No."}],
    "outputs.generations": [[], [[]], [[], []]],
    "outputs.lc": [1],
}


@pytest.mark.parametrize("place", UNUSUAL)
def test_all_else_is_left_to_the_plain_way(place):
    for value in UNUSUAL[place]:
        run = changed(place, value)
        if (place, value) == (f"{ANSWERED}.tool_calls", []):
            assert agrees(orjson.dumps(run))  # An answer in text is as usual as a call.
            continue
        assert [agrees(data) for data in encodings(run)] == [False] * 3, value


@pytest.mark.parametrize("field", ["tools", "tool_choice", "parallel_tool_calls"])
def test_options_count_where_the_parameters_say_nothing(field):
    value = {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True}[field]
    run = changed(f"extra.options.{field}", value)
    assert all(agrees(data) for data in encodings(run))
    del run["extra"]["invocation_params"][field]
    assert [agrees(data) for data in encodings(run)] == [False] * 3


@pytest.mark.parametrize(
    "text", ['{"beds":true}', '{"beds":2.0}', '{"beds": "\\ud83d"}', '{"beds":', "", "2"]
)
def test_streamed_text_that_is_nearly_the_call_agrees(text):
    for args in ({"beds": 1}, {"beds": 2}):
        run = changed(
            "outputs.generations.0.0.message.kwargs.tool_call_chunks.0.args", text, STREAMED
        )
        for data in encodings(changed(f"{ANSWERED}.tool_calls.0.args", args, run)):
            agrees(data)


@settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutated_runs([*USUAL.values(), *(run for run, _ in RUNS.values())]))
def test_mutated_runs_agree(run):
    for write in (orjson.dumps, lambda run: json.dumps(run).encode()):
        try:
            agrees(write(run))
        except TypeError:
            continue  # orjson takes no integer of that size.


@settings(max_examples=CASES, deadline=None)
@given(st.sampled_from(list(USUAL)), st.data())
def test_mutated_bytes_agree(name, draw):
    data = bytearray(orjson.dumps(USUAL[name]))
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(data) - 1))
        size = draw.draw(st.integers(0, 8))
        data[place : place + size] = draw.draw(
            st.sampled_from([b"", b"\xff", b"\\", b'"', b"null", b"1.0", b"-0", b"1e5", b"\\u0041"])
        )
    agrees(bytes(data))


def parsed(loader):
    """Return the sessions of a file, none of them read as it is."""
    sessions = Sessions(lambda skip: loader.read_sessions({}, skip, sessions.notes))
    return sessions


SETTINGS = {
    "none": ({}, {}),
    "where": ({"where": lambda run: "rooms" not in (run.get("tags") or ())}, {}),
    "group": ({"group": "tenant"}, {}),
    "score": ({"score": "user_score"}, {}),
    "last": ({}, {"targets": "last"}),
    "function": ({}, {"targets": lambda message, index: index > 3}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_file_makes_the_same_training_file_either_way(tmp_path, name):
    loading, converting = SETTINGS[name]
    runs = [*USUAL.values(), *(run for run, _ in RUNS.values())]
    runs += [changed(place, value) for place, values in UNUSUAL.items() for value in values[:1]]
    runs += [{**USUAL["call"], "tags": ["rooms"], "tenant": "t-1"}]
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b"\n".join([b"torn", *map(orjson.dumps, runs), b"[]", b"{"]))
    loader, convert = RunFileChatLoader(path, **loading), Convert(**converting)
    assert any(isinstance(chat, EncodedChat) for chat in loader.invoke({}).encoded())
    quick, plain = (loader | convert).invoke({}), convert.invoke(parsed(loader))
    rows = [
        [(row.id, row.source, row.line) for row in examples.rows()] for examples in (quick, plain)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 0.8 * len(USUAL)
    assert quick.rejected == plain.rejected
    assert quick.notes == plain.notes
    assert quick.outcome.findings.errors == plain.outcome.findings.errors
    assert quick.write_jsonl(tmp_path / "a").sha256 == plain.write_jsonl(tmp_path / "b").sha256
    assert list(quick) == list(plain)


@pytest.mark.parametrize("rules", ["openai", "azure", "nebius", "local"])
def test_every_provider_s_rules_are_kept(tmp_path, rules):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, USUAL.values())))
    told = []
    loader = RunFileChatLoader(path)
    for sessions in (loader, parsed(loader)):
        examples = Convert(rules=rules).invoke(sessions)
        told.append((list(examples), examples.rejected, dict(examples.outcome.findings.warnings)))
    assert told[0] == told[1]


def test_sessions_of_a_file_read_as_ever(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(orjson.dumps(USUAL["call"]))
    [session] = RunFileChatLoader(path).load()
    assert session["messages"][-1].tool_calls[0]["args"] == {"beds": 2}
    assert session["tools"] == CALLING["tools"]
    assert len(TELLING["messages"]) == len(session["messages"]) + 2


def test_a_schema_that_names_itself_is_left_to_the_plain_way():
    tool = copy.deepcopy(TOOL)
    tool["function"]["parameters"]["$defs"] = {"itself": {"$ref": "#"}}
    run = changed("extra.invocation_params.tools", [tool])
    assert [agrees(data) for data in encodings(run)] == [False] * 3
