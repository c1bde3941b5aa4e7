"""The fast path: the training line of a common run, directly from its JSON.

Most runs have one format: a chat with one answer as written by LangChain's tracer for Python. For
these, `traced_line` returns exactly the bytes that `read_run`, `supervised_example` and
`encode_line` produce, in a sixth of the time, which saves 40% of the CPU time of `prepare`. It
accepts a run only if that is certain and the example meets all rules of `checks`. For any other it
returns None, and `read_run` reads it, which supports all formats and says why it skips a run.
"""

import json
import re
from collections.abc import Callable, Iterable
from json import encoder
from typing import Any, NamedTuple

import orjson
from msgspec import UNSET, Raw

from langchain_finetune.checks import OPENAI, check_example
from langchain_finetune.checks.finding import Check, CostlySchema, Toolbox
from langchain_finetune.checks.tools import read_tools
from langchain_finetune.content import refuse_value
from langchain_finetune.dialects.agent_middleware import MARKS
from langchain_finetune.dialects.fast_path_types import (
    ABSENT,
    Answer,
    AnswerFields,
    Options,
    Params,
    TracedMessage,
    TracedRun,
    decode,
    decode_columns,
)
from langchain_finetune.dialects.tool_definitions import read_tools as definitions
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
_NAMED = ("openai-chat", "azure-openai-chat")
_ESCAPES = ('"lc"', "__lc_escaped__")
_ANY_CHAT = {"messages": [{"role": "assistant", "content": "Hello"}]}
_TOOLS_KEPT = 32
"""Size of the cache of tool lists; an app has few."""

_DEPTH = 10
"""Depth of the tools within a run, rounded up."""

_MAX_BYTES = 1 << 20
"""Size of a line that every provider accepts."""

_BEFORE_SYSTEM = frozenset({"", "system"})
_MESSAGE_NAME = re.compile(OPENAI.message_name).fullmatch

ArgumentChecks = dict[str, Callable[[Any], bool]]
"""By tool name, whether arguments match its schema."""

FIT_FOR = (OPENAI.name,)
"""Profiles whose rules the lines meet; those `within_openai` are met, too."""


def traced_line(data: bytes) -> EncodedChat | None:
    """Return the chat of a run's JSON as a training line, or None if `read_run` must read it.

    Example:
        >>> traced_line(b'{"id": "r-1", "inputs": {}}') is None
        True
    """
    try:
        run = decode(data)
        # Skipped fields must be UTF-8, too. After parsing, the bytes are in the CPU's cache:
        # checking them first takes three times as long.
        if not data.isascii():
            data.decode()
    except (RecursionError, ValueError):
        return None
    return _encoded_chat(run)


RunColumns = dict[str, Any]
"""Fields of a run whose inputs, outputs, extra and feedback are JSON of their own."""


def traced_columns(fields: RunColumns) -> EncodedChat | None:
    """Return the chat of a run as `traced_line` does, from JSON for each of its large fields.

    Example:
        >>> traced_columns({"id": "r-1", "inputs": b'{}', "outputs": None}) is None
        True
    """
    try:
        run = decode_columns(fields)
        for text in fields.values():
            if isinstance(text, bytes) and not text.isascii():
                text.decode()
    except (RecursionError, ValueError):
        return None
    return _encoded_chat(run)


def _encoded_chat(run: TracedRun) -> EncodedChat | None:
    try:
        line = orjson.dumps(_example(run), option=orjson.OPT_APPEND_NEWLINE)
    except (KeyError, RecursionError, ValueError, _NotCommonError):
        return None
    # All control tokens contain `<|`; a single character is found much faster.
    if len(line) > _MAX_BYTES or (b"<" in line and b"<|" in line):
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


class _NotCommonError(Exception):
    """The run may have another format, or violate a rule; never leaves this module."""


def _example(run: TracedRun) -> dict[str, Any]:
    messages, answer = run.inputs.messages[0], run.outputs.generations[0][0].message
    params, options = run.extra.invocation_params, run.extra.options
    if params.kind == "anthropic-chat" or (answer.kwargs.id or "")[:5] == "resp_":
        raise _NotCommonError
    if options is not None and _uses_options(options, params):
        raise _NotCommonError
    tools = _tools(params.tools)
    wire = _wire([*messages, answer], tools.fits, named=params.kind in _NAMED)
    # No API returns a name: agents add theirs to what the tracer writes.
    wire[-1].pop("name", None)
    if answer.kwargs.tool_call_chunks:
        _keep_written(wire[-1], answer.kwargs, tools.fits)
    model = params.model or params.model_name or ""
    # Checking the first letter is several times as fast.
    if params.kind == "openai-chat" and model[:1] == "o" and _O_SERIES.match(model):
        for message in wire:
            if message["role"] == "system":
                message["role"] = "developer"
    example: dict[str, Any] = {"messages": wire}
    if tools.line is not None:
        example["tools"] = tools.line
        if isinstance(params.parallel_tool_calls, bool):
            example["parallel_tool_calls"] = params.parallel_tool_calls
    return example


def _uses_options(options: Options, params: Params) -> bool:
    """Return whether the options set a field that the parameters do not."""
    return (
        (options.tools is not ABSENT and params.tools is ABSENT)
        or (options.tool_choice is not ABSENT and params.tool_choice is UNSET)
        or (options.parallel_tool_calls is not ABSENT and params.parallel_tool_calls is UNSET)
    )


def _wire(  # noqa: C901, PLR0912 - one loop: function calls would take a third of the time
    messages: list[TracedMessage | Answer], fits: ArgumentChecks, *, named: bool
) -> list[WireMessage]:
    """Return the messages in wire form, if the results of calls follow them.

    `named` says whether the API is known to take names of messages.

    Raises:
        KeyError: A tool is not offered, or its schema is not checked here.
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
            raise _NotCommonError  # It may contain an escaped control token.
        role = _ROLES[message.id[3]]
        if role == "tool":
            if content.startswith(MARKS[0]) or MARKS[1] in content:
                raise _NotCommonError  # A person replaced the call.
            call_id = fields.tool_call_id
            waiting.remove(call_id)
            wire.append({"role": role, "content": content, "tool_call_id": call_id})
            before = role
            continue
        if waiting:
            raise _NotCommonError
        made: WireMessage = {"role": role, "content": content}
        wire.append(made)
        if speaker := fields.name:
            if not named or not _MESSAGE_NAME(speaker):
                raise _NotCommonError
            made["name"] = speaker
        if role == "assistant":
            if before == role:
                raise _NotCommonError
            if fields.tool_calls:
                made["content"] = content or None
                calls = made["tool_calls"] = []
                for call in fields.tool_calls:
                    call_id, name, args = call.id, call.name, call.args
                    text = "".join(_texts(args, 0))
                    if (
                        not call_id
                        or "lc" in args
                        or "\\" in call_id
                        or ("\\" in text and "\\u00" in text)
                        or (text.find("{", 1) > 0 and any(mark in text for mark in _ESCAPES))
                        or not fits[name](args)
                    ):
                        raise _NotCommonError
                    function = {"name": name, "arguments": text}
                    calls.append({"id": call_id, "type": "function", "function": function})
                    waiting.append(call_id)
                used += waiting
            elif not content or content.isspace():
                raise _NotCommonError
        elif role == "system" and before not in _BEFORE_SYSTEM:
            raise _NotCommonError
        before = role
    if len(set(used)) < len(used):
        raise _NotCommonError
    return wire


def _keep_written(answer: WireMessage, fields: AnswerFields, fits: ArgumentChecks) -> None:
    """Replace serialized arguments by the text that the model wrote."""
    written = {chunk.id: chunk.args for chunk in fields.tool_call_chunks if chunk.id}
    for call, written_call in zip(fields.tool_calls, answer.get("tool_calls", ()), strict=True):
        text = written.get(call.id)
        if text is not None and same_json(text, call.args):
            # Equal is not identical: in Python, True == 1 == 1.0.
            if "\\u00" in text or not fits[call.name](orjson.loads(text)):
                raise _NotCommonError
            written_call["function"]["arguments"] = text


class _Tools(NamedTuple):
    """Tools as in a training line (None if there are none), and the checks of their arguments."""

    line: orjson.Fragment | None
    fits: ArgumentChecks


def _tools(data: Raw) -> _Tools:
    # Keyed by length: hashing all bytes would take longer than comparing them.
    known = _known_tools.get(len(data))
    if known is None or known[0] != data:
        if len(_known_tools) >= _TOOLS_KEPT:
            _known_tools.clear()
        copied = bytes(data)  # Without keeping the whole run's JSON.
        known = _known_tools[len(data)] = Raw(copied), _encoded_tools(copied)
    if known[1] is None:
        raise _NotCommonError
    return known[1]


def _encoded_tools(data: bytes) -> _Tools | None:
    """Return tools that meet all rules, or else None."""
    try:
        tools = unescaped(orjson.loads(data), _DEPTH)
        if not tools:
            return _Tools(None, {})
        example = {**_ANY_CHAT, "tools": definitions(tools)}
        text = orjson.dumps(example["tools"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if check_example(example, OPENAI):
        return None
    box = read_tools(example, Check(OPENAI))
    return _Tools(orjson.Fragment(text), _argument_checks(box))


def _argument_checks(toolbox: Toolbox) -> ArgumentChecks:
    """Return the checks of arguments, for tools with a schema that is cheap to check."""
    fits: ArgumentChecks = {}
    for name, validators in toolbox.validators.items():
        match validators:
            case (None,):
                fits[name] = lambda _: True
            case (validator,) if validator and not isinstance(validator, CostlySchema):
                fits[name] = validator.is_valid
            case _:
                pass  # Several schemas, or a costly one: left to `read_run`.
    return fits


_make: Any = getattr(encoder, "c_make_encoder", None)
_texts: Callable[[Any, int], Iterable[str]] = (
    # No check for cycles, no indent, sorting, skipping of keys or NaN.
    _make(None, refuse_value, encoder.encode_basestring, None, ": ", ", ", *[False] * 3)
    if _make  # CPython.
    else lambda value, _: json.dumps(value, ensure_ascii=False, allow_nan=False)
)
"""Serializes data in parts as `json.dumps` does, which creates a costly encoder for each call."""
_known_tools: dict[int, tuple[Raw, _Tools | None]] = {}
