"""What becomes of examples that are longer than the model takes: nothing is ever cut within."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_finetune.checks import OPENAI, Finding, Profile, check_example, errors_of
from langchain_finetune.convert.rows import Example, Outcome, Row, request_of
from langchain_finetune.convert.tokens.count import Count, Over, Unfit
from langchain_finetune.convert.tokens.counter import Counter, counted

TooLong = Literal["reject", "drop_oldest"]

_PROMPTS = frozenset({"system", "developer"})
_ASKING = _PROMPTS | {"user"}


def fitting_rows(
    rows: Iterator[Row],
    outcome: Outcome,
    counter: Counter,
    too_long: TooLong,
    rules: Profile = OPENAI,
) -> Iterator[Row]:
    """Yield the rows that the model takes, counted where the counter is exact.

    The others are rejected: `too_long`, `length_unknown` (a bound is over the limit, and can't be
    made a count), or what the counter says that does not fit the model. With `drop_oldest`, what is
    too long loses whole turns from its beginning; `shortened` counts such examples and
    `dropped_turns` their turns.

    Args:
        rows: Examples that break no rule.
        outcome: Takes rejects and counts.
        counter: Counts the tokens, and knows the limit.
        too_long: What to do.
        rules: What a shortened example still has to meet.
    """
    limit = counter.limit
    for row, count in counted(rows, counter):
        if isinstance(count, Unfit):
            _reject(row, outcome, count.code, count.reason)
        elif limit is None or (isinstance(count, Count) and count.longest <= limit):
            yield row
        elif not counter.exact:
            _reject(
                row,
                outcome,
                "length_unknown",
                f"It may have more than {limit} tokens, and can't be counted with what is on this"
                " machine: Convert(count_tokens='always') downloads what it takes.",
            )
        elif too_long == "drop_oldest" and (
            shorter := shortened(row.example, limit, counter, rules)
        ):
            example, fewer, dropped = shorter
            outcome.counts["shortened"] += 1
            outcome.counts["dropped_turns"] += dropped
            row = row.changed(example)  # noqa: PLW2901 - the row goes on as another
            row.tokens, row.target_tokens = fewer.total, fewer.targets
            yield row
        else:
            has = f"more than {limit}" if isinstance(count, Over) else count.longest
            reason = f"It has {has} tokens; the model takes {limit}."
            _reject(row, outcome, "too_long", reason)


def shortened(
    example: Example, limit: int, counter: Counter, rules: Profile = OPENAI
) -> tuple[Example, Count, int] | None:
    """Drop the fewest oldest turns that make an example fit.

    A turn begins where the user speaks, so no call is parted from its results and no answer from
    its question. The prompt at the beginning stays, and the last turn.

    Returns:
        The new example, its tokens and how many turns were dropped; None where even the last turn
        is too long, or has nothing to learn.
    """
    messages = request_of(example).get("messages") or []
    cuts = _turns(messages)
    prompts = next(
        (place for place, each in enumerate(messages) if each.get("role") not in _PROMPTS), 0
    )
    cuts = [cut for cut in cuts if cut > prompts]
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
    # The answers that were to be learnt may all be among the dropped ones.
    if found and "messages" in example and errors_of(check_example(found[0], rules)):
        return None
    return found


def _reject(row: Row, outcome: Outcome, code: str, reason: str) -> None:
    outcome.add(Finding(code, reason), row)
    outcome.reject_row(row, code, reason)


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return where turns begin; what the system says just before the user belongs to the turn."""
    starts: list[int] = []
    start: int | None = None
    for place, message in enumerate(messages):
        role = message.get("role")
        if role not in _ASKING:
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
