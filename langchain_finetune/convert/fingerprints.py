"""Keys of exact duplicates, and signatures of near duplicates."""

import hashlib
import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from msgspec.json import Decoder, Encoder

from langchain_finetune.content import INSTRUCTIONS, joined_text
from langchain_finetune.convert.rows import Example, Row, conversations, request_of
from langchain_finetune.errors import ConvertError
from langchain_finetune.extras import missing_extra

PERMUTATIONS = 128
"""Length of a signature."""

_decode = Decoder().decode
_encode = Encoder(order="sorted").encode
_SHINGLE = 3
_SEED = 1
# In scripts without spaces between words, each letter is a word: Thai, Lao, Myanmar, Khmer,
# kana, Han.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_SPACED = "".join(
    letter if letter.isalnum() or letter == "_" else " " for letter in map(chr, range(128))
)
"""ASCII with a space in place of what is in no word."""

_WORDS_KEPT = 1 << 16
"""Words whose hashes are kept; an app's chats have most of theirs in common."""


def exact_key(example: Example) -> bytes:
    """Return 16 bytes that are equal for two examples if the model sees the same in both.

    Weights do not count, nor do the random ids of calls, the formatting of arguments, or whether
    text is a string or in parts.
    """
    return _key(conversations(example), _canonical_digest(orjson.dumps(_rest(example))))


def row_key(row: Row) -> bytes:
    """Return the `exact_key` of a row's example; the row keeps it."""
    if row.key is None:
        # Such a line has messages and tools, in this order; an unescaped quote is in no text.
        head, mark, tools = (row.encoded or b"").partition(b',"tools":[')
        if mark:
            row.key = _key([orjson.loads(head + b"}")["messages"]], _digest_of_tools(tools))
        else:
            row.key = exact_key(row.example)
    return row.key


def _key(chats: list[list[Any]], rest: bytes) -> bytes:
    ids: dict[str | None, int] = {}
    seen = [[_bare(message, ids) for message in conversation] for conversation in chats]
    return _digest(rest + _sorted_json(seen))


def _rest(example: Example) -> list[Any]:
    request = request_of(example)
    rest = [request.get("tools"), request.get("functions")]
    rest += [example.get("prompt"), example.get("completion")]
    if form := request.get("response_format"):
        rest.append(form)
    if "label" in example:
        rest.append(example["label"])
    return rest


@lru_cache(maxsize=32)
def _digest_of_tools(tools: bytes) -> bytes:
    """Return the digest of a line's tools and what follows them; an app has few lists of tools."""
    return _canonical_digest(orjson.dumps(_rest(orjson.loads(b'{"tools":[' + tools))))


@lru_cache(maxsize=32)
def _canonical_digest(data: bytes) -> bytes:
    """Return the digest of JSON whose keys are sorted; an app has few lists of tools."""
    return _digest(_sorted_json(orjson.loads(data)))


def _sorted_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _digest(data: bytes) -> bytes:
    """Return 16 bytes of a cryptographic hash, so that nobody can construct a collision."""
    return hashlib.blake2b(data, digest_size=16).digest()


def plain_arguments(arguments: str) -> str:
    """Return the JSON of arguments in a canonical form.

    Raises:
        ValueError: They are not valid JSON.
        RecursionError: They are nested too deeply.

    Example:
        >>> plain_arguments('{"b":2,"a":1}')
        '{"a":1,"b":2}'
    """
    try:
        # Unlike orjson, msgspec keeps integers of any size.
        return _encode(_decode(arguments)).decode()
    except ValueError:
        # Infinity, NaN and unpaired surrogates, which other JSON writers allow.
        return json.dumps(json.loads(arguments), sort_keys=True)


def signature(shingles: Iterable[bytes]) -> list[int]:
    """Return the MinHash signature of shingles: `PERMUTATIONS` numbers below 2 to the 32.

    Raises:
        ConvertError: rensa is not installed.
    """
    try:
        from rensa import RMinHash  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConvertError(missing_extra("Finding near duplicates", "dedup")) from error
    minhash = RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    minhash.update(shingles)
    numbers: list[int] = minhash.digest()
    return numbers


def near_print(row: Row, rows_a_band: int) -> tuple[bytes, tuple[int, ...]]:
    """Return hashes of a row's shingles, as an array of 32 bits each, and a number for each band.

    Rows of which a band's numbers are equal may be near duplicates. The row keeps both.
    """
    if row.near is None:
        shingles = shingles_of(row.example)
        numbers = signature(shingles)
        # Hashes of integers are the same in every process.
        bands = tuple(
            hash((place, *numbers[place : place + rows_a_band]))
            for place in range(0, PERMUTATIONS - rows_a_band + 1, rows_a_band)
        )
        row.near = array("I", set(map(zlib.crc32, shingles))).tobytes(), bands
    hashes, bands = row.near
    return hashes, bands


def shingles_of(example: Example) -> set[bytes]:
    """Return all sequences of three words in an example, ignoring case, as the words' hashes.

    They come from messages, calls and results. System prompts and tools do not count: an app sends
    the same ones with every chat, and long ones would make all chats similar.

    Example:
        >>> len(shingles_of({"prompt": "Hi there", "completion": "Hello you"}))
        2
    """
    words = _words("\n".join(_texts(example)).lower())
    hashes = array("I", map(_WORD_HASHES.__getitem__, words))
    if len(_WORD_HASHES) > _WORDS_KEPT:
        _WORD_HASHES.clear()
    step, data = hashes.itemsize, hashes.tobytes()
    size, last = _SHINGLE * step, max(1, len(words) - _SHINGLE + 1)
    return {data[place : place + size] for place in range(0, last * step, step)}


def _words(text: str) -> list[str]:
    # The same words in a quarter of the time.
    return text.translate(_SPACED).split() if text.isascii() else _WORD.findall(text)


class _Hashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = number = zlib.crc32(word.encode(errors="replace"))
        return number


_WORD_HASHES = _Hashes()


def _texts(example: Example) -> Iterator[str]:
    for name in ("prompt", "completion"):
        if example.get(name):
            yield str(example[name])
    for conversation in conversations(example):
        for message in conversation:
            role = message.get("role")
            if role in INSTRUCTIONS:
                continue
            yield str(role)
            content = joined_text(message.get("content"))
            yield content if isinstance(content, str) else orjson.dumps(content).decode()
            yield message.get("refusal") or ""
            for call in (*(message.get("tool_calls") or ()), {"function": message}):
                function = call.get("function") or {}
                function = function.get("function_call") or function
                if "arguments" in function:
                    yield f"{function.get('name')}\n{function['arguments']}"


def _bare(message: Mapping[str, Any], ids: dict[str | None, int]) -> Mapping[str, Any]:
    """Return what the model sees of a message, in a canonical form."""
    if len(message) == 2 and isinstance(message.get("content"), str) and "role" in message:  # noqa: PLR2004 - role and content, as most have
        return message
    bare = {key: value for key, value in message.items() if value is not None and key != "weight"}
    if "content" in bare:
        bare["content"] = joined_text(bare["content"])
    if calls := bare.get("tool_calls"):
        bare["tool_calls"] = [
            {**call, "id": ids.setdefault(call.get("id"), len(ids)), "function": _call(call)}
            for call in calls
        ]
    if "tool_call_id" in bare:
        bare["tool_call_id"] = ids.setdefault(bare["tool_call_id"], len(ids))
    return bare


def _call(call: Mapping[str, Any]) -> Any:
    """Return the function of a call with its arguments in a canonical form."""
    function = call.get("function")
    try:
        return {**function, "arguments": plain_arguments(function["arguments"])}  # type: ignore[dict-item,index]
    except (KeyError, TypeError, ValueError, RecursionError):
        return [function]  # In a list, so that invalid JSON never equals valid JSON.
