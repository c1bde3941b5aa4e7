"""Token counts for OpenAI's models, as far as their method is known.

Text is counted with tiktoken. The tokens around messages, names and tools follow OpenAI's cookbook
("How to count tokens with tiktoken"); its examples give the cookbook's figures, 124 and 101 for
gpt-4o, 129 and 105 for gpt-3.5-turbo. A call counts as its name and arguments plus three tokens
(measured by hmarr/openai-chat-tokens). An image counts as one of 1024 by 1024
pixels. OpenAI's own counts may differ by a few tokens per example.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_finetune.checks.example import is_target
from langchain_finetune.content import entries
from langchain_finetune.convert.rows import Example, conversations, request_of
from langchain_finetune.convert.tokens.count import Count, CountTokens, Over, Unfit
from langchain_finetune.errors import ConvertError

LIMITS = {
    "gpt-4.1": 65_536,
    "gpt-4o": 65_536,
    "gpt-3.5-turbo-0613": 4_096,
    "gpt-3.5-turbo": 16_385,
    "babbage-002": 16_384,
    "davinci-002": 16_384,
}
"""Most tokens of one example, by prefix of the model's name; the first match counts."""


def limit_of(model: str) -> int | None:
    """Return the limit of an OpenAI model, or of one fine-tuned from it; None if unknown.

    Example:
        >>> limit_of("ft:gpt-4.1-mini-2025-04-14:acme::abc"), limit_of("my-model")
        (65536, None)
    """
    name = model.removeprefix("ft:")
    return next((limit for start, limit in LIMITS.items() if name.startswith(start)), None)


_A_MESSAGE, _A_NAME, _THE_REPLY, _A_CALL = 3, 1, 3, 3
_TOOLS, _PROPERTIES, _A_PROPERTY, _ENUM, _A_VALUE = 12, 3, 3, -3, 3
_A_TOOL = {"o200k_base": 7, "cl100k_base": 10}

_IMAGE = {"gpt-4o-mini": (2_833, 25_501), "": (85, 765)}
"""Tokens of an image in low detail, and of one of 1024 by 1024 pixels in high detail, by the
beginning of the model's name (OpenAI's guide to images, November 2026)."""

_LONGEST = 100_000
"""Most characters passed to tiktoken at once, since it fails on a million spaces."""

_VOCABULARIES = {
    name: f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    for name in ("cl100k_base", "o200k_base")
}
"""Addresses of tiktoken's vocabularies; their hashes are the names of the files in its cache."""

Measure = Callable[[str], int]

_log = logging.getLogger(__name__)


def openai_counter(model: str, how: CountTokens, most: int | None = None) -> "OpenAICounter | None":
    """Return the counter of an OpenAI model; None for any other model.

    If the vocabulary is missing and must not be downloaded, the counter returns upper bounds.

    Raises:
        ConvertError: The vocabulary can't be downloaded.
    """
    import tiktoken  # noqa: PLC0415 - slow, and not needed without a model of OpenAI's

    base = model.removeprefix("ft:")
    try:
        name = tiktoken.encoding_name_for_model(base)
    except KeyError:
        return None
    limit = limit_of(base) if most is None else most
    image = next(tokens for start, tokens in _IMAGE.items() if base.startswith(start))
    a_tool = _A_TOOL.get(name, _A_TOOL["o200k_base"])
    if how == "offline" and not _is_cached(name):
        return OpenAICounter(byte_length, limit, image, a_tool, exact=False)
    if not _is_cached(name):
        _log.warning("Downloading tiktoken's vocabulary %s (some MB, once).", name)
    try:
        encoding = tiktoken.get_encoding(name)
    except (OSError, ValueError) as error:
        raise ConvertError(
            f"The tokens of {model} can't be counted: tiktoken can't download its vocabulary"
            f" {name}. Set TIKTOKEN_CACHE_DIR to a folder in which tiktoken has stored it, or"
            " omit count_tokens: then only examples that are surely short enough are kept."
        ) from error

    def measure(text: str) -> int:
        pieces = range(0, len(text), _LONGEST)
        return sum(len(encoding.encode_ordinary(text[at : at + _LONGEST])) for at in pieces)

    return OpenAICounter(measure, limit, image, a_tool)


def byte_length(text: str) -> int:
    """Return the number of bytes, an upper bound of the tokens: each has at least one byte."""
    return len(text.encode(errors="surrogatepass"))


@dataclass(frozen=True)
class OpenAICounter:
    """Counts examples for an OpenAI model; not exact if `measure` returns upper bounds.

    An image has one number of tokens in low detail, and one in high detail.
    """

    measure: Measure
    limit: int | None
    image_tokens: tuple[int, int] = _IMAGE[""]
    a_tool: int = _A_TOOL["cl100k_base"]
    exact: bool = True

    def count(self, examples: Sequence[Example]) -> list[Count | Over | Unfit]:
        """Count each example; equal texts, such as those of tools, are measured once."""
        known: dict[str, int] = {}

        def measure(text: str) -> int:
            if text not in known:
                known[text] = self.measure(text)
            return known[text]

        return [self._one(example, measure) for example in examples]

    def _one(self, example: Example, measure: Measure) -> Count:
        if "prompt" in example:
            target = measure(str(example.get("completion") or ""))
            total = measure(str(example["prompt"])) + target
            return Count(total, total, target)
        around = _THE_REPLY + _tools(request_of(example), measure, self.a_tool)
        counted = [
            [self._of_message(message, measure) for message in messages]
            for messages in conversations(example)
        ]
        totals = [around + sum(total for total, _ in messages) for messages in counted]
        targets = sum(target for messages in counted for _, target in messages)
        return Count(sum(totals), max(totals), targets)

    def _of_message(self, message: Mapping[str, Any], measure: Measure) -> tuple[int, int]:
        """Return the tokens of a message, and how many of them are trained on."""
        tokens = sum(self._of_content(message, measure)) + measure(message.get("refusal") or "")
        functions = [call.get("function") for call in message.get("tool_calls") or ()]
        for function in filter(None, [*functions, message.get("function_call")]):
            tokens += _A_CALL + measure(function["name"]) + measure(function["arguments"])
        total = _A_MESSAGE + measure(message["role"]) + tokens
        if message.get("name"):
            total += _A_NAME + measure(str(message["name"]))
        return total, tokens if is_target(message) else 0

    def _of_content(self, message: Mapping[str, Any], measure: Measure) -> Iterator[int]:
        content = message.get("content") or ""
        if isinstance(content, str):
            yield measure(content)
            return
        for part in content:
            if part.get("type") == "image_url":
                image = part.get("image_url")
                low = isinstance(image, Mapping) and image.get("detail") == "low"
                yield self.image_tokens[0 if low else 1]
            else:
                yield measure(str(part.get("text") or part.get("refusal") or ""))


def _tools(request: Mapping[str, Any], measure: Measure, a_tool: int) -> int:
    functions = [tool["function"] for tool in request.get("tools") or ()]
    functions += request.get("functions") or ()
    if not functions:
        return 0
    return _TOOLS + sum(
        a_tool
        + measure(f"{function['name']}:{_description(function)}")
        + _schema(function.get("parameters") or {}, measure)
        for function in functions
    )


def _schema(schema: Any, measure: Measure) -> int:
    """Count the properties of a JSON schema, at any depth."""
    if not isinstance(schema, Mapping):
        return 0
    total = 0
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and properties:
        total += _PROPERTIES
        for name, each in properties.items():
            described = each if isinstance(each, Mapping) else {}
            line = f"{name}:{described.get('type', '')}:{_description(described)}"
            total += _A_PROPERTY + measure(line) + _schema(each, measure)
    if isinstance(values := schema.get("enum"), list) and values:
        total += _ENUM + sum(_A_VALUE + measure(str(value)) for value in values)
    total += _schema(schema.get("items"), measure)
    for inner in (*entries(schema.get("anyOf")), *entries(schema.get("oneOf"))):
        total += _schema(inner, measure)
    for definitions in ("$defs", "definitions"):
        if isinstance(schema.get(definitions), Mapping):
            total += sum(_schema(each, measure) for each in schema[definitions].values())
    return total


def _description(described: Mapping[str, Any]) -> str:
    return str(described.get("description") or "").removesuffix(".")


def _is_cached(name: str) -> bool:
    """Return whether tiktoken has a vocabulary in memory or in its cache."""
    from tiktoken import registry  # noqa: PLC0415 - see `openai_counter`

    if name in registry.ENCODINGS:
        return True
    usual = os.environ.get("DATA_GYM_CACHE_DIR", str(Path(tempfile.gettempdir(), "data-gym-cache")))
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", usual)
    if not folder or name not in _VOCABULARIES:
        return False
    file = hashlib.sha1(_VOCABULARIES[name].encode(), usedforsecurity=False).hexdigest()
    return Path(folder, file).is_file()
