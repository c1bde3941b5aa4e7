"""A chat and its text: the same text that the tokenizer's chat template renders.

Jinja is too slow for millions of turns, so the template is written a second time here.
`tests/local/test_nano.py` holds both to the same output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

TOOLS_HEAD = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query."
    "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and "
    'arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": '
    '<function-name>, "arguments": <args-json-object>}\n</tool_call>'
)

Json = dict[str, Any]


@dataclass
class Chat:
    """One training chat.

    Attributes:
        messages: Messages in the shape of OpenAI's chat completions, arguments as objects.
        tools: Tool definitions, as `bind_tools` would send them.
        untrained: Indexes of assistant messages that carry no loss at all.
        decision_hidden: The first token of a tool call carries no loss. The chat then
            teaches how a call is written, not whether to call.
    """

    messages: list[Json]
    tools: list[Json] = field(default_factory=list)
    untrained: set[int] = field(default_factory=set)
    decision_hidden: bool = False


def dumps(value: object) -> str:
    """Write JSON as the template's `tojson` does."""
    return json.dumps(value, ensure_ascii=False)


def call_message(*calls: tuple[str, Json]) -> Json:
    """Build the assistant message that calls tools."""
    functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": f} for f in functions],
    }


def answer_text(message: Json) -> str:
    """Render what the model has to write for one assistant message."""
    parts = [str(message["content"])] if message.get("content") else []
    for call in message.get("tool_calls", ()):
        function = call["function"]
        body = f'{{"name": "{function["name"]}", "arguments": {dumps(function["arguments"])}}}'
        parts.append(f"<tool_call>\n{body}\n</tool_call>")
    return "\n".join(parts)


def segments(chat: Chat) -> list[tuple[str, str]]:
    """Cut the rendered chat into pieces of text with a mark.

    Returns:
        Pairs of text and mark. The mark is `context` (no loss), `answer` (loss) or
        `call` (loss from the second token on). An answer ends with `<|im_end|>`.
    """
    pieces: list[tuple[str, str]] = []
    messages = chat.messages
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    if system is not None or chat.tools:
        text = "<|im_start|>system\n" + (system or "")
        if chat.tools:
            text += TOOLS_HEAD + "".join("\n" + dumps(t) for t in chat.tools) + TOOLS_TAIL
        pieces.append((text + "<|im_end|>\n", "context"))
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "system":
            continue
        if role == "assistant":
            mark = "answer"
            if index in chat.untrained:
                mark = "context"
            elif message.get("tool_calls") and chat.decision_hidden:
                mark = "call"
            pieces.append(("<|im_start|>assistant\n", "context"))
            pieces.append((answer_text(message) + "<|im_end|>", mark))
            pieces.append(("\n", "context"))
            continue
        body = str(message["content"])
        if role == "tool":
            body = f"<tool_response>\n{body}\n</tool_response>"
        pieces.append((f"<|im_start|>user\n{body}<|im_end|>\n", "context"))
    return pieces


def text(chat: Chat) -> str:
    """Render the whole chat."""
    return "".join(piece for piece, _ in segments(chat))
