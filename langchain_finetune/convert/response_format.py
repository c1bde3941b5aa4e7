"""The steps that fit a line to an engine: its response format, and keys that are left out."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_finetune.checks import Profile
from langchain_finetune.checks.preference import OUTPUTS
from langchain_finetune.content import mapping
from langchain_finetune.convert.rows import Outcome, Row, request_of


def formatted_rows(rows: Iterable[Row], outcome: Outcome, rules: Profile) -> Iterator[Row]:
    """Yield the rows with the JSON schema of their request, if known and the engine takes one.

    Other formats of supervised lines are counted as `response_format_left_out`.

    Example:
        >>> from langchain_finetune.checks import LOCAL
        >>> row = Row("r", {}, example={"messages": []})
        >>> named = {"name": "a", "schema": {}}
        >>> row.response_format = {"type": "json_schema", "json_schema": named}
        >>> [row] = formatted_rows([row], Outcome(), LOCAL)
        >>> list(row.example)
        ['messages', 'response_format']
    """
    for row in rows:
        form = row.response_format
        if form is None:
            yield row
            continue
        is_pair = "input" in row.example
        if rules.response_format and "schema" in mapping(form.get("json_schema")):
            request = {**request_of(row.example), "response_format": form}
            yield row.changed({**row.example, "input": request} if is_pair else request)
            continue
        if not is_pair:
            # The trained contract keeps it.
            outcome.counts["response_format_left_out"] += 1
        yield row


def trimmed_rows(rows: Iterable[Row], outcome: Outcome, rules: Profile) -> Iterator[Row]:
    """Yield the rows without the keys that an engine does not take.

    Rows that lose one are counted as `left_out.<key>`.

    Example:
        >>> from dataclasses import replace
        >>> from langchain_finetune.checks import OPENAI
        >>> row = Row("r", {}, example={"messages": [], "parallel_tool_calls": False})
        >>> rules = replace(OPENAI, left_out=frozenset({"parallel_tool_calls"}))
        >>> [list(each.example) for each in trimmed_rows([row], Outcome(), rules)]
        [['messages']]
    """
    if not rules.left_out:
        # Most engines take all keys, and a row that nobody looks into stays encoded.
        yield from rows
        return
    for row in rows:
        lost: set[str] = set()
        example = _trimmed(row.example, rules.left_out, lost)
        for key in sorted(lost):
            outcome.counts[f"left_out.{key}"] += 1
        if not lost:
            yield row
            continue
        trimmed = row.changed(example)
        # The trained contract keeps it.
        trimmed.parallel_tool_calls = request_of(row.example).get("parallel_tool_calls")
        yield trimmed


def _trimmed(example: Any, left_out: frozenset[str], lost: set[str]) -> Any:
    """Return an example, its input, or its messages without some keys; those go to `lost`."""
    if not isinstance(example, dict):
        return example
    kept = {key: value for key, value in example.items() if key not in left_out}
    lost |= {key for key in example.keys() & left_out if example[key] is not None}
    if isinstance(kept.get("input"), dict):
        kept["input"] = _trimmed(kept["input"], left_out, lost)
    for name in ("messages", *OUTPUTS):
        if isinstance(messages := kept.get(name), list):
            kept[name] = [_trimmed(message, left_out, lost) for message in messages]
    return kept
