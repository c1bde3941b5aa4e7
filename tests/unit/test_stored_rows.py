"""Rows of other stores' exports that the SDKs in `tests/stores` and `tests/e2e` don't write."""

import json

import pytest

from langchain_finetune import Convert, RunFileChatLoader
from langchain_finetune.dialects.langfuse import read_observation
from langchain_finetune.loaders.stores import StoreChatLoader
from support.runs import ANSWER, SENT, TOOL, WIRE_ANSWER, WIRE_SENT, constructor

TOLD = {"role": "assistant", "content": "Room 7."}
SAID = constructor("AIMessage", content="Room 7.", type="ai")


def opik_span(answer, **changes):
    return {
        "id": "s-1",
        "trace_id": "t-1",
        "type": "llm",
        "start_time": "2026-11-01T10:00:00Z",
        "input": {"messages": [SENT]},
        "output": {"generations": [[{"message": answer, "generation_info": {}}]]},
        "metadata": {"created_from": "langchain", "ls_model_type": "chat"},
        "provider": "openai",
        "model": "m",
    } | changes


def mlflow_trace(**attributes):
    span = {
        "span_id": "6cc67b09a5dbfb70",
        "parent_span_id": None,
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": {
            key.replace("__", "."): json.dumps(each) for key, each in attributes.items()
        },
    }
    return {"info": {"trace_id": "tr-1"}, "data": {"spans": [span]}}


def observation(**changes):
    return {"id": "o-1", "traceId": "t-1", "type": "GENERATION", "input": WIRE_SENT} | changes


CHOICE = {"choices": [{"message": WIRE_ANSWER, "finish_reason": "tool_calls"}]}
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "A room?"}]}]
PARTS_TOLD = [{"role": "assistant", "parts": [{"type": "text", "content": "Room 7."}]}]
CALLING = {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}
TALKING = {"messages": [*WIRE_SENT, TOLD]}
ROWS = {
    "Opik, span of LangChain": (opik_span(SAID), TALKING),
    "Opik, wrapper of OpenAI": (
        opik_span(
            None,
            input={"messages": WIRE_SENT},
            output=CHOICE,
            metadata={"created_from": "openai", "model": "m", "tools": [TOOL]},
        ),
        CALLING,
    ),
    "MLflow, autologging of OpenAI": (
        mlflow_trace(
            mlflow__spanType="CHAT_MODEL",
            mlflow__spanInputs={"model": "m", "messages": WIRE_SENT, "tools": [TOOL]},
            mlflow__spanOutputs=CHOICE,
        ),
        CALLING,
    ),
    "MLflow, by OTLP": (
        mlflow_trace(
            gen_ai__operation__name="chat",
            gen_ai__input__messages=PARTS,
            gen_ai__output__messages=PARTS_TOLD,
        ),
        {"messages": [{"role": "user", "content": "A room?"}, TOLD]},
    ),
    "Langfuse, wrapper of OpenAI": (observation(output=TOLD), TALKING),
    "Langfuse, wrapper of OpenAI with tools": (
        observation(input={"messages": WIRE_SENT, "tools": [TOOL]}, output=WIRE_ANSWER),
        CALLING,
    ),
    "Langfuse, by OTLP": (
        observation(
            input=json.dumps(PARTS),
            output=json.dumps(PARTS_TOLD),
            metadata={"attributes": json.dumps({"gen_ai.operation.name": "chat"})},
        ),
        {"messages": [{"role": "user", "content": "A room?"}, TOLD]},
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_the_line_that_the_model_saw(tmp_path, name):
    row, line = ROWS[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    examples = (RunFileChatLoader(path) | Convert()).invoke({})
    assert list(examples) == [line]
    assert examples.rejected == []


CUT = {"max_tokens": 5}
MISREAD = {
    "calls of tools that Opik did not keep": (opik_span(ANSWER), "incomplete_trace"),
    "an error of Opik": (opik_span(SAID, error_info={"exception_type": "E"}), "errored_run"),
    "an error of Langfuse": (observation(output=TOLD, level="ERROR"), "errored_run"),
    "no output": (observation(output=None, endTime="2026-11-01T10:00:00Z"), "no_outputs"),
    "all tokens, Langfuse": (
        observation(
            output=TOLD,
            modelParameters=CUT,
            usageDetails={"output": 5},
            metadata={"ls_model_type": "chat"},
        ),
        "truncated_answer",
    ),
    "all tokens, MLflow": (
        mlflow_trace(
            mlflow__spanType="CHAT_MODEL",
            mlflow__spanInputs={"messages": WIRE_SENT},
            mlflow__spanOutputs={"choices": [{"message": TOLD, "finish_reason": None}]},
            mlflow__message__format="langchain",
            invocation_params=CUT,
            mlflow__chat__tokenUsage={"output_tokens": 5},
        ),
        "truncated_answer",
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_what_would_be_read_wrong_is_left_out(tmp_path, name):
    row, code = MISREAD[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    examples = (RunFileChatLoader(path) | Convert()).invoke({})
    assert list(examples) == []
    assert [skip.code for skip in examples.rejected] == [code]


def test_whether_a_chat_had_tools_is_unknown(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(opik_span(SAID)))
    sessions = RunFileChatLoader(path).invoke({})
    assert len(list(sessions)) == 1
    assert sessions.notes == {"tools_unknown": 1}


@pytest.mark.parametrize("broken", [None, [], "x", 7, {"spans": "x"}, [[]], {"a": []}])
@pytest.mark.parametrize("name", ROWS)
def test_broken_rows_are_skips(tmp_path, name, broken):
    path = tmp_path / "rows.jsonl"
    rows = [{**ROWS[name][0], key: broken} for key in ROWS[name][0]]
    path.write_text("\n".join(map(json.dumps, [*rows, ROWS[name][0]])))
    sessions = RunFileChatLoader(path).invoke({})
    assert len(list(sessions)) >= 1
    assert all(skip.reason for skip in sessions.skipped)


def test_scores_of_an_observation_in_a_trace_count_once():
    scores = [
        {"name": "user_score", "value": 1, "traceId": "t-1"},
        {"name": "user_score", "value": 0, "traceId": "t-1"},
        {"name": "user_score", "value": 0.5, "traceId": "t-1", "observationId": "o-1"},
    ]
    row = {"id": "t-1", "input": None, "observations": [observation(output=TOLD)]}
    [run] = read_observation(row | {"scores": scores}).rated_runs()
    assert run["feedback_stats"] == {"user_score": {"n": 3, "avg": 0.5}}


@pytest.mark.parametrize(
    "score",
    [
        {"dataType": "CATEGORICAL", "value": 0, "stringValue": "good"},
        {"data_type": "CATEGORICAL", "value": 0, "string_value": "good"},
        {"dataType": "CATEGORICAL", "value": "good"},
        {"data_type": "TEXT", "value": None, "string_value": "good"},
    ],
)
def test_categories_of_langfuse_are_no_numbers(score):
    row = {"id": "t-1", "input": None, "observations": [observation(output=TOLD)]}
    trace = read_observation(row | {"scores": [{"name": "tone", **score}]})
    assert {(each["score"], each["value"]) for each in trace.feedback} == {(None, "good")}
    truth = {"name": "tone", "dataType": "BOOLEAN", "value": 1, "stringValue": "True"}
    trace = read_observation(row | {"scores": [truth]})
    assert {(each["score"], each["value"]) for each in trace.feedback} == {(1.0, None)}


def test_calls_of_middleware_do_not_count_for_the_limit():
    class Kept(StoreChatLoader):
        def pages(self):
            internal = {"ls_model_type": "chat", "lc_source": "summarization"}
            rows = [observation(id=f"o-{number}", output=TOLD) for number in range(4)]
            rows[0]["metadata"] = internal
            yield [read_observation(row) for row in rows]

    sessions = Kept(limit=2).invoke({})
    assert [each["source"]["run_id"] for each in sessions] == ["o-1", "o-2"]
    assert [skip.code for skip in sessions.skipped] == ["internal_call"]
    assert len(Kept(limit=4, internal_calls=True).load()) == 4
