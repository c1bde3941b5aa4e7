"""Handling of examples over the token limit; messages are never truncated."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

from langchain_finetune.checks import OPENAI, Finding, Profile, check_example, errors_of
from langchain_finetune.content import INSTRUCTIONS
from langchain_finetune.convert.rows import Example, Outcome, Row, request_of
from langchain_finetune.convert.tokens.count import Count, Over, Unfit
from langchain_finetune.convert.tokens.counter import BATCH, Counter, counted

TooLong = Literal["reject", "drop_oldest"]

_REQUESTS = INSTRUCTIONS | {"user"}


def fitting_rows(
    rows: Iterator[Row],
    outcome: Outcome,
    counter: Counter | None,
    too_long: TooLong,
    rules: Profile = OPENAI,
) -> Iterator[Row]:
    """Yield the rows within the token limit, with their counts if the counter is exact.

    The others are rejected: as `too_long`, `length_unknown` (only an upper bound is known, and it
    is over the limit), or with the counter's own code. With `drop_oldest`, whole turns are dropped
    from the beginning; `shortened` counts such examples, which must still meet the rules, and
    `dropped_turns` their turns. Without a counter, rows know whether they fit.
    """
    looked_at = fits(rows, counter, too_long, rules) if counter else known_fits(rows)
    for row, fit in looked_at:
        if fit.row is None:
            outcome.add(Finding(fit.code, fit.reason), row)
            outcome.reject_row(row, fit.code, fit.reason)
            continue
        if fit.dropped:
            outcome.counts["shortened"] += 1
            outcome.counts["dropped_turns"] += fit.dropped
        yield fit.row


class Fit(NamedTuple):
    """Whether an example is within the limit: the row that goes on, or None and why it does not.

    `dropped` is the number of turns that the row lost.
    """

    row: Row | None
    code: str = ""
    reason: str = ""
    dropped: int = 0


def fits(
    rows: Iterator[Row], counter: Counter, too_long: TooLong, rules: Profile = OPENAI
) -> Iterator[tuple[Row, Fit]]:
    """Yield each row and whether it fits."""
    for row, count in counted(rows, counter):
        yield row, _fit(row, count, counter, too_long, rules)


def known_fits(rows: Iterator[Row]) -> Iterator[tuple[Row, Fit]]:
    """Yield each row and whether it fits, as it knows, in the order of work of `fits`."""
    for row in rows:
        if row.fit is None:
            yield row, Fit(row)  # It was not counted.
        else:
            yield from ((each, each.fit) for each in (row, *islice(rows, BATCH - 1)))


def _fit(
    row: Row, count: Count | Over | Unfit, counter: Counter, too_long: TooLong, rules: Profile
) -> Fit:
    limit = counter.limit
    if isinstance(count, Unfit):
        return Fit(None, count.code, count.reason)
    if limit is None or (isinstance(count, Count) and count.longest <= limit):
        return Fit(row)
    if not counter.exact:
        reason = (
            f"It may have more than {limit} tokens, and its tokenizer is not on this machine:"
            " Convert(count_tokens='always') downloads it."
        )
        return Fit(None, "length_unknown", reason)
    if too_long == "drop_oldest" and (shorter := shortened(row.example, limit, counter, rules)):
        example, fewer, dropped = shorter
        row = row.changed(example)
        row.tokens, row.target_tokens = fewer.total, fewer.targets
        return Fit(row, dropped=dropped)
    has = f"more than {limit}" if isinstance(count, Over) else count.longest
    return Fit(None, "too_long", f"It has {has} tokens; the limit is {limit}.")


def shortened(
    example: Example, limit: int, counter: Counter, rules: Profile = OPENAI
) -> tuple[Example, Count, int] | None:
    """Drop as few of the oldest turns as possible to meet the limit.

    A turn begins with a user message, so calls stay with their results and answers with their
    questions. The prompt at the beginning and the last turn are kept. Returns the number of dropped
    turns, too; None if even the last turn is too long, or has nothing to train on.
    """
    messages = request_of(example).get("messages") or []
    prompts = next(
        (place for place, each in enumerate(messages) if each.get("role") not in INSTRUCTIONS), 0
    )
    cuts = [cut for cut in _turns(messages) if cut > prompts]
    found: tuple[Example, Count, int] | None = None
    low, high = 0, len(cuts)
    while low < high:
        middle = (low + high) // 2
        kept = _with_messages(example, [*messages[:prompts], *messages[cuts[middle] :]])
        [count] = counter.count([kept])
        if isinstance(count, Count) and count.longest <= limit:
            found, high = (kept, count, middle + 1), middle
        else:
            low = middle + 1
    # All targets may be among the dropped answers.
    if found and "messages" in example and errors_of(check_example(found[0], rules)):
        return None
    return found


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the starts of turns; system messages just before the user's belong to the turn."""
    starts: list[int] = []
    start: int | None = None
    for place, message in enumerate(messages):
        role = message.get("role")
        if role not in _REQUESTS:
            start = None
            continue
        if start is None:
            start = place
        if role == "user" and start not in starts[-1:]:
            starts.append(start)
    return starts


def _with_messages(example: Example, messages: list[Any]) -> Example:
    if isinstance(inner := example.get("input"), Mapping):
        return {**example, "input": {**inner, "messages": messages}}
    return {**example, "messages": messages}
