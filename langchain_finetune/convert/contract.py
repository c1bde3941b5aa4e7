"""The trained contract: the request that a model trained on the examples expects."""

import hashlib
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.content import INSTRUCTIONS
from langchain_finetune.convert.jsonl import JsonlWriter
from langchain_finetune.convert.rows import Row
from langchain_finetune.sessions import UNKNOWN_FORMAT

_DISTINCT = 256
"""Most distinct values that are counted; later ones count only if they repeat these."""


class TrainedContract(BaseModel):
    """The most frequent tools, instructions and settings of the training examples.

    A fine-tuned model answers best when it is called in the way that it was trained.

    Attributes:
        examples: Number of training examples.
        tools: The tools of most examples, in OpenAI's format and in their order; empty if most
            had none.
        tool_lists: Fingerprints of all lists of tools, see `fingerprint`.
        system_prompt: Text of the first system or developer message of most examples.
        system_prompts: Number of different ones, counting none as one.
        response_format: The response format of most requests, as far as it is known.
        unknown_formats: Number of examples whose request set a response format that is not in the
            trace, such as a class of which the trace has only the name.
        formats: Number of examples whose request set a response format, known or not; None in
            contracts of older versions.
        parallel_tool_calls: The value in most requests; None if it was not set.

    Example:
        >>> TrainedContract(examples=10).tools
        []
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: int
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_lists: frozenset[str] = frozenset()
    # A prompt is training text: it stays out of logs.
    system_prompt: str | None = Field(default=None, repr=False)
    system_prompts: int = 0
    response_format: dict[str, Any] | None = None
    unknown_formats: int = 0
    formats: int | None = None
    parallel_tool_calls: bool | None = None


class ContractBuilder:
    """Determines the contract in one pass and in flat memory.

    Example:
        >>> builder = ContractBuilder()
        >>> builder.add(Row("r", {}, example={"messages": [{"role": "system", "content": "Hi"}]}))
        >>> builder.contract().system_prompt
        'Hi'
    """

    def __init__(self) -> None:
        self._examples = 0
        self._tools = _MostCommon()
        self._prompts = _MostCommon()
        self._formats = _MostCommon()
        self._parallel = _MostCommon()
        self._unknown_formats = 0
        self._with_format = 0

    def add(self, row: Row) -> None:
        """Count an example."""
        self._examples += 1
        counted = [self._tools, self._prompts, self._parallel]
        self._with_format += row.response_format is not None
        if row.response_format == UNKNOWN_FORMAT:
            self._unknown_formats += 1
        else:
            counted.append(self._formats)
        prints = prints_of(row)
        # The values are looked at only if one is new: to parse them takes longer than the rest.
        new = [values.add(key) for values, key in zip(counted, prints, strict=False)]
        if any(new):
            for values, is_new, key, value in zip(counted, new, prints, _values(row), strict=False):
                if is_new:
                    values.keep(key, value)

    def contract(self) -> TrainedContract:
        """Return the contract of the examples so far."""
        return TrainedContract(
            examples=self._examples,
            tools=self._tools.most_common() or [],
            tool_lists=frozenset(self._tools.counts),
            system_prompt=self._prompts.most_common(),
            system_prompts=len(self._prompts.counts),
            response_format=self._formats.most_common(),
            unknown_formats=self._unknown_formats,
            formats=self._with_format,
            parallel_tool_calls=self._parallel.most_common(),
        )


class _MostCommon:
    """Counts values, and keeps one of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._values: dict[str, Any] = {}

    def add(self, key: str) -> bool:
        """Count a value by its fingerprint; return whether it is new, and to be kept."""
        is_new = key not in self._values
        if is_new and len(self._values) >= _DISTINCT:
            return False
        self.counts[key] += 1
        return is_new

    def keep(self, key: str, value: Any) -> None:
        self._values[key] = value

    def most_common(self) -> Any:
        return self._values[self.counts.most_common(1)[0][0]] if self.counts else None


def prints_of(row: Row) -> tuple[str, ...]:
    """Return the fingerprints of what the contract counts of an example; the row keeps them.

    They are those of its tools, its system prompt, `parallel_tool_calls` and the response format.
    """
    if row.prints is None:
        row.prints = tuple(map(fingerprint, _values(row)))
    prints: tuple[str, ...] = row.prints
    return prints


def _values(row: Row) -> tuple[Any, ...]:
    # A preference line has its request one level lower.
    request = row.example.get("input", row.example)
    # Legacy functions are the same tools in an older format.
    functions = request.get("functions") or []
    return (
        request.get("tools")
        or [{"type": "function", "function": function} for function in functions],
        _system_prompt(request.get("messages")),
        request.get("parallel_tool_calls", row.parallel_tool_calls),
        row.response_format,
    )


def fingerprint(value: Any) -> str:
    """Return a short hash of a JSON value, independent of the order of keys.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    try:
        return _fingerprint_of(orjson.dumps(value))
    except TypeError:  # Large integers, unpaired surrogates.
        return _hashed(value)


@lru_cache(maxsize=64)
def _fingerprint_of(data: bytes) -> str:
    """Return that of JSON; an app's requests have most of theirs in common."""
    return _hashed(orjson.loads(data))


def _hashed(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _system_prompt(messages: Any) -> str | None:
    for message in messages or ():
        if message.get("role") in INSTRUCTIONS and isinstance(message.get("content"), str):
            return str(message["content"])
    return None


def save_contract(contract: TrainedContract, sha256: str, home: Path) -> None:
    """Save the contract of a training file, readable only by its owner."""
    path = _contract_path(sha256, home)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with JsonlWriter(path) as writer:
        writer.write(contract.model_dump_json().encode())


def load_contract(sha256: str | None, home: Path) -> TrainedContract | None:
    """Return the contract of a training file, or None if unknown."""
    # The hash may come from outside: it must not become a path.
    if not sha256 or not sha256.isalnum() or not _contract_path(sha256, home).is_file():
        return None
    return TrainedContract.model_validate_json(_contract_path(sha256, home).read_bytes())


def _contract_path(sha256: str, home: Path) -> Path:
    return home / "contracts" / f"{sha256[:16]}.json"
