"""Counting tokens: the protocol of counters, and the choice of one for a model."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from langchain_finetune.convert.rows import Example, Row, Target
from langchain_finetune.convert.tokens.count import Count, CountTokens, Over, Unfit
from langchain_finetune.errors import ConvertError

BATCH = 256
"""Examples counted together: tokenizers are faster with many texts at once."""


class Counter(Protocol):
    """Counts tokens for one model.

    Attributes:
        limit: Most tokens of an example; None if unknown.
        exact: False if the counts are only upper bounds.
    """

    @property
    def limit(self) -> int | None: ...  # noqa: D102 - see above

    @property
    def exact(self) -> bool: ...  # noqa: D102

    def count(self, examples: Sequence[Example]) -> list[Count | Over | Unfit]:
        """Count the tokens of each of some valid examples."""
        ...


def counter_of(target: Target, how: CountTokens, most: int | None = None) -> Counter | None:
    """Return the counter for a model; None if the model is unknown.

    Without an engine, the model's name decides. `most` takes the place of the model's own limit; a
    local base's limit applies as well.

    Raises:
        ConvertError: A tokenizer can't be read or downloaded.
    """
    # Each imports a library, of which most users need none or one.
    from langchain_finetune.convert.tokens.openai import OpenAICounter, byte_length, openai_counter  # noqa: PLC0415

    found: Counter | None = None
    if target.model is not None and target.engine != "local":
        found = openai_counter(target.model, how, most)
    if target.model is not None and found is None and target.engine != "openai":
        from langchain_finetune.convert.tokens.local import local_counter  # noqa: PLC0415

        found = local_counter(target.model, how, most)
    if found is None and how == "always":
        if target.model is None:
            raise ConvertError("The model is needed to count tokens: Convert(model=...).")
        raise ConvertError(
            f"No tokenizer is known for {target.model!r}: set another model, such as"
            " Convert(model='gpt-4.1-mini') or a local base, or omit count_tokens."
        )
    if found is None and most is not None:
        return OpenAICounter(byte_length, most, exact=False)
    return found


def counted(rows: Iterator[Row], counter: Counter) -> Iterator[tuple[Row, Count | Over | Unfit]]:
    """Yield each row with its count, which the row keeps if it is exact."""
    while batch := list(islice(rows, BATCH)):
        counts = counter.count([row.example for row in batch])
        for row, count in zip(batch, counts, strict=True):
            if counter.exact and isinstance(count, Count):
                row.tokens, row.target_tokens = count.total, count.targets
            yield row, count
