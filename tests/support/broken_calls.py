"""Broken examples: what is called, with which arguments, and what it answers."""

import json

from support.broken import (
    ANSWER,
    LEGACY,
    RESULT,
    TOOL,
    USER,
    Broken,
    agent,
    call,
    calling,
    chat,
    defined,
)

WRONG = call('{"beds": "two"}')

CALLS = [
    Broken(
        "arguments that don't parse",
        "invalid_arguments",
        1,
        agent(USER, calling(call("{beds: 2}"))),
    ),
    Broken("arguments that are a list", "invalid_arguments", 1, agent(USER, calling(call("[2]")))),
    Broken(
        "arguments that are an object",
        "invalid_arguments",
        1,
        agent(USER, calling(call({"beds": 2}))),
    ),
    Broken(
        "arguments with NaN", "invalid_arguments", 1, agent(USER, calling(call('{"beds": NaN}')))
    ),
    Broken(
        "arguments without end", "invalid_arguments", 1, agent(USER, calling(call("[" * 100_000)))
    ),
    Broken(
        "no arguments",
        "invalid_arguments",
        1,
        chat(USER, calling(call("", name="now")), tools=[defined(name="now", parameters=None)]),
        fixed=True,
    ),
    Broken(
        "broken arguments in history",
        "invalid_arguments",
        1,
        agent(USER, calling(call("{"), weight=0), RESULT, ANSWER),
    ),
    Broken("a wrong type", "arguments_against_schema", 1, agent(USER, calling(WRONG))),
    Broken("a missing argument", "arguments_against_schema", 1, agent(USER, calling(call("{}")))),
    Broken(
        "an argument too many",
        "arguments_against_schema",
        1,
        agent(USER, calling(call('{"beds": 1, "x": 1}'))),
    ),
    Broken(
        "a value not on the list",
        "arguments_against_schema",
        1,
        agent(USER, calling(call(json.dumps({"beds": 1, "view": "wall"})))),
    ),
    Broken(
        "a wrong type beside another answer",
        "arguments_against_schema",
        1,
        agent(USER, calling(WRONG), RESULT, ANSWER),
        fixed=True,
    ),
    Broken(
        "a wrong type in history",
        "arguments_against_schema",
        1,
        agent(USER, calling(WRONG, weight=0), RESULT, ANSWER),
        severity="warning",
    ),
    Broken(
        "a legacy wrong type",
        "arguments_against_schema",
        1,
        chat(
            USER,
            {**LEGACY, "function_call": {"name": "find_room", "arguments": "{}"}},
            functions=[TOOL["function"]],
        ),
    ),
    Broken("a tool made up", "tool_not_offered", 1, agent(USER, calling(call(name="book")))),
    Broken(
        "a tool made up in history",
        "tool_not_offered",
        1,
        agent(USER, calling(call(name="book"), weight=0), RESULT, ANSWER),
        severity="warning",
    ),
    Broken(
        "a name with a space around",
        "invalid_call_name",
        1,
        agent(USER, calling(call(name="find_room "))),
        fixed=True,
    ),
    Broken(
        "a legacy function made up",
        "tool_not_offered",
        1,
        chat(USER, LEGACY, functions=[{"name": "g"}]),
    ),
    Broken(
        "a call, but no tools",
        "no_tools_offered",
        1,
        chat(USER, calling(call())),
        severity="warning",
    ),
    Broken(
        "a call's name with a dot", "invalid_call_name", 1, chat(USER, calling(call(name="a.b")))
    ),
    Broken(
        "two calls of one id",
        "duplicate_call_id",
        1,
        agent(USER, calling(call(), call()), RESULT, RESULT, ANSWER),
        fixed=True,
    ),
    Broken(
        "an id used again",
        "reused_call_id",
        3,
        agent(USER, calling(call()), RESULT, calling(call()), RESULT, ANSWER),
        severity="warning",
    ),
    Broken(
        "a call without a result", "unanswered_tool_call", 1, agent(USER, calling(call()), ANSWER)
    ),
    Broken(
        "one result of two",
        "unanswered_tool_call",
        1,
        agent(USER, calling(call(), call(call_id="call_2")), RESULT, ANSWER),
    ),
    Broken(
        "a result at the end",
        "no_final_answer",
        None,
        agent(USER, calling(call()), RESULT),
        fixed=True,
    ),
    Broken("a result of no call", "unasked_tool_result", 1, agent(USER, RESULT, ANSWER)),
    Broken(
        "a result too many",
        "unasked_tool_result",
        3,
        agent(USER, calling(call()), RESULT, RESULT, ANSWER),
    ),
    Broken(
        "a result of another call",
        "unasked_tool_result",
        2,
        agent(USER, calling(call()), {**RESULT, "tool_call_id": "call_9"}, ANSWER),
    ),
    Broken(
        "a result without an id",
        "no_tool_call_id",
        2,
        agent(USER, calling(call()), {**RESULT, "tool_call_id": None}, ANSWER),
    ),
    Broken(
        "a legacy result without a name",
        "no_function_name",
        2,
        chat(USER, LEGACY, {"role": "function", "content": "5"}, ANSWER, functions=[{"name": "f"}]),
    ),
    Broken(
        "a call at the end",
        "call_last",
        1,
        agent(USER, calling(call())),
        rules="nebius",
        severity="warning",
    ),
]
