"""Runs of the common format, which the fast path takes."""

from bench.agent_runs import agent_run
from support.dialects import RESULT, RUNS, ai, traced
from support.runs import ANSWER, CALL, SENT, constructor

ARGS = {"beds": 2, "price": 1e16, "near": [1.5, None, "Été\n"], "with": {"dog": True}}
RICH = traced(
    ai('Sure: "7"\t\u2028', tool_calls=[{**CALL, "args": ARGS}], response_metadata={"x": {}}),
    [
        SENT[0],
        constructor("HumanMessage", content="Zwei Betten? 🛏️", name="Ada"),
        ai(tool_calls=[{**CALL, "id": "call_1"}, {**CALL, "id": "call_2"}], id="lc_run--1"),
        {**RESULT, "kwargs": {**RESULT["kwargs"], "tool_call_id": "call_2", "name": "find_room"}},
        {**RESULT, "kwargs": {**RESULT["kwargs"], "tool_call_id": "call_1"}},
    ],
    parallel_tool_calls=False,
    tool_choice={"type": "function", "function": {"name": "find_room"}},
    _type="openai-chat",
    model="o3-mini",
)
RICH["extra"]["metadata"] = {"thread_id": "talk-1", "conversation_id": "talk-2"}
WRITTEN = '{"beds":2 }'
STREAMED = traced(
    ai(
        kind="AIMessageChunk",
        tool_calls=[CALL],
        tool_call_chunks=[{"id": "call_5", "name": "find_room", "args": WRITTEN, "index": 0}],
    )
)
USUAL = {
    "answer": traced(ai("Room 7 is free."), [*SENT, ANSWER, RESULT]),
    "call": traced(ANSWER),
    "rich": RICH,
    "streamed": STREAMED,
    "API v2": RUNS["tracer, API v2"][0],
    "no tools": traced(ai("Room 7 is free."), tools=[]),
    "bench": agent_run(1),
    "bench, call": agent_run(2),
}
