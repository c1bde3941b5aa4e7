"""Signatures of runs: which of 4096 marks a run's texts and metadata make. Pure functions.

A text makes a mark for each three bytes of it, and an entry of metadata some for its key, its
value and both. So a run that a search finds has all marks of what is searched for; one that lacks
a mark need not be read. The reverse does not hold: what has them all is read, and held against the
search.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from langchain_finetune.local.store.values import json_text

MARKS = 4096
"""Bits of a signature; a run of 4 kB of prose sets a fifth of them."""

_MOST_MARKS = 24
"""Marks of a search that are looked up; more tell little more."""

_SHIFT = 32 - 12
_FACTOR = np.uint32(0x9E37_79B1)
"""Spreads three bytes over 32 bits, of which the upper 12 are the mark (Knuth's golden ratio)."""

_LARGEST = 2**63

Marks = npt.NDArray[np.uint32]
_ALL: Marks = np.arange(MARKS, dtype=np.uint32)


def marks_of_run(run: Mapping[str, Any]) -> Marks:
    """Return the marks of a run's row: of its name, error, inputs, outputs and metadata."""
    metadata = orjson.loads(run["metadata"] or "{}")
    # Beyond 64 bits SQLite reads integers as floats, which are written in another way.
    if any(_is_huge(value) for value in metadata.values()):
        return _ALL
    texts = [orjson.dumps(run[name]).decode() for name in ("name", "error") if run[name]]
    for name in ("inputs", "outputs"):
        text = run[name] or ""
        if "\\u" in text:
            try:
                text = orjson.dumps(orjson.loads(text)).decode()
            except orjson.JSONEncodeError:
                # Nested deeper than can be written.
                return _ALL
        texts.append(text)
    tokens = (
        token
        for key, value in metadata.items()
        for token in (_of_key(key), _of_value(json_text(value)), _of_pair(key, json_text(value)))
    )
    of_tokens = [mark for token in tokens for mark in _of_token(token)]
    return np.concatenate([_of_text("\n".join(texts)), np.array(of_tokens, dtype=np.uint32)])


def marks_of_search(text: str) -> list[int]:
    """Return the marks of all runs in whose texts a text is; none if it is too short to tell.

    Example:
        >>> marks_of_search("ab")
        []
    """
    escaped = orjson.dumps(text.casefold()).decode()[1:-1]
    return _some(np.unique(_of_text(escaped)).tolist())


def marks_of_entry(key: str | None = None, value: str | None = None) -> list[int]:
    """Return the marks of all runs with an entry of this key, this value, or both, in metadata."""
    if key is not None and value is not None:
        return _of_token(_of_pair(key, value))
    if key is not None:
        return _of_token(_of_key(key))
    return [] if value is None else _of_token(_of_value(value))


def packed(runs: Sequence[Marks]) -> npt.NDArray[np.uint8]:
    """Return who of some runs has a mark, as one row of bits for each mark."""
    bits = np.zeros((MARKS, len(runs)), dtype=np.bool_)
    for place, marks in enumerate(runs):
        bits[marks, place] = True
    return np.packbits(bits, axis=1)


def places_with_all(rows: Iterable[bytes], count: int) -> list[int]:
    """Return the places of the runs that have all marks of these rows, of so many runs.

    Example:
        >>> places_with_all([bytes([0b11000000]), bytes([0b01000000])], 2)
        [1]
    """
    arrays = [np.frombuffer(row, dtype=np.uint8) for row in rows]
    both = np.bitwise_and.reduce(arrays)
    return np.flatnonzero(np.unpackbits(both, count=count)).tolist()


def _of_text(text: str) -> Marks:
    data = np.frombuffer(text.casefold().encode("utf-8", "surrogatepass"), dtype=np.uint8)
    if len(data) < 3:  # noqa: PLR2004 - bytes of a mark
        return np.empty(0, dtype=np.uint32)
    wide = data.astype(np.uint32)
    spread = (wide[:-2] << 16 | wide[1:-1] << 8 | wide[2:]) * _FACTOR
    return (spread >> _SHIFT).astype(np.uint32)


def _some(marks: list[int]) -> list[int]:
    return marks[:: -(-len(marks) // _MOST_MARKS)] if marks else []


def _of_token(token: str) -> list[int]:
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return [int.from_bytes(digest[at : at + 2]) % MARKS for at in (0, 2, 4)]


def _of_key(key: str) -> str:
    return f"k\0{key}"


def _of_value(value: str) -> str:
    return f"v\0{value}"


def _of_pair(key: str, value: str) -> str:
    return f"p\0{key}\0{value}"


def _is_huge(value: Any) -> bool:
    return isinstance(value, int) and not -_LARGEST <= value < _LARGEST
