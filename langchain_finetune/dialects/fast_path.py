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
from typing import Any, NamedTuple

import orjson
from msgspec import UNSET, Raw

from langchain_finetune.checks import OPENAI, check_example
from langchain_finetune.checks.finding import Check, Tangled, Toolbox
from langchain_finetune.checks.tools import read_tools
from langchain_finetune.content import refuse_value
from langchain_finetune.dialects.fast_path_types import (
    NOT_SAID,
    Answer,
    AnswerFields,
    Options,
    Params,
    TracedMessage,
    TracedRun,
    decode,
)
from langchain_finetune.dialects.request_settings import read_tool
from langchain_finetune.dialects.untrusted import unescaped
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

_LONGEST = 1 << 20
"""Bytes of a line that no provider finds too long."""

_BEFORE_SYSTEM = frozenset({"", "system"})
_MESSAGE_NAME = re.compile(OPENAI.message_name).fullmatch

Fits = dict[str, Callable[[Any], bool]]
"""Tells of a tool's name whether arguments fit its schema."""

FIT_FOR = (OPENAI.name,)
"""Whose rules are known to be kept, and with them those of every profile within OpenAI's."""


def traced_line(data: bytes) -> EncodedChat | None:
    """Return the chat of a run as a training line, or None where `read_run` has to read it.

    Args:
        data: The run's JSON.

    Example:
        >>> traced_line(b'{"id": "r-1", "inputs": {}}') is None
        True
    """
    try:
        run = decode(data)
        # What is passed over must be UTF-8, too. The parser has brought the bytes near: to look at
        # them first takes three times as long.
        if not data.isascii():
            data.decode()
        line = orjson.dumps(_example(run), option=orjson.OPT_APPEND_NEWLINE)
    except (KeyError, RecursionError, ValueError, _Unusual):
        return None
    # All control tokens have `<|`; a single character is found much faster.
    if len(line) > _LONGEST or (b"<" in line and b"<|" in line):
        return None
    source = {"run_id": run.id}
    if run.trace_id:
        source["trace_id"] = run.trace_id
    thread = run.extra.metadata
    thread_id = run.thread_id or (
        thread and (thread.session_id or thread.thread_id or thread.conversation_id)
    )
    if thread_id:
        source["thread_id"] = thread_id
    return EncodedChat(run.id, line, source, FIT_FOR)


class _Unusual(Exception):  # noqa: N818 - no error: it never leaves this module
    """The run may be of another shape, or break a rule."""


def _example(run: TracedRun) -> dict[str, Any]:
    messages, answer = run.inputs.messages[0], run.outputs.generations[0][0].message
    params, options = run.extra.invocation_params, run.extra.options
    if params.kind == "anthropic-chat" or (answer.kwargs.id or "")[:5] == "resp_":
        raise _Unusual
    if options is not None and _shows_through(options, params):
        raise _Unusual
    tools = _tools(params.tools)
    wire = _wire([*messages, answer], tools.fits)
    if answer.kwargs.tool_call_chunks:
        _keep_written(wire[-1], answer.kwargs, tools.fits)
    if params.kind == "openai-chat" and _is_o_series(params.model or params.model_name or ""):
        for message in wire:
            if message["role"] == "system":
                message["role"] = "developer"
    example: dict[str, Any] = {"messages": wire}
    if tools.line is not None:
        example["tools"] = tools.line
        if isinstance(params.parallel_tool_calls, bool):
            example["parallel_tool_calls"] = params.parallel_tool_calls
    return example


def _is_o_series(model: str) -> bool:
    # To look at the first letter is several times as fast.
    return model[:1] == "o" and _O_SERIES.match(model) is not None


def _shows_through(options: Options, params: Params) -> bool:
    """Tell whether options count, as those fields do that are missing in the parameters."""
    return (
        (options.tools is not NOT_SAID and params.tools is NOT_SAID)
        or (options.tool_choice is not NOT_SAID and params.tool_choice is UNSET)
        or (options.parallel_tool_calls is not NOT_SAID and params.parallel_tool_calls is UNSET)
    )


def _wire(  # noqa: C901, PLR0912 - one loop: calls of functions would take a third of the time
    messages: list[TracedMessage | Answer], fits: Fits
) -> list[WireMessage]:
    """Return the messages in wire form; the results of calls follow them.

    Raises:
        KeyError: A tool is not offered, or can't be judged here.
        ValueError: A result answers no call.
    """
    wire: list[WireMessage] = []
    used: list[str | None] = []
    waiting: list[str | None] = []
    before = ""
    for message in messages:
        fields = message.kwargs
        content = fields.content
        if "\\" in content and "\\u00" in content:
            raise _Unusual  # It may say a control token with escapes.
        role = _ROLES[message.id[3]]
        if role == "tool":
            call_id = fields.tool_call_id
            waiting.remove(call_id)
            wire.append({"role": role, "content": content, "tool_call_id": call_id})
            before = role
            continue
        if waiting:
            raise _Unusual
        said: WireMessage = {"role": role, "content": content}
        wire.append(said)
        if speaker := fields.name:
            if not _MESSAGE_NAME(speaker):
                raise _Unusual
            said["name"] = speaker
        if role == "assistant":
            if before == role:
                raise _Unusual
            if fields.tool_calls:
                said["content"] = content or None
                calls = said["tool_calls"] = []
                for call in fields.tool_calls:
                    call_id, name, args = call.id, call.name, call.args
                    text = "".join(_texts(args, 0))
                    if (
                        "lc" in args
                        or "\\" in call_id
                        or ("\\" in text and "\\u00" in text)
                        or (text.find("{", 1) > 0 and _has_escapes(text))
                        or not fits[name](args)
                    ):
                        raise _Unusual
                    function = {"name": name, "arguments": text}
                    calls.append({"id": call_id, "type": "function", "function": function})
                    waiting.append(call_id)
                used += waiting
            elif not content or content.isspace():
                raise _Unusual
        elif role == "system" and before not in _BEFORE_SYSTEM:
            raise _Unusual
        before = role
    if len(set(used)) < len(used):
        raise _Unusual
    return wire


def _has_escapes(text: str) -> bool:
    return any(mark in text for mark in _ESCAPES)


def _keep_written(answer: WireMessage, fields: AnswerFields, fits: Fits) -> None:
    """Put the arguments as the model wrote them in place of those written anew."""
    written = {chunk.id: chunk.args for chunk in fields.tool_call_chunks if chunk.id}
    for call, made in zip(fields.tool_calls, answer.get("tool_calls", ()), strict=True):
        text = written.get(call.id)
        if text is not None and same_json(text, call.args):
            # Equal is not the same: Python's True is 1, and 1.0 too.
            if "\\u00" in text or not fits[call.name](orjson.loads(text)):
                raise _Unusual
            made["function"]["arguments"] = text


class _Tools(NamedTuple):
    """Tools as they stand in a line, None where there are none; and what may be called."""

    line: orjson.Fragment | None
    fits: Fits


def _tools(data: Raw) -> _Tools:
    # Found by their length: a hash of all their bytes would take longer than to compare them.
    known = _known_tools.get(len(data))
    if known is None or known[0] != data:
        if len(_known_tools) >= _TOOLS_KEPT:
            _known_tools.clear()
        copied = bytes(data)  # The run's JSON is not kept for them.
        known = _known_tools[len(data)] = Raw(copied), _encoded_tools(copied)
    if known[1] is None:
        raise _Unusual
    return known[1]


def _encoded_tools(data: bytes) -> _Tools | None:
    """Return tools of the usual kind that break no rule, or else None."""
    try:
        tools = unescaped(orjson.loads(data), _DEPTH)
        if not tools:
            return _Tools(None, {})
        example = {**_ANY_CHAT, "tools": [read_tool(tool) for tool in tools]}
        text = orjson.dumps(example["tools"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if check_example(example, OPENAI):
        return None
    box = read_tools(example, Check(OPENAI))
    return _Tools(orjson.Fragment(text), _fits_of(box))


def _fits_of(toolbox: Toolbox) -> Fits:
    """Return what tells whether arguments fit, of the tools where that is quick to tell."""
    fits: Fits = {}
    for name, validators in toolbox.validators.items():
        match validators:
            case (None,):
                fits[name] = _anything_fits
            case (validator,) if validator and not isinstance(validator, Tangled):
                fits[name] = validator.is_valid
            case _:
                pass  # Several, or one that may take too long: the plain path sees to it.
    return fits


def _anything_fits(_: Any) -> bool:
    return True


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
_known_tools: dict[int, tuple[Raw, _Tools | None]] = {}
