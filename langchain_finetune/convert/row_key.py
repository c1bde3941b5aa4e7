"""The key by which exact duplicates are known, straight from a row's line where that is usual.

Most lines are chats of texts, calls and results, and differ from what `exact_key` hashes in a few
places only: the ids of calls, the form of their arguments, the order of keys. `row_key` puts the
very bytes together that `exact_key` does, without parsing texts or tools; for every other line it
calls `exact_key`.
"""

from typing import Literal, get_args

import orjson
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType
from msgspec.json import Decoder

from langchain_finetune.convert.fingerprints import digest, exact_key, joint_key, plain_arguments
from langchain_finetune.convert.rows import Row

_TOOLS_KEPT = 32
"""How many lists of tools are remembered; an app has few."""

_NULL = Raw(b"null")

_Role = Literal["assistant", "developer", "system", "tool", "user"]
_ROLES = {role: b'"role":"%b"' % role.encode() for role in get_args(_Role)}


class _Function(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    arguments: str


class _Call(Struct, forbid_unknown_fields=True, gc=False):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: _Role
    content: Raw = _NULL
    name: str | None = None
    tool_calls: list[_Call] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    weight: Raw = _NULL


class _Line(Struct, forbid_unknown_fields=True, gc=False):
    messages: list[_Message]
    tools: Raw = _NULL
    parallel_tool_calls: Raw = _NULL


class _UnusualError(Exception):
    """The line may hold what has more than one form; it never leaves this module."""


_decode = Decoder(_Line).decode
_known_tools: dict[int, tuple[bytes, bytes]] = {}


def row_key(row: Row) -> bytes:
    """Return the `exact_key` of a row's example; it is kept with the row."""
    if row.key is None:
        try:
            row.key = _line_key(row.line)
        except (DecodeError, RecursionError, ValueError, _UnusualError):
            row.key = exact_key(row.example)
    return row.key


def _line_key(line: bytes) -> bytes:
    read = _decode(line)
    ids: dict[str, int] = {}
    seen = b",".join([_seen(message, ids) for message in read.messages])
    return joint_key(b"[[%b]]" % seen, _digest_of_tools(bytes(read.tools)))


def _seen(message: _Message, ids: dict[str, int]) -> bytes:
    """Return the JSON of a message as `exact_key` sees it: without nulls, its keys in order."""
    content = bytes(message.content)
    # A text stands in one form, since `encode_line` wrote it; parts and the like do not.
    if content[:1] == b'"':
        said = b'{"content":%b,' % content
    elif content == b"null":
        said = b"{"
    else:
        raise _UnusualError
    if message.name is not None:
        said += b'"name":%b,' % orjson.dumps(message.name)
    said += _ROLES[message.role]
    calls, answered = message.tool_calls, message.tool_call_id
    if calls is UNSET:
        if answered is UNSET:
            return said + b"}"
        return b'%b,"tool_call_id":%d}' % (said, ids.setdefault(answered, len(ids)))
    if not calls or answered is not UNSET:
        raise _UnusualError
    return b'%b,"tool_calls":[%b]}' % (said, b",".join([_call(call, ids) for call in calls]))


def _call(call: _Call, ids: dict[str, int]) -> bytes:
    return b'{"function":{"arguments":%b,"name":%b},"id":%d,"type":"function"}' % (
        orjson.dumps(plain_arguments(call.function.arguments)),
        orjson.dumps(call.function.name),
        ids.setdefault(call.id, len(ids)),
    )


def _digest_of_tools(tools: bytes) -> bytes:
    # Found by their length: to hash them would take longer than to compare them.
    known = _known_tools.get(len(tools))
    if known is None or known[0] != tools:
        if len(_known_tools) >= _TOOLS_KEPT:
            _known_tools.clear()
        # Functions, prompts and completions are in no usual line.
        rest = [orjson.loads(tools), None, None, None]
        found = digest(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS))
        known = _known_tools[len(tools)] = tools, found
    return known[1]
