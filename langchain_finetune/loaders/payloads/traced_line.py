"""The training line of a run of the usual shape, straight from its JSON.

Most runs are of one shape: what LangChain's tracer for Python writes of a chat with one answer.
For these, `traced_line` makes the very bytes that `read_run`, `supervised_example` and
`encode_line` make, in a sixth of their time. It takes a run only where it is certain of that and
where the example breaks no rule of `checks`. For every other it returns None: `read_run` reads
all shapes, and says why it skips a run.
"""

import json
import re
from collections.abc import Callable, Iterable
from json import encoder
from typing import Any

import msgspec
import orjson

from langchain_finetune.content import refuse_value
from langchain_finetune.convert.checks import check_example
from langchain_finetune.loaders.payloads.data import unescaped
from langchain_finetune.loaders.payloads.settings import read_tool
from langchain_finetune.loaders.payloads.traced_shape import (
    Answer,
    AnswerFields,
    Message,
    TracedRun,
    decode,
)
from langchain_finetune.messages import WireMessage, same_json
from langchain_finetune.sessions import EncodedChat

_O_SERIES = re.compile(r"o\d")
_ROLES = {
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "HumanMessage": "user",
    "SystemMessage": "system",
    "ToolMessage": "tool",
}
_ESCAPES = ('"lc"', "__lc_escaped__")
_ANY_CHAT = {"messages": [{"role": "assistant", "content": "Hello"}]}
_TOOLS_KEPT = 32
"""How many lists of tools are remembered; an app has few."""

_DEPTH = 10
"""More levels than there are around the tools of a run."""


def traced_line(data: bytes) -> EncodedChat | None:
    """Return the chat of a run as a training line, or None where `read_run` has to read it.

    Args:
        data: The run's JSON.

    Example:
        >>> traced_line(b'{"id": "r-1", "inputs": {}}') is None
        True
    """
    try:
        if not data.isascii():
            data.decode()  # What is passed over must be UTF-8, too.
        run = decode(data)
        line = orjson.dumps(_example(run), option=orjson.OPT_APPEND_NEWLINE)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, _Unusual):
        return None
    source = {"run_id": run.id}
    if run.trace_id:
        source["trace_id"] = run.trace_id
    return EncodedChat(run.id, line, source)


class _Unusual(Exception):  # noqa: N818 - no error: it never leaves this module
    """The run may be of another shape, or break a rule."""


def _example(run: TracedRun) -> dict[str, Any]:
    [messages], [[generation]] = run.inputs.messages, run.outputs.generations
    params, answer = run.extra.invocation_params, generation.message
    if params.kind == "anthropic-chat" or (answer.kwargs.id or "").startswith("resp_"):
        raise _Unusual
    wire = _wire([*messages, answer])
    if answer.kwargs.tool_call_chunks:
        _keep_written(wire[-1], answer.kwargs)
    if params.kind == "openai-chat" and _O_SERIES.match(params.model or params.model_name or ""):
        for message in wire:
            if message["role"] == "system":
                message["role"] = "developer"
    example: dict[str, Any] = {"messages": wire}
    tools = _tools(bytes(params.tools))
    if tools is not None:
        example["tools"] = tools
        if params.parallel_tool_calls is not None:
            example["parallel_tool_calls"] = params.parallel_tool_calls
    return example


def _wire(messages: list[Message | Answer]) -> list[WireMessage]:
    """Return the messages in wire form; the results of calls follow them.

    All in one loop: calls of functions would take a third of the time.
    """
    wire: list[WireMessage] = []
    waiting: set[str | None] = set()
    for message in messages:
        fields = message.kwargs
        role = _ROLES[message.id[3]]
        if role == "tool":
            call_id = fields.tool_call_id
            if call_id not in waiting:
                raise _Unusual
            waiting.remove(call_id)
            wire.append({"role": "tool", "content": fields.content, "tool_call_id": call_id})
            continue
        if waiting:
            raise _Unusual
        said: WireMessage = {"role": role, "content": fields.content}
        if fields.name:
            said["name"] = fields.name
        if fields.tool_calls and role == "assistant":
            said["content"] = fields.content or None
            calls = said["tool_calls"] = []
            for call in fields.tool_calls:
                text = "".join(_texts(call.args, 0))
                if "lc" in call.args or (text.find("{", 1) > 0 and _has_escapes(text)):
                    raise _Unusual
                function = {"name": call.name, "arguments": text}
                calls.append({"id": call.id, "type": "function", "function": function})
                waiting.add(call.id)
            if len(waiting) < len(calls):
                raise _Unusual
        wire.append(said)
    return wire


def _has_escapes(text: str) -> bool:
    return any(mark in text for mark in _ESCAPES)


def _keep_written(answer: WireMessage, fields: AnswerFields) -> None:
    """Put the arguments as the model wrote them in place of those written anew."""
    written = {chunk.id: chunk.args for chunk in fields.tool_call_chunks if chunk.id}
    for call, made in zip(fields.tool_calls, answer.get("tool_calls", ()), strict=True):
        text = written.get(call.id)
        if same_json(text, call.args):
            made["function"]["arguments"] = text


def _tools(data: bytes) -> orjson.Fragment | None:
    """Return a request's tools as they stand in a line, or None where there are none."""
    # Found by their length: a hash of all their bytes would take longer than to compare them.
    known = _known_tools.get(len(data))
    if known is None or known[0] != data:
        if len(_known_tools) >= _TOOLS_KEPT:
            _known_tools.clear()
        known = _known_tools[len(data)] = data, _encoded_tools(data)
    if known[1] is _UNUSUAL_TOOLS:
        raise _Unusual
    return known[1]


def _encoded_tools(data: bytes) -> orjson.Fragment | None:
    try:
        tools = unescaped(orjson.loads(data), _DEPTH)
        if not tools:
            return None
        example = {**_ANY_CHAT, "tools": [read_tool(tool) for tool in tools]}
        text = orjson.dumps(example["tools"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return _UNUSUAL_TOOLS
    if next(check_example(example), None) is not None:
        return _UNUSUAL_TOOLS
    return orjson.Fragment(text)


def _text_maker() -> Callable[[Any, int], Iterable[str]]:
    """Return what `json.dumps` makes of data, in pieces.

    `json.dumps` makes its encoder anew for each call, which costs more than the call.
    """
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:  # Another Python than CPython.
        return lambda value, _: json.dumps(value, ensure_ascii=False, allow_nan=False)
    quote = encoder.encode_basestring
    # No circles are looked for, and no indent, sorting, skipping or NaN is wanted.
    return make(None, refuse_value, quote, None, ": ", ", ", *[False] * 3)  # type: ignore[no-any-return]


_texts = _text_maker()
_UNUSUAL_TOOLS = orjson.Fragment(b"")
_known_tools: dict[int, tuple[bytes, orjson.Fragment | None]] = {}
