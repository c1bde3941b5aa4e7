"""Runs in the shapes that LangSmith holds, made by hand."""

import uuid

TOOL = {
    "type": "function",
    "function": {
        "name": "find_room",
        "description": "Find a room.",
        "parameters": {"type": "object", "properties": {"beds": {"type": "integer"}}},
    },
}
FUNCTION = TOOL["function"]
CALL = {"name": "find_room", "args": {"beds": 2}, "id": "call_5", "type": "tool_call"}
WIRE_CALL = {
    "id": "call_5",
    "type": "function",
    "function": {"name": "find_room", "arguments": '{"beds": 2}'},
}


def constructor(name, /, **kwargs):
    """A message as LangChain's tracer writes it."""
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


SENT = [
    constructor("SystemMessage", content="You run a hotel.", type="system"),
    constructor("HumanMessage", content="A room with two beds?", type="human"),
]
WIRE_SENT = [
    {"role": "system", "content": "You run a hotel."},
    {"role": "user", "content": "A room with two beds?"},
]
ANSWER = constructor("AIMessage", content="", type="ai", tool_calls=[CALL], invalid_tool_calls=[])
WIRE_ANSWER = {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}


def run(sent=None, answer=None, *, nested=True, **changes):
    """An llm run; `nested` is today's shape, the other is that of 2023."""
    messages = SENT if sent is None else sent
    generations = [{"text": "", "message": ANSWER if answer is None else answer}]
    run_id = str(uuid.uuid4())
    return {
        "id": run_id,
        "trace_id": run_id,
        "name": "ChatOpenAI",
        "run_type": "llm",
        "status": "success",
        "error": None,
        "start_time": "2026-11-01T10:00:00+00:00",
        "inputs": {"messages": [messages] if nested else messages},
        "outputs": {"generations": [generations] if nested else generations},
        "extra": {"invocation_params": {"tools": [TOOL]}},
    } | changes
