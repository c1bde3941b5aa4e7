"""A run picked into a dataset is read back as the loaders read the run itself, or is refused."""

import json
import os

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.loaders.corrections import corrected
from langchain_finetune.loaders.payloads.chat_example import read_example
from langchain_finetune.loaders.payloads.run import read_run
from langchain_finetune.local.page.messages import read_message
from langchain_finetune.local.page.run_example import as_chat_example, run_example
from langchain_finetune.local.page.traced import traced_chat
from langchain_finetune.local.page.wire_messages import NoExampleError
from langchain_finetune.local.store.openai_lines import openai_line
from langchain_finetune.sessions import SETTINGS, wire_messages
from support.dialects import RUNS
from support.mutations import ANYTHING, mutated_runs
from support.runs import CALL, WIRE_CALL, constructor

CASES = int(os.environ.get("FUZZ_CASES", "300"))
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What both pass over where they meet it."""

NOT_READ = {
    *("wrap_openai, Responses", "wrap_openai, Responses with items", "openai-agents"),
    *("wrap_anthropic, result", "completion by LangChain", "completion by wrap_openai"),
    "traceable, pair",
}
"""Dialects of which the page makes no example; the loaders read them."""


def row_of(run):
    """A run as the store keeps it."""
    kept = {name: json.dumps(run.get(name)) for name in ("inputs", "outputs", "extra")}
    status = str(run.get("status") or "success").lower()
    status = "error" if run.get("error") else status
    return kept | {"id": run["id"], "run_type": run["run_type"].lower(), "status": status}


def told(session):
    return wire_messages(session), {name: session.get(name) for name in SETTINGS}


def read_back(example):
    [session] = read_example(example["inputs"], example["outputs"])
    return told(session)


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("OTel")])
def test_every_dialect_is_read_alike_or_refused(name):
    found = RUNS[name][0]
    if name in NOT_READ:
        with pytest.raises(NoExampleError):
            run_example(row_of(found))
        return
    example = run_example(row_of(found))
    [session] = read_run(found)
    assert read_back(example) == told(session)
    line = openai_line(example["inputs"], example["outputs"])
    assert line["messages"] == wire_messages(session)
    assert line.get("tools") == session.get("tools")
    chat = as_chat_example(example)
    assert read_back(chat)[1] == told(session)[1]
    assert [each["role"] for each in read_back(chat)[0]] == [
        each["role"] for each in wire_messages(session)
    ]


@pytest.mark.parametrize(
    "correction",
    [
        "Room 9.",
        {"output": "Room 9."},
        {"message": {"role": "assistant", "content": [{"type": "text", "text": "Room 9."}]}},
        {"answer": {"content": None, "tool_calls": [WIRE_CALL]}},
        constructor("AIMessage", content="", type="ai", tool_calls=[CALL]),
        {"type": "ai", "data": {"content": "Room 9."}},
        ["Room 9."],
        {},
        {"role": "user", "content": "Room 9."},
        7,
    ],
)
def test_corrections_are_read_alike_or_refused(correction):
    found = RUNS["tracer"][0]
    [session] = read_run(found)
    try:
        expected = told(corrected(session, correction))
    except UnreadableChatError:
        with pytest.raises(NoExampleError):
            run_example(row_of(found), correction)
    else:
        assert read_back(run_example(row_of(found), correction)) == expected


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated_runs())
def test_broken_runs_are_read_alike_or_refused(found):
    # The store keeps objects of JSON only.
    assume(isinstance(found, dict) and found.get("run_type") == "llm" and found.get("id"))
    fields = [found.get(name) for name in ("inputs", "outputs", "extra")]
    assume(all(field is None or isinstance(field, dict) for field in fields))
    try:
        kept = orjson.loads(orjson.dumps(fields))
    except orjson.JSONEncodeError:
        assume(False)
    found |= dict(zip(("inputs", "outputs", "extra"), kept, strict=True))
    try:
        example = run_example(row_of(found))
    except (NoExampleError, *MALFORMED):
        return
    try:
        expected = [told(session) for session in read_run(found)]
    except UnreadableChatError:
        with pytest.raises(UnreadableChatError):
            read_back(example)
        return
    except MALFORMED:
        return
    assert [read_back(example)] == expected


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING, ANYTHING)
def test_anything_can_be_looked_at(one, two):
    for raw in (one, {"role": "assistant", "content": one, "tool_calls": two}):
        assert isinstance(read_message(raw).gist, str)
    for fields in ({"inputs": one, "outputs": two}, {"inputs": {"messages": one}, "outputs": two}):
        try:
            row = row_of({"id": "1", "run_type": "llm", **orjson.loads(orjson.dumps(fields))})
        except orjson.JSONEncodeError:
            continue
        traced_chat(row)
