"""Counting tokens: what a count is, and which counter knows a model."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from langchain_finetune.convert.rows import Example, Row, Target
from langchain_finetune.convert.tokens.count import Count, CountTokens, Over, Unfit
from langchain_finetune.errors import ConvertError

BATCH = 256
"""Examples that are counted together: tokenizers are faster with many texts at once."""


class Counter(Protocol):
    """Counts tokens for one model.

    Attributes:
        limit: Most tokens of an example; None where none is known.
        exact: False where the counts are only upper bounds.
    """

    @property
    def limit(self) -> int | None: ...  # noqa: D102 - see above

    @property
    def exact(self) -> bool: ...  # noqa: D102

    def count(self, examples: Sequence[Example]) -> list[Count | Over | Unfit]:
        """Count each of some examples that break no rule."""
        ...


def counter_of(target: Target, how: CountTokens, most: int | None = None) -> Counter | None:
    """Return what counts tokens for a model; None where nothing is known of it.

    Args:
        target: The engine and the model. Without an engine, the model's name decides.
        how: Whether something may be downloaded. `always` fails where tokens can't be counted.
        most: Most tokens of an example, instead of the model's own limit. A local base's limit
            holds all the same: it can't take more.

    Raises:
        ConvertError: A tokenizer can't be had, though it was asked for or is here.
    """
    # Each brings a library, of which most users need none or one.
    from langchain_finetune.convert.tokens.openai import OpenAICounter, byte_length, openai_counter  # noqa: PLC0415

    found: Counter | None = None
    if target.model is not None and target.engine != "local":
        found = openai_counter(target.model, how, most)
    if target.model is not None and found is None and target.engine != "openai":
        from langchain_finetune.convert.tokens.local import local_counter  # noqa: PLC0415

        found = local_counter(target.model, how, most)
    if found is None and how == "always":
        raise _unknown(target.model)
    if found is None and most is not None:
        return OpenAICounter(byte_length, most, exact=False)
    return found


def _unknown(model: str | None) -> ConvertError:
    if model is None:
        return ConvertError("Whose tokens are to be counted? Name the model: Convert(model=...).")
    return ConvertError(
        f"No tokenizer is known for {model!r}: name the model that it is of, such as"
        " Convert(model='gpt-4.1-mini') or a local base, or leave count_tokens out."
    )


def counted(rows: Iterator[Row], counter: Counter) -> Iterator[tuple[Row, Count | Over | Unfit]]:
    """Yield each row with its count, which is noted in the row if it is exact."""
    while batch := list(islice(rows, BATCH)):
        counts = counter.count([row.example for row in batch])
        for row, count in zip(batch, counts, strict=True):
            if counter.exact and isinstance(count, Count):
                row.tokens, row.target_tokens = count.total, count.targets
            yield row, count
