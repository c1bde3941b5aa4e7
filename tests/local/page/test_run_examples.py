"""A run added to a dataset is read back as the loader reads the run itself, or is refused."""

import json
import os
from functools import partial

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.dialects.chat_example import read_example
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.display.messages import read_message
from langchain_finetune.local.page.run_examples import as_chat_example, run_examples
from langchain_finetune.local.page.run_views import run_chat
from langchain_finetune.local.store.example_formats import openai_line
from langchain_finetune.sessions import SETTINGS, wire_messages
from support.dialects import RUNS
from support.mutations import ANYTHING, mutated_runs
from support.runs import ANSWER, FUNCTION, TOOL, constructor, run

CASES = int(os.environ.get("FUZZ_CASES", "300"))


def row_of(run):
    """A run as the store keeps it."""
    kept = {name: json.dumps(run.get(name)) for name in ("inputs", "outputs", "extra")}
    status = str(run.get("status") or "success").lower()
    status = "error" if run.get("error") else status
    return kept | {"id": run["id"], "run_type": run["run_type"].lower(), "status": status}


def told(session):
    # An empty list of tools says no more than none.
    settings = {name: session.get(name) for name in SETTINGS}
    return wire_messages(session), {**settings, "tools": settings["tools"] or None}


def read_back(example):
    [session] = read_example(example["inputs"], example["outputs"])
    return told(session)


def of_one_role(seen):
    """Without the difference of `developer` and `system`: only a run says which client it had."""
    messages, settings = seen
    changed = {"developer": "system"}
    return [
        {**each, "role": changed.get(each["role"], each["role"])} for each in messages
    ], settings


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("OTel")])
def test_every_dialect_leaves_a_dataset_as_it_came(name):
    found, line = RUNS[name]
    row = row_of(found)
    sessions = read_run(found)
    shown = run_chat(row)
    assert [each.role for each in [*shown.sent, *shown.answers]] == [
        each["role"] for each in wire_messages(sessions[0])
    ]
    if "prompt" in line:
        with pytest.raises(UnreadableChatError, match="is not a chat") as error:
            run_examples(row)
        assert error.value.code == "completion_run"
        return
    [example] = run_examples(row)
    assert [read_back(example)] == [told(session) for session in sessions]
    assert openai_line(example["inputs"], example["outputs"]) == line
    chat = as_chat_example(example)
    assert read_back(chat)[1] == read_back(example)[1]
    assert [each["role"] for each in read_back(chat)[0]] == [
        each["role"] for each in line["messages"]
    ]


def test_each_answer_is_an_example():
    answers = [{"message": each} for each in (ANSWER, constructor("AIMessage", content="Room 9."))]
    row = row_of(run(outputs={"generations": [answers]}))
    examples = run_examples(row)
    assert [each["outputs"]["message"]["content"] for each in examples] == [None, "Room 9."]
    [corrected] = run_examples(row, "Room 7.")
    assert corrected["outputs"]["message"]["content"] == "Room 7."
    shown = run_chat(row)
    assert [each.summary for each in shown.answers] == ['find_room({"beds": 2})', "Room 9."]


def test_all_that_the_request_said_goes_along():
    form = {"type": "json_schema", "json_schema": {"name": "Room", "schema": {"type": "object"}}}
    said = {"functions": [FUNCTION], "parallel_tool_calls": False, "response_format": form}
    found = run(extra={"invocation_params": {"tools": [TOOL], **said}})
    [example] = run_examples(row_of(found))
    assert told(read_run(found)[0])[1] == {"tools": [TOOL], **said}
    for each in (example, as_chat_example(example)):
        assert read_back(each)[1] == {"tools": [TOOL], **said}
    assert run_chat(row_of(found)).settings == {"tools": [TOOL], **said}


def test_what_loaders_skip_is_shown_with_the_reason():
    heard = constructor("HumanMessage", content=[{"type": "audio", "data": "x"}], type="human")
    shown = run_chat(row_of(run([heard])))
    assert (shown.skipped.code, shown.sent[0].role) == ("unsupported_content", "user")
    assert [each.role for each in shown.answers] == ["assistant"]
    failed = run_chat(row_of(run(error="TimeoutError", outputs={})))
    assert (failed.skipped.code, failed.answers) == ("errored_run", [])
    assert [each.role for each in failed.sent] == ["system", "user"]


def test_reasoning_is_shown_and_not_learnt():
    row = row_of(RUNS["Anthropic by LangChain"][0])
    assert [part.kind for part in run_chat(row).answers[0].parts] == ["reasoning", "text"]
    assert "Two beds." not in json.dumps(run_examples(row))


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated_runs())
def test_broken_runs_leave_a_dataset_as_they_came_or_are_refused(found):
    # The store keeps objects of JSON only.
    assume(isinstance(found, dict) and found.get("run_type") == "llm" and found.get("id"))
    fields = [found.get(name) for name in ("inputs", "outputs", "extra")]
    assume(all(field is None or isinstance(field, dict) for field in fields))
    try:
        kept = orjson.loads(orjson.dumps(fields))
    except orjson.JSONEncodeError:
        assume(False)
    found |= dict(zip(("inputs", "outputs", "extra"), kept, strict=True))
    shown = run_chat(row_of(found))
    assert isinstance(shown.sent, list)
    skips = []
    for example in readable("run", partial(run_examples, row_of(found)), skips.append):
        # Nothing that the check lets through is read in another way from a dataset.
        sessions = [of_one_role(told(session)) for session in read_run(found)]
        assert of_one_role(read_back(example)) in sessions
    assert all(skip.code and skip.reason for skip in skips)


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING, ANYTHING)
def test_anything_can_be_looked_at(one, two):
    for raw in (one, {"role": "assistant", "content": one, "tool_calls": two}):
        assert isinstance(read_message(raw).summary, str)
    for fields in ({"inputs": one, "outputs": two}, {"inputs": {"messages": one}, "outputs": two}):
        try:
            row = row_of({"id": "1", "run_type": "llm", **orjson.loads(orjson.dumps(fields))})
        except orjson.JSONEncodeError:
            continue
        assert isinstance(run_chat(row).settings, dict)
