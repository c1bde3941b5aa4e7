"""The step that puts the response format of a request into its line, where an engine takes it."""

from collections.abc import Iterable, Iterator

from langchain_finetune.checks import Profile
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
