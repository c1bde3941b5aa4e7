"""What the corpus of broken examples is made of."""

from dataclasses import dataclass
from typing import Any

SYSTEM = {"role": "system", "content": "You run a small hotel's front desk."}
USER = {"role": "user", "content": "Is a double room free tonight?"}
ANSWER = {"role": "assistant", "content": "Yes, one on the second floor."}
LEGACY = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": '{"free": 1}'}
TOOL = {
    "type": "function",
    "function": {
        "name": "find_room",
        "description": "Find a free room.",
        "parameters": {
            "type": "object",
            "properties": {
                "beds": {"type": "integer", "minimum": 1},
                "view": {"enum": ["sea", "yard"]},
            },
            "required": ["beds"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Broken:
    """An example that breaks one rule.

    Attributes:
        name: What is wrong.
        code: The rule.
        index: The message at fault.
        example: The example; bytes are a whole line.
        rules: The provider whose rule it is.
        severity: What the rule makes of it there.
        fixed: Whether it has a safe fix.
    """

    name: str
    code: str
    index: int | None
    example: Any
    rules: str = "openai"
    severity: str = "error"
    fixed: bool = False


def call(arguments='{"beds": 2}', name="find_room", call_id="call_1", **more):
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function} | more


def calling(*calls, **more):
    return {"role": "assistant", "content": None, "tool_calls": list(calls)} | more


def said(**changes):
    """The user's message with some of it changed."""
    return USER | changes


def chat(*messages, **settings):
    return {"messages": list(messages), **settings}


def agent(*messages, **settings):
    """A chat with a tool."""
    return {"messages": list(messages), "tools": [TOOL], **settings}


def offering(*tools, **settings):
    """A good chat with other tools."""
    return {"messages": [USER, ANSWER], "tools": list(tools), **settings}


def defined(**changes):
    """The tool with its function changed."""
    return {"type": "function", "function": TOOL["function"] | changes}


def picture(url="https://example.com/room.png", **more):
    return {"type": "image_url", "image_url": {"url": url} | more}


def shown(*parts):
    """A user who shows something."""
    return {"role": "user", "content": [{"type": "text", "text": "Which room?"}, *parts]}
