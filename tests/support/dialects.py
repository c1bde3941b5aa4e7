"""One run of every dialect that LangSmith holds, made by hand, and the example it makes.

All tell one chat: a question to a hotel's clerk, who calls `find_room`.
"""

import json
import uuid

from support.runs import (
    ANSWER,
    CALL,
    FUNCTION,
    SENT,
    TOOL,
    WIRE_ANSWER,
    WIRE_SENT,
    constructor,
    run,
)

SCHEMA = FUNCTION["parameters"]
FLAT_TOOL = {"type": "function", **FUNCTION}
ANTHROPIC_TOOL = {"name": FUNCTION["name"], "description": "Find a room.", "input_schema": SCHEMA}
ASKED = {"role": "assistant", "content": None, "tool_calls": WIRE_ANSWER["tool_calls"]}
FOUND = {"role": "tool", "content": "Room 7", "tool_call_id": "call_5"}
TOLD = {"role": "assistant", "content": "Room 7 is free."}
CALLING = {"messages": [*WIRE_SENT, ASKED], "tools": [TOOL]}
TELLING = {"messages": [*WIRE_SENT, ASKED, FOUND, TOLD], "tools": [TOOL]}
TALKING = {"messages": [*WIRE_SENT, TOLD]}
INSTRUCTIONS, QUESTION = (message["content"] for message in WIRE_SENT)
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Two."}]}
ITEM_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_5",
    "name": "find_room",
    "arguments": '{"beds": 2}',
    "status": "completed",
}
ITEM_TOLD = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Room 7 is free.", "annotations": []}],
}
ITEMS = [
    *WIRE_SENT,
    THOUGHT,
    ITEM_CALL,
    {"type": "function_call_output", "call_id": "call_5", "output": "Room 7"},
]


def wrapped(inputs, outputs, **extra):
    """A run as langsmith's wrappers and `@traceable` write it."""
    run_id = str(uuid.uuid4())
    return {
        "id": run_id,
        "trace_id": run_id,
        "run_type": "llm",
        "status": "success",
        "inputs": inputs,
        "outputs": outputs,
        "extra": extra,
    }


def traced(answer, sent=None, tools=(TOOL,), **params):
    """A run of LangChain's tracer."""
    return run(sent, answer, extra={"invocation_params": {"tools": list(tools), **params}})


def span(**attributes):
    """A span of OpenTelemetry."""
    return {
        "name": "chat",
        "context": {"trace_id": "0x1", "span_id": "0x2"},
        "status": {"status_code": "OK"},
        "attributes": {key.replace("__", "."): value for key, value in attributes.items()},
    }


def ai(content="", kind="AIMessage", **fields):
    return constructor(kind, content=content, type="ai", **fields)


def chat(answer, **inputs):
    return wrapped(
        {"messages": WIRE_SENT, "model": "m", **inputs}, {"choices": [{"message": answer}]}
    )


RESULT = constructor("ToolMessage", content="Room 7", type="tool", tool_call_id="call_5")
TOOL_USE = {"type": "tool_use", "id": "call_5", "name": "find_room", "input": {"beds": 2}}
STREAMED_USE = {**TOOL_USE, "input": {}, "partial_json": '{"beds": 2}', "index": 1}
THINKING = {"type": "thinking", "thinking": "Two beds.", "signature": "xyz"}
SAID = {"role": "assistant", "content": "I look.", "tool_calls": WIRE_ANSWER["tool_calls"]}
OTEL_SENT = [
    {"role": "system", "parts": [{"type": "text", "content": INSTRUCTIONS}]},
    {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
]
OTEL_CALL = {"type": "tool_call", "id": "call_5", "name": "find_room", "arguments": {"beds": 2}}

RUNS = {
    "tracer": (traced(ANSWER), CALLING),
    "tracer of 2023": (run(nested=False), CALLING),
    "tracer, JavaScript": (
        traced(
            {
                **constructor("AIMessage", content="", tool_calls=[CALL]),
                "id": ["langchain_core", "messages", "AIMessage"],
            }
        ),
        CALLING,
    ),
    "tracer, result": (traced(ai("Room 7 is free."), [*SENT, ANSWER, RESULT]), TELLING),
    "tracer, API v2": (run(run_type="LLM", status="SUCCESS", project_id="1"), CALLING),
    "Responses by LangChain": (
        traced(
            ai([THOUGHT, ITEM_CALL], tool_calls=[CALL], id="resp_1"),
            reasoning={"effort": "low"},
        ),
        CALLING,
    ),
    "Responses by LangChain, v1": (
        traced(
            ai(
                [
                    {"type": "reasoning", "reasoning": "Two."},
                    {"type": "tool_call", "name": "find_room", "args": {"beds": 2}, "id": "call_5"},
                ],
                tool_calls=[CALL],
                id="resp_1",
            )
        ),
        CALLING,
    ),
    "Anthropic by LangChain": (
        traced(
            ai([THINKING, {"type": "text", "text": "I look."}, TOOL_USE], tool_calls=[CALL]),
            tools=[ANTHROPIC_TOOL],
            _type="anthropic-chat",
        ),
        {"messages": [*WIRE_SENT, SAID], "tools": [TOOL]},
    ),
    "Anthropic by LangChain, streamed": (
        traced(
            ai(
                [{"type": "text", "text": "I look.", "index": 0}, STREAMED_USE],
                "AIMessageChunk",
                tool_calls=[CALL],
            ),
            tools=[ANTHROPIC_TOOL],
            _type="anthropic-chat",
        ),
        {"messages": [*WIRE_SENT, SAID], "tools": [TOOL]},
    ),
    "wrap_openai": (chat(ASKED, tools=[TOOL]), CALLING),
    "wrap_openai, streamed": (
        chat(
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"index": 0, **WIRE_ANSWER["tool_calls"][0]}],
            },
            tools=[TOOL],
            stream=True,
        ),
        CALLING,
    ),
    "wrap_openai, Responses": (
        wrapped(
            {"input": QUESTION, "instructions": INSTRUCTIONS, "tools": [FLAT_TOOL]},
            {"output": [THOUGHT, ITEM_CALL], "parallel_tool_calls": True},
        ),
        CALLING,
    ),
    "wrap_openai, Responses with items": (
        wrapped({"input": ITEMS, "tools": [FLAT_TOOL]}, {"output": [ITEM_TOLD]}),
        TELLING,
    ),
    "openai-agents": (
        wrapped(
            {"input": ITEMS[1:], "instructions": INSTRUCTIONS},
            {"output": [ITEM_TOLD]},
            invocation_params={"tools": [FLAT_TOOL], "parallel_tool_calls": True},
        ),
        TELLING,
    ),
    "openai-agents, chat": (wrapped({"input": WIRE_SENT}, TOLD), TALKING),
    "wrap_anthropic": (
        wrapped(
            {"messages": WIRE_SENT, "tools": [ANTHROPIC_TOOL], "model": "claude"},
            {**SAID, "stop_reason": "tool_use"},
            metadata={"ls_provider": "anthropic"},
        ),
        {"messages": [*WIRE_SENT, SAID], "tools": [TOOL]},
    ),
    "wrap_anthropic, result": (
        wrapped(
            {
                "messages": [
                    *WIRE_SENT,
                    {"role": "assistant", "content": [TOOL_USE]},
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "call_5", "content": "Room 7"}
                        ],
                    },
                ],
                "tools": [ANTHROPIC_TOOL],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Room 7 is free."}]},
            metadata={"ls_provider": "anthropic"},
        ),
        TELLING,
    ),
    "traceable, choices": (chat(TOLD), TALKING),
    "traceable, message": (wrapped({"messages": WIRE_SENT}, {"message": TOLD}), TALKING),
    "traceable, role": (wrapped({"messages": WIRE_SENT}, TOLD), TALKING),
    "traceable, pair": (
        wrapped({"messages": WIRE_SENT}, {"output": ["assistant", "Room 7 is free."]}),
        TALKING,
    ),
    "traceable, messages": (
        wrapped({"messages": WIRE_SENT}, {"messages": [*WIRE_SENT, TOLD]}),
        TALKING,
    ),
    "traceable, text": (wrapped({"messages": WIRE_SENT}, {"output": TOLD["content"]}), TALKING),
    "completion by LangChain": (
        wrapped({"prompts": [QUESTION]}, {"generations": [[{"text": TOLD["content"]}]]}),
        {"prompt": QUESTION, "completion": TOLD["content"]},
    ),
    "completion by wrap_openai": (
        wrapped({"prompt": QUESTION, "model": "m"}, {"choices": [{"text": TOLD["content"]}]}),
        {"prompt": QUESTION, "completion": TOLD["content"]},
    ),
    "OTel, langsmith": (
        span(
            gen_ai__prompt=json.dumps({"messages": [SENT]}),
            gen_ai__completion=json.dumps({"generations": [[{"message": ANSWER}]]}),
            gen_ai__tool__definitions=json.dumps([TOOL]),
            langsmith__span__kind="llm",
        ),
        CALLING,
    ),
    "OTel, conventions": (
        span(
            gen_ai__operation__name="chat",
            gen_ai__input__messages=json.dumps(OTEL_SENT),
            gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": [OTEL_CALL]}]),
            gen_ai__tool__definitions=json.dumps([FLAT_TOOL]),
        ),
        CALLING,
    ),
    "OTel, numbered": (
        span(
            gen_ai__prompt__0__role="system",
            gen_ai__prompt__0__content=INSTRUCTIONS,
            gen_ai__prompt__1__role="user",
            gen_ai__prompt__1__content=QUESTION,
            gen_ai__completion__0__role="assistant",
            gen_ai__completion__0__tool_calls__0__id="call_5",
            gen_ai__completion__0__tool_calls__0__name="find_room",
            gen_ai__completion__0__tool_calls__0__arguments='{"beds": 2}',
            llm__request__functions__0__name="find_room",
            llm__request__functions__0__description="Find a room.",
            llm__request__functions__0__parameters=json.dumps(SCHEMA),
        ),
        CALLING,
    ),
}
"""Name of the dialect -> the run, and the line of a training file that it makes."""
