"""Broken examples: tools, calls, arguments and results."""

from support.broken import (
    ANSWER,
    LEGACY,
    TOOL,
    USER,
    Broken,
    agent,
    call,
    calling,
    chat,
    defined,
    offering,
    said,
)

UNTYPED = {"function": TOOL["function"]}
DRAFT = {"type": "object", "properties": {"beds": {"$ref": "#/$defs/beds"}}}

TOOLS = [
    Broken("tools are an object", "invalid_tools", None, chat(USER, ANSWER, tools={})),
    Broken("functions are text", "invalid_functions", None, chat(USER, ANSWER, functions="f")),
    Broken("a tool that is text", "invalid_tools", None, offering("find_room")),
    Broken("a tool without a name", "invalid_tools", None, offering(defined(name=None))),
    Broken("a provider's own tool", "invalid_tools", None, offering({"type": "web_search"})),
    Broken(
        "a description that is a list", "invalid_tools", None, offering(defined(description=[]))
    ),
    Broken("strict in words", "invalid_tools", None, offering(defined(strict="yes"))),
    Broken("a tool without its type", "untyped_tool", None, offering(UNTYPED), fixed=True),
    Broken("no tool in the list", "empty_tools", None, chat(USER, ANSWER, tools=[]), fixed=True),
    Broken(
        "no function in the list",
        "empty_functions",
        None,
        chat(USER, ANSWER, functions=[]),
        fixed=True,
    ),
    Broken(
        "functions, where only tools are taken",
        "functions",
        None,
        chat(USER, ANSWER, functions=[TOOL["function"]]),
        rules="together",
    ),
    Broken(
        "too many tools",
        "too_many_tools",
        None,
        offering(*[defined(name=f"f{number}") for number in range(129)]),
    ),
    Broken(
        "too many functions",
        "too_many_functions",
        None,
        chat(USER, ANSWER, functions=[{"name": f"f{number}"} for number in range(129)]),
    ),
    Broken("a tool's name with a dot", "invalid_tool_name", None, offering(defined(name="a.b"))),
    Broken(
        "a tool's name without end", "invalid_tool_name", None, offering(defined(name="a" * 65))
    ),
    Broken("an empty name", "invalid_tool_name", None, offering(defined(name=""))),
    Broken(
        "two tools of one name",
        "duplicate_tool_name",
        None,
        offering(TOOL, TOOL),
        severity="warning",
    ),
    Broken(
        "a schema that is a list", "invalid_tool_schema", None, offering(defined(parameters=[]))
    ),
    Broken(
        "a type that is none",
        "invalid_tool_schema",
        None,
        offering(defined(parameters={"type": "any"})),
    ),
    Broken(
        "required is true",
        "invalid_tool_schema",
        None,
        offering(defined(parameters={"type": "object", "required": True})),
    ),
    Broken(
        "a schema that refers to nothing",
        "unchecked_tool_schema",
        None,
        offering(defined(parameters=DRAFT)),
        severity="warning",
    ),
    Broken(
        "a schema far away",
        "unchecked_tool_schema",
        None,
        offering(defined(parameters={"$ref": "https://example.com/room"})),
        severity="warning",
    ),
    Broken(
        "parallel calls in words",
        "invalid_parallel_tool_calls",
        None,
        offering(TOOL, parallel_tool_calls="no"),
    ),
    Broken(
        "parallel calls of nothing",
        "parallel_without_tools",
        None,
        chat(USER, ANSWER, parallel_tool_calls=False),
        fixed=True,
    ),
    Broken(
        "a user who calls", "calls_outside_assistant", 0, agent(said(tool_calls=[call()]), ANSWER)
    ),
    Broken(
        "calls that are no list", "invalid_tool_calls", 1, agent(USER, {**ANSWER, "tool_calls": {}})
    ),
    Broken(
        "a call without an id", "invalid_tool_calls", 1, agent(USER, calling(call(call_id=None)))
    ),
    Broken(
        "a call without a function",
        "invalid_tool_calls",
        1,
        agent(USER, calling({"id": "1", "type": "function"})),
    ),
    Broken("a call without a name", "invalid_tool_calls", 1, agent(USER, calling(call(name=None)))),
    Broken(
        "a call of another type", "invalid_tool_calls", 1, agent(USER, calling(call(type="custom")))
    ),
    Broken(
        "a legacy call without a name",
        "invalid_tool_calls",
        1,
        chat(USER, {**LEGACY, "function_call": {}}, functions=[{"name": "f"}]),
    ),
    Broken(
        "a call without its type",
        "untyped_call",
        1,
        agent(USER, calling(call(type=None))),
        fixed=True,
    ),
    Broken(
        "no call in the list",
        "empty_tool_calls",
        1,
        agent(USER, {**ANSWER, "tool_calls": []}),
        fixed=True,
    ),
]
