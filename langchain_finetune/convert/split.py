"""The split into training, validation and test parts: by conversation, stable as data grows."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Self, get_args

import orjson
from pydantic import ConfigDict, Field, model_validator

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.rows import Example, Outcome, Part, Row
from langchain_finetune.errors import ConvertError, raised_by

SourceIds = Mapping[str, str]

PARTS: tuple[Part, ...] = get_args(Part)

_IDS: dict[str, tuple[str, ...]] = {
    "auto": ("group", "thread_id", "trace_id", "example_id"),
    "thread": ("thread_id",),
    "trace": ("trace_id",),
}
"""Ids in a chat's source that name its group; the first one present counts."""


class Split(CheckedArguments):
    """Hold out some conversations from training, for validation and testing.

    Whole groups go into one part, so that no conversation is both trained on and tested with. The
    part depends only on a hash of the group and the seed: it stays when chats are added, left out
    or reordered, and a chat of the test part stays there when the validation share changes. Only
    identical chats in groups of several parts form a group of their own; see
    `uncontaminated_rows`.

    How many cases the test part gives, and what so many can show, is in the report
    (`ConversionReport.evaluation`). To compare two models takes about 100 cases for a gain, and 300
    to show that nothing is lost.

    Args:
        validation: Expected share of the groups for validation, 0 to less than 1. These examples
            are uploaded next to the training file.
        test: Expected share for testing. These examples are never uploaded: see `Examples.part`.
        by: What a group is. `thread` and `trace` are LangSmith's; `auto` uses the group that a file
            names, or else the thread, or else the trace, or else the dataset's example. A function
            receives the chat's source (`{"run_id": ..., "trace_id": ..., "thread_id": ...}`) and
            returns the group's name. Chats without such an id are grouped by their request, so that
            several answers to the same request stay together; they are counted in the notes as
            `split_by_request`.
        seed: Changes the assignment of groups.

    Example:
        >>> split = Split(test=0.2)
        >>> split.part_of("thread_id:t-1"), split.part_of("thread_id:t-2")
        ('test', 'train')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: float = Field(default=0.0, ge=0.0, lt=1.0, allow_inf_nan=False)
    test: float = Field(default=0.0, ge=0.0, lt=1.0, allow_inf_nan=False)
    by: Literal["auto", "thread", "trace"] | Callable[[SourceIds], str] = "auto"
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must be less than 1")
        return self

    def part_of(self, group: str) -> Part:
        """Return the part of a group."""
        digest = hashlib.blake2b(f"{self.seed}:{group}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest) / 2**64
        if place < self.test:
            return "test"
        # From the other end, so that changing one share does not affect the other part.
        return "validation" if place >= 1 - self.validation else "train"

    def asks_for(self, part: Part) -> bool:
        """Return whether the split has a part."""
        return part == "train" or getattr(self, part) > 0


def split_rows(rows: Iterator[Row], split: Split, outcome: Outcome) -> Iterator[Row]:
    """Yield the rows with their parts.

    Raises:
        ConvertError: The function `by` failed, or did not return text.
    """
    for row in rows:
        group = _named_group(row, split.by)
        if group is None:
            outcome.counts["split_by_request"] += 1
            group = _request(row.example)
        row.group, row.part = group, split.part_of(group)
        yield row


def _named_group(row: Row, by: str | Callable[[SourceIds], str]) -> str | None:
    if isinstance(by, str):
        found = ((key, row.source.get(key)) for key in _IDS[by])
        return next((f"{key}:{value}" for key, value in found if value), None)
    try:
        group = by(row.source)
    except Exception as error:
        raise raised_by("by", row.id, ConvertError) from error
    if not isinstance(group, str) or not group:
        raise ConvertError(
            f"Split's function `by` must return a non-empty str as the group of {row.id}, "
            f"not {type(group).__name__}."
        )
    return group


def _request(example: Example) -> str:
    """Return a name of the request."""
    # Preferences and completions have their request in a field of its own.
    if "messages" in example:
        sent = example["messages"][:-1]
    else:
        sent = example["input"] if "input" in example else example["prompt"]
    return hashlib.blake2b(orjson.dumps(sent), digest_size=16).hexdigest()
