"""Token counts for a local base: exactly the tokens that the embedded engine trains on.

It renders and encodes with the engine's own code, so examples that the engine would reject are
detected here.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from langchain_finetune.convert.rows import Example, conversations, request_of
from langchain_finetune.convert.tokens.count import Count, CountTokens, Over, Unfit
from langchain_finetune.errors import ConvertError
from langchain_finetune.extras import missing_extra
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_library import NANO
from langchain_finetune.local.base_models import find_base, resolve_base
from langchain_finetune.tolerant_json import loads

if TYPE_CHECKING:
    from langchain_finetune.local.training.encoding import Encoder, Layout
    from langchain_finetune.local.training.sequences import Sequence
    from langchain_finetune.local.training.token_bound import LeastTokens

_MANY = 32
"""From this number of messages on, a bound is computed first, since rendering takes long."""

_STEP = 16
"""Number of answers after which the tokens so far are counted."""

_LOADING = Lock()
"""transformers' first import fails if several threads start it at once."""


def local_counter(model: str, how: CountTokens, most: int | None = None) -> "LocalCounter | None":
    """Return the counter of a base of the embedded engine; None if it is not on this machine.

    A base is `nano`, a model's folder, or an id on the Hugging Face hub, from which `always`
    downloads a missing tokenizer.

    Raises:
        ConvertError: The base's tokenizer can't be read; or, with `always`, there is no such base
            or the extra `local` is not installed.
    """
    try:
        base = resolve_base(model) if how == "always" else find_base(model)
        if base is None:
            return None
        with _LOADING:
            return LocalCounter(_encoder(base, is_ours=model == NANO), most)
    except ImportError as error:
        if how == "offline":
            return None
        raise ConvertError(missing_extra(f"Counting the tokens of {model!r}", "local")) from error
    except ApiError as error:
        if how == "offline":
            return None  # The engine would report the same when training.
        raise ConvertError(error.message) from error
    except (OSError, ValueError) as error:
        raise ConvertError(
            f"The tokens of {model!r} can't be counted: its tokenizer can't be read."
        ) from error


def _encoder(base: Path | str, *, is_ours: bool) -> "Encoder":
    from langchain_finetune.local.template_process import BoundedTemplate  # noqa: PLC0415
    from langchain_finetune.local.training.encoding import (  # noqa: PLC0415
        Encoder,
        UnfitExampleError,
    )

    if isinstance(base, Path) and (files := _plain_files(base)):
        # Unlike the classes below, this one does not import torch, which takes seconds.
        from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

        tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(base)
        config, generation = files
    else:
        from transformers import AutoTokenizer  # noqa: PLC0415

        from langchain_finetune.local.training.tokenizer import load_configurations  # noqa: PLC0415

        config, generation = load_configurations(str(base))
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    if not is_ours:
        # Somebody else's program, which may loop.
        tokenizer.apply_chat_template = BoundedTemplate(tokenizer)
    try:
        return Encoder.of(tokenizer, config, generation)
    except UnfitExampleError as error:
        raise ConvertError(f"Tokens can't be counted. {error.message}") from error


_PLAIN_CLASSES = frozenset({"PreTrainedTokenizerFast", "TokenizersBackend"})


def _plain_files(base: Path) -> tuple[Any, Any] | None:
    """Return the two configurations of a base as its files have them, or None.

    That is for bases of Llama's type whose tokenizer is all in its file, such as `nano`: of others,
    transformers knows more than the files say.
    """
    names = ("config.json", "generation_config.json", "tokenizer_config.json")
    if not all((base / name).is_file() for name in (*names, "tokenizer.json")):
        return None
    config, generation, tokenizer = (loads((base / name).read_bytes()) for name in names)
    if (
        config.get("model_type") != "llama"
        or not config.get("max_position_embeddings")
        or "auto_map" in tokenizer
        or tokenizer.get("tokenizer_class") not in _PLAIN_CLASSES
    ):
        return None
    text = SimpleNamespace(max_position_embeddings=config["max_position_embeddings"])
    return (
        SimpleNamespace(get_text_config=lambda: text),
        SimpleNamespace(eos_token_id=generation.get("eos_token_id")),
    )


@dataclass(frozen=True)
class LocalCounter:
    """Counts examples for a base; `most` limits their tokens below the base's own limit."""

    encoder: "Encoder"
    most: int | None = None
    exact: bool = True

    @property
    def limit(self) -> int | None:
        """Most tokens of an example."""
        limits = [limit for limit in (self.encoder.max_length, self.most) if limit]
        return min(limits, default=None)

    @cached_property
    def _least(self) -> "LeastTokens | None":
        from langchain_finetune.local.training.token_bound import LeastTokens  # noqa: PLC0415

        return LeastTokens.of(self.encoder.tokenizer)

    def count(self, examples: Seq[Example]) -> list[Count | Over | Unfit]:
        """Count each example; all texts are tokenized together.

        An example that is surely over the limit is not counted to its end, so what the template
        can't express in the rest is not detected.
        """
        laid_out = [self._layout(example) for example in examples]
        layouts = [each for each in laid_out if not isinstance(each, Over | Unfit)]
        encoded = iter(self.encoder.tokenized(layouts))
        return [
            each
            if isinstance(each, Over | Unfit)
            else _count(next(encoded), is_pair="preferred_output" in example)
            for example, each in zip(examples, laid_out, strict=True)
        ]

    def _layout(self, example: Example) -> "Layout | Over | Unfit":
        from langchain_finetune.local.training.encoding import UnfitExampleError  # noqa: PLC0415

        if "prompt" in example:
            layout: Layout = [
                [(str(example["prompt"]), None), (str(example.get("completion")), True)]
            ]
            return Over() if self._is_over(layout) else layout
        request = {**request_of(example)}
        is_pair = "preferred_output" in example
        layout = []
        try:
            for messages in conversations(example):
                targets = _last_as_target(messages) if is_pair else messages
                found = self._conversation({**request, "messages": targets})
                if isinstance(found, Over):
                    return found
                layout += found
        except UnfitExampleError as error:
            place = "" if error.index is None else f" (message {error.index})"
            return Unfit(error.code, error.message + place)
        return layout

    def _conversation(self, example: Example) -> "Layout | Over":
        if self.limit is None or len(example["messages"]) <= _MANY:
            layout = self.encoder.layout(example)
            return Over() if self._is_over(layout) else layout
        if self._is_over(self.encoder.layout(example, last_only=True)):
            return Over()
        so_far = _SoFar(self.encoder, self.limit)
        layout = self.encoder.layout(example, enough=so_far.is_over)
        return Over() if so_far.tokens > self.limit or self._is_over(layout) else layout

    def _is_over(self, layout: "Layout") -> bool:
        """Return whether the text of a trained sequence proves it to be too long."""
        limit, least = self.limit, self._least
        return (
            limit is not None
            and least is not None
            and any(
                least.is_over("".join(text for text, _ in parts), limit)
                for parts in layout
                # A sequence without targets is left out, however long it is.
                if any(trained and text for text, trained in parts)
            )
        )


@dataclass
class _SoFar:
    """Counts the last sequence while it grows, every few answers.

    Parts are tokenized one by one, so counts of earlier parts stay valid. New parts without
    targets are not counted, since the sequence might be left out.
    """

    encoder: "Encoder"
    limit: int
    tokens: int = 0
    sequences: int = 0
    parts: int = 0

    def is_over(self, layout: "Layout") -> bool:
        if len(layout) > self.sequences:
            self.tokens, self.sequences, self.parts = 0, len(layout), 0
        new = layout[-1][self.parts :]
        if len(new) >= 2 * _STEP:
            [sequences] = self.encoder.tokenized([[new]])
            self.tokens += sum(each.length for each in sequences)
            self.parts = len(layout[-1])
        return self.tokens > self.limit


def _last_as_target(messages: list[Any]) -> list[Any]:
    """Make only the last answer of a pair's chat a target: the others are context."""
    read = [
        {**message, "weight": 0} if message["role"] == "assistant" else message
        for message in messages[:-1]
    ]
    return [*read, {**messages[-1], "weight": 1}]


def _count(sequences: list["Sequence"], *, is_pair: bool) -> Count | Unfit:
    if not sequences:
        return Unfit("no_answer", "It has no assistant answer to train on.")
    # In pairs, what the template appends to an answer is not trained on.
    total = sum(each.target_end if is_pair else len(each.input_ids) for each in sequences)
    longest = max(len(each.input_ids) for each in sequences)
    return Count(total, longest, sum(each.trained for each in sequences))
