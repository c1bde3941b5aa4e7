"""What all examples have in common: the request that a model trained on them expects."""

import hashlib
import json
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.rows import Row

_DISTINCT = 256
"""How many values of one kind are told apart; later ones count only where they repeat these."""

_INSTRUCTIONS = frozenset({"system", "developer"})


class TrainedContract(BaseModel):
    """The request that a fine-tuned model was trained with, most usual form of each part.

    A model that is trained on calls with certain tools and instructions answers best when it is
    called in the same way.

    Attributes:
        examples: How many training examples there were.
        tools: The tools that most examples offered, in OpenAI's form and in their order; empty
            where most offered none.
        tool_lists: Fingerprints of all lists of tools that examples offered, see `fingerprint`.
        system_prompt: Text of the first system or developer message that most examples had.
        system_prompts: How many different ones there were, none included.
        response_format: The format of the answer that most requests asked for.
        parallel_tool_calls: As most requests said it; None where they did not.

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
    parallel_tool_calls: bool | None = None


class ContractBuilder:
    """Finds out what examples have in common, in one pass and in flat memory.

    Example:
        >>> builder = ContractBuilder()
        >>> builder.add(Row("r", {}, example={"messages": [{"role": "system", "content": "Hi"}]}))
        >>> builder.contract().system_prompt
        'Hi'
    """

    def __init__(self) -> None:
        self._examples = 0
        self._tools = _Usual()
        self._prompts = _Usual()
        self._formats = _Usual()
        self._parallel = _Usual()

    def add(self, row: Row) -> None:
        """Count an example."""
        # A preference line holds its request one level lower.
        request = row.example.get("input", row.example)
        self._examples += 1
        # Legacy functions are the same tools, in an older form.
        functions = request.get("functions") or []
        self._tools.add(
            request.get("tools")
            or [{"type": "function", "function": function} for function in functions]
        )
        self._prompts.add(_system_prompt(request.get("messages")))
        self._formats.add(row.response_format)
        self._parallel.add(request.get("parallel_tool_calls"))

    def contract(self) -> TrainedContract:
        """Return what is known by now."""
        return TrainedContract(
            examples=self._examples,
            tools=self._tools.usual() or [],
            tool_lists=frozenset(self._tools.counts),
            system_prompt=self._prompts.usual(),
            system_prompts=len(self._prompts.counts),
            response_format=self._formats.usual(),
            parallel_tool_calls=self._parallel.usual(),
        )


class _Usual:
    """Counts values, and keeps one of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._values: dict[str, Any] = {}

    def add(self, value: Any) -> None:
        key = fingerprint(value)
        if key in self._values or len(self._values) < _DISTINCT:
            self._values.setdefault(key, value)
            self.counts[key] += 1

    def usual(self) -> Any:
        return self._values[self.counts.most_common(1)[0][0]] if self.counts else None


def fingerprint(value: Any) -> str:
    """Return a short hash of a JSON value; the order of an object's keys does not count.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _system_prompt(messages: Any) -> str | None:
    for message in messages or ():
        if message.get("role") in _INSTRUCTIONS and isinstance(message.get("content"), str):
            return str(message["content"])
    return None
