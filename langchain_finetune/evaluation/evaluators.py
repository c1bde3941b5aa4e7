"""Evaluators for those who have none: plain LangSmith evaluators, usable alone.

Each compares the answer with the reference, which for a recorded chat is the answer that the app
gave, and returns a score from 0 to 1. Of an agent, they look at the final answer and at all calls.

```python
from langsmith import evaluate
from langchain_finetune import arguments_match, tool_name_match

evaluate(my_chain, data="my-dataset", evaluators=[arguments_match, tool_name_match])
```
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import jsonschema_rs
from langsmith.schemas import Example

from langchain_finetune.content import entries, mapping
from langchain_finetune.evaluation.answers import AnswerView, ToolRequest, view

Score = dict[str, Any]

_NOT = r"can['\u2019]?t|cannot|can not|won['\u2019]?t|will not"
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['\u2019]?m|i am) (?:so |very |really )?(?:sorry|afraid|unable|not able)|sorry\b"
    rf"|(?:unfortunately,? )?i (?:{_NOT})\b|as an ai\b|i apologi[sz]e)",
    re.IGNORECASE,
)


def tool_name_match(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score 1 if the same tools are called in the same order, or none by both.

    Example:
        >>> call = {"content": "", "tool_calls": [{"name": "add", "args": {"a": 1}}]}
        >>> tool_name_match(call, {"content": "Hi", "tool_calls": []})
        {'key': 'tool_name_match', 'score': 0}
    """
    reference = view(reference_outputs)
    names = [[call.name for call in each] for each in (_made(outputs, reference), reference.calls)]
    return _score("tool_name_match", names[0] == names[1])


def arguments_match(
    inputs: dict[str, Any], outputs: dict[str, Any], reference_outputs: dict[str, Any]
) -> Score:
    """Score 1 if the same tools are called with equal arguments, valid by the tool's schema.

    What a chain parsed from calls, such as an object, is compared with the reference's arguments.

    Example:
        >>> call = {"content": "", "tool_calls": [{"name": "add", "args": {"a": 1}}]}
        >>> arguments_match({}, call, call)
        {'key': 'arguments_match', 'score': 1}
    """
    reference = view(reference_outputs)
    made = _made(outputs, reference)
    schemas = _tool_schemas(inputs)
    valid = all(_is_valid(schemas.get(call.name), call.arguments) for call in made)
    return _score("arguments_match", valid and made == reference.calls)


def valid_json(inputs: dict[str, Any], outputs: dict[str, Any]) -> Score:
    """Score 1 if the answer is JSON, and valid by the schema of the request, if it has one."""
    answer = view(outputs)
    asked = mapping(mapping(mapping(inputs).get("response_format")).get("json_schema"))
    values = [] if answer.value is None else [answer.value]
    with suppress(ValueError, RecursionError):
        values.append(json.loads(answer.text))
    return _score("valid_json", any(_is_valid(asked.get("schema"), each) for each in values))


def exact_match(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score 1 if text and calls equal those of the reference."""
    answer, reference = view(outputs), view(reference_outputs)
    if reference.calls:
        same = _made(outputs, reference) == reference.calls
        same = same and (answer.value is not None or answer.text == reference.text)
    else:
        same = answer.text == reference.text and not answer.calls
    return _score("exact_match", same)


def normalized_text(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score 1 if the texts are equal without case, punctuation and extra space.

    Example:
        >>> normalized_text({"output": "It is 42."}, {"output": "it is  42"})
        {'key': 'normalized_text', 'score': 1}
    """
    same = _words(view(outputs).text) == _words(view(reference_outputs).text)
    return _score("normalized_text", same)


def refusal_match(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score 1 if the answer refuses where the reference does, and only there.

    A refusal is what the API marks as one, or English text that begins like one.

    Example:
        >>> refusal_match({"output": "I'm sorry, but I can't."}, {"output": "42"})
        {'key': 'refusal_match', 'score': 0}
    """
    same = _refuses(view(outputs)) == _refuses(view(reference_outputs))
    return _score("refusal_match", same)


def length_ratio(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score the length of the text: 1 if it is that of the reference, 0.5 if twice or half as long.

    Example:
        >>> length_ratio({"output": "12345"}, {"output": "1234567890"})
        {'key': 'length_ratio', 'score': 0.5}
    """
    sizes = sorted(len(view(each).text) for each in (outputs, reference_outputs))
    return {"key": "length_ratio", "score": sizes[0] / sizes[1] if sizes[1] else 1.0}


def answer_agreement(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> Score:
    """Score how far the answer says the same as the recorded one: F1 of their words.

    With calls in either, it is 1 if these are equal, and 0 otherwise. It says nothing about
    quality: it rewards a model that imitates the faults of the recorded answers, too.
    """
    answer, reference = view(outputs), view(reference_outputs)
    if answer.calls or reference.calls:
        return _score("answer_agreement", _made(outputs, reference) == reference.calls)
    ours, theirs = Counter(_words(answer.text)), Counter(_words(reference.text))
    if not ours and not theirs:
        return {"key": "answer_agreement", "score": 1.0}
    score = 2 * (ours & theirs).total() / (ours.total() + theirs.total())
    return {"key": "answer_agreement", "score": score}


BUILT_IN = {
    each.__name__: each
    for each in (
        tool_name_match,
        arguments_match,
        valid_json,
        exact_match,
        normalized_text,
        refusal_match,
        length_ratio,
        answer_agreement,
    )
}
"""All evaluators, by their names, which are their keys as well."""

_SHORT = 60
"""Characters up to which equal texts can be expected of two models."""


def default_evaluators(examples: Sequence[Example]) -> list[Any]:
    """Return the evaluators that fit the data, `answer_agreement` last; none without references."""
    references = [view(each.outputs) for each in examples if each.outputs]
    if not references:
        return []
    chosen: list[Any] = []
    if any(each.calls for each in references):
        chosen += [arguments_match, tool_name_match]
    if any(mapping(each.inputs).get("response_format") for each in examples):
        chosen += [exact_match, valid_json]
    texts = [each.text for each in references if each.text]
    if texts:
        if all(len(text) <= _SHORT for text in texts):
            chosen.append(normalized_text)
        chosen += [refusal_match, length_ratio]
    return [*chosen, answer_agreement]


def _made(outputs: Any, reference: AnswerView) -> list[ToolRequest]:
    """Return the calls made; what was parsed from them has the names of the reference's calls."""
    answer = view(outputs)
    if answer.calls or answer.value is None or not reference.calls:
        return answer.calls
    values = answer.value if isinstance(answer.value, list) else [answer.value]
    if len(values) != len(reference.calls):
        return []
    pairs = list(zip(values, reference.calls, strict=True))
    # An object without any of the arguments was not parsed from such a call.
    if any(not mapping(value).keys() & mapping(call.arguments).keys() for value, call in pairs):
        return []
    return [ToolRequest(call.name, value) for value, call in pairs]


def _score(key: str, passed: bool) -> Score:  # noqa: FBT001 - it is what is scored
    return {"key": key, "score": int(passed)}


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    # Of a text without words, such as an emoji, all counts.
    return re.findall(r"\w+(?:[.,]\d+)*", plain) or plain.split()


def _refuses(answer: AnswerView) -> bool:
    return bool(answer.refusal or (not answer.calls and _REFUSAL.match(answer.text)))


def _tool_schemas(inputs: Any) -> dict[str, Any]:
    given = mapping(inputs)
    tools = [mapping(each).get("function") for each in entries(given.get("tools"))]
    functions = [mapping(each) for each in (*tools, *entries(given.get("functions")))]
    return {str(each.get("name")): each.get("parameters") for each in functions if each}


def _is_valid(schema: Any, value: Any) -> bool:
    """Return whether a value is valid by a schema; without a usable one, whether it is parsed."""
    if not isinstance(schema, Mapping):
        return not isinstance(value, str)
    try:
        return jsonschema_rs.is_valid(dict(schema), value)
    except (jsonschema_rs.ValidationError, ValueError):
        # The app's schema is not a JSON schema: it can't be held against the answer.
        return not isinstance(value, str)
