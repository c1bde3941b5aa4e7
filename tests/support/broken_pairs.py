"""Broken preferences, prompts and completions: at least one line for each rule."""

USER = {"role": "user", "content": "Hi"}
GOOD = {"role": "assistant", "content": "Hello"}
BAD = {"role": "assistant", "content": "What?"}
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def pair(messages=(USER,), better=GOOD, worse=BAD, **asked):
    return {
        "input": {"messages": list(messages), **asked},
        "preferred_output": [better],
        "non_preferred_output": [worse],
    }


BROKEN_PAIRS = [
    ([], "not_an_object", None),
    ({"input": []}, "invalid_input", None),
    (pair([]), "no_messages", None),
    ({**pair(), "preferred_output": GOOD}, "invalid_output", None),
    ({**pair(), "non_preferred_output": []}, "invalid_output", None),
    ({**pair(), "preferred_output": [GOOD, GOOD]}, "invalid_output", None),
    ({**pair(), "preferred_output": [USER]}, "invalid_output", None),
    (pair(better=BAD), "same_outputs", None),
    (pair(functions=[{"name": "f"}]), "unknown_input_field", None),
    (pair([{"role": "critic", "content": ""}]), "unknown_role", 0),
    (pair([USER, "Hi"]), "not_a_message", 1),
    (pair([USER, CALLS]), "unanswered_tool_call", 1),
    (pair(worse={"role": "assistant", "content": None}), "no_content", 1),
    (pair([USER, GOOD, USER], better={"role": "assistant"}), "no_content", 3),
    (pair([{"role": "user", "content": [IMAGE]}]), "image_in_preference", 0),
    (pair(better={"role": "assistant", "content": [IMAGE]}), "image_in_preference", 1),
    (pair([{"role": "user", "content": [{"type": "file", "file": {}}]}]), "not_text", 0),
    (pair([{"role": "user", "content": ["Hi"]}]), "not_text", 0),
    (pair(tools="f"), "invalid_tools", None),
]
"""The line, the rule that it breaks, and the message at fault."""

BROKEN_UNPAIRED = [
    ([], "not_an_object"),
    ({"messages": [USER, GOOD]}, "no_label"),
    ({"messages": [USER, GOOD], "label": 1}, "no_label"),
    ({"messages": [], "label": True}, "no_messages"),
    ({"messages": [USER], "label": True}, "no_assistant_message"),
]

BROKEN_COMPLETIONS = [
    ([], "not_an_object"),
    ({"prompt": "Once upon", "completion": ""}, "no_completion"),
    ({"prompt": "Once upon"}, "no_completion"),
    ({"prompt": ["Once"], "completion": " a time"}, "no_prompt"),
    ({"completion": " a time"}, "no_prompt"),
    ({"prompt": "Once <|endoftext|>", "completion": " a time"}, "special_token"),
]
"""The line, and the rule that it breaks."""
