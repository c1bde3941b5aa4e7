"""What makes two examples the same, or nearly the same."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import orjson
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from langchain_finetune.convert.rows import Example, Row
from langchain_finetune.convert.texts import conversations, request_of
from langchain_finetune.errors import ConvertError

PERMUTATIONS = 128
"""Length of a signature."""

_decode = Decoder().decode
_encode = Encoder(order="sorted").encode
_SHINGLE = 3
_SEED = 1
_PROMPTS = frozenset({"system", "developer"})
# Scripts that put no spaces between words give a word for each letter: Thai, Lao, Myanmar, Khmer,
# kana, Han.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def exact_key(example: Example) -> bytes:
    """Return 16 bytes that two examples share where the model sees the same in both.

    Weights do not count, nor do the ids of calls, which are random, the form of the JSON of
    arguments, or whether a text is one string or in parts.
    """
    request = request_of(example)
    ids: dict[str | None, int] = {}
    seen = [
        [_bare(message, ids) for message in conversation] for conversation in conversations(example)
    ]
    rest = [request.get("tools"), request.get("functions")]
    rest += [example.get("prompt"), example.get("completion")]
    return joint_key(
        orjson.dumps(seen, option=orjson.OPT_SORT_KEYS),
        digest(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)),
    )


def joint_key(seen: bytes, rest: bytes) -> bytes:
    """Return the key of an example.

    Args:
        seen: The JSON of its conversations, as `exact_key` sees them.
        rest: The digest of what counts beside them; it is often that of other examples, too.
    """
    return digest(rest + seen)


def digest(data: bytes) -> bytes:
    """Return 16 bytes of a cryptographic hash: no one can make two rows that seem the same."""
    return hashlib.blake2b(data, digest_size=16).digest()


def plain_arguments(arguments: str) -> str:
    """Return the JSON of arguments in one form.

    Raises:
        ValueError: They are no JSON.
        RecursionError: They are too deep.

    Example:
        >>> plain_arguments('{"b":2,"a":1}')
        '{"a":1,"b":2}'
    """
    try:
        # Other than orjson, it keeps integers of any size.
        return _encode(_decode(arguments)).decode()
    except ValueError:
        # Infinity, NaN and half characters, which other writers of JSON let through.
        return json.dumps(json.loads(arguments), sort_keys=True)


def signature(shingles: Iterable[str]) -> list[int]:
    """Return the MinHash signature of shingles: `PERMUTATIONS` numbers below 2 to the 32.

    Raises:
        ConvertError: The library is not installed.
    """
    try:
        from rensa import RMinHash  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConvertError(
            "Near duplicates need the library rensa: pip install 'langchain-finetune[dedup]'."
        ) from error
    minhash = RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    minhash.update(shingles)
    numbers: list[int] = minhash.digest()
    return numbers


def shingles_of(example: Example) -> set[str]:
    """Return every three words that follow each other in an example; case does not count.

    They are of what was said, called and answered. System prompts and tools do not count: an app
    sends the same ones with every chat, and long ones would make all of its chats look alike.

    Example:
        >>> sorted(shingles_of({"prompt": "Hi there", "completion": "Hello you"}))
        ['hi there hello', 'there hello you']
    """
    words = _WORD.findall("\n".join(_said(example)).lower())
    last = max(1, len(words) - _SHINGLE + 1)
    return {" ".join(words[place : place + _SHINGLE]) for place in range(last)}


def _said(example: Example) -> Iterator[str]:
    for name in ("prompt", "completion"):
        if example.get(name):
            yield str(example[name])
    for conversation in conversations(example):
        for message in conversation:
            role = message.get("role")
            if role in _PROMPTS:
                continue
            yield str(role)
            content = _content(message.get("content"))
            yield content if isinstance(content, str) else orjson.dumps(content).decode()
            yield message.get("refusal") or ""
            for call in (*(message.get("tool_calls") or ()), {"function": message}):
                function = call.get("function") or {}
                function = function.get("function_call") or function
                if "arguments" in function:
                    yield f"{function.get('name')}\n{function['arguments']}"


def _bare(message: Mapping[str, Any], ids: dict[str | None, int]) -> dict[str, Any]:
    bare = {key: value for key, value in message.items() if value is not None and key != "weight"}
    if "content" in bare:
        bare["content"] = _content(bare["content"])
    if calls := bare.get("tool_calls"):
        bare["tool_calls"] = [
            {**call, "id": ids.setdefault(call.get("id"), len(ids)), "function": _call(call)}
            for call in calls
        ]
    if "tool_call_id" in bare:
        bare["tool_call_id"] = ids.setdefault(bare["tool_call_id"], len(ids))
    return bare


def _content(content: Any) -> Any:
    """Return text in parts as one string; other content as it is."""
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part.get("text") or "" for part in content)
    return content


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text"


def _call(call: Mapping[str, Any]) -> Any:
    """Return the function of a call with its arguments in one form."""
    function = call.get("function")
    try:
        return {**function, "arguments": plain_arguments(function["arguments"])}  # type: ignore[dict-item,index]
    except (KeyError, TypeError, ValueError, RecursionError):
        return [function]  # So that no text looks like the JSON that it is not.


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


_decode_row = Decoder(_Line).decode
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
    read = _decode_row(line)
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
    return b'%b,"tool_calls":[%b]}' % (said, b",".join([_key_of_call(call, ids) for call in calls]))


def _key_of_call(call: _Call, ids: dict[str, int]) -> bytes:
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
