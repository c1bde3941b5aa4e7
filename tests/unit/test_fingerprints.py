"""Examples that the model sees alike share a key; others do not."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_finetune.convert.fingerprints import (
    _WORD,
    _words,
    exact_key,
    plain_arguments,
    row_key,
)
from langchain_finetune.convert.rows import Row
from langchain_finetune.dialects.fast_path import traced_line
from support.usual_runs import USUAL

TEXT = st.text(st.sampled_from('ab"\\/\n\x00\u007fé今𐒠 {}[]:,'), max_size=6)
NUMBERS = st.integers() | st.floats() | st.integers(2**62, 2**66) | st.booleans()
VALUES = st.recursive(
    st.none() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)


HELLO = {"role": "user", "content": "Hi"}


def key_of(example):
    return row_key(Row("r", {}, example=example))


def usual(name="call_1", arguments='{"a": 1, "b": 2}', **more):
    function = {"name": "find", "arguments": arguments}
    call = {"id": name, "type": "function", "function": function}
    said = [
        {"role": "system", "content": "Be brief.", "weight": None},
        {"role": "user", "content": 'Where "is"\nit?', "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": f"{name}x"}]},
        {"role": "tool", "content": "Here", "tool_call_id": f"{name}x"},
        {"role": "tool", "content": "There", "tool_call_id": name},
        {"role": "assistant", "content": "Here.", "weight": 1},
    ]
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"x": 1.0}}}]
    return {"messages": said, "tools": tools, **more}


def test_what_the_model_sees_alike_has_one_key():
    expected = exact_key(usual())
    alike = [
        usual(),
        usual("other", '{"b":2,"a":1}'),
        usual(parallel_tool_calls=False),
        {"messages": usual()["messages"], "tools": [dict(reversed(usual()["tools"][0].items()))]},
    ]
    assert {key_of(each) for each in alike} == {expected}
    others = [
        usual(arguments='{"a": 1, "b": 3}'),
        usual(tools=None),
        usual(tools=[]),
        {"messages": [HELLO]},
        {"messages": [HELLO, HELLO]},
        {"messages": [{**HELLO, "name": "ann"}]},
        {"messages": [{**HELLO, "role": "system"}]},
    ]
    assert len({expected, *(key_of(each) for each in others)}) == len(others) + 1


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "user", "content": "Hi", "refusal": None},
        {"role": "user", "content": "Hi", "tool_calls": None, "tool_call_id": None},
    ],
)
def test_an_unusual_line_is_like_a_usual_one_that_says_the_same(message):
    assert key_of({"messages": [message]}) == key_of({"messages": [HELLO]})


def test_the_key_is_made_once_and_goes_with_the_example():
    row = Row("r", {}, example=usual())
    key = row_key(row)
    assert row.key == key
    assert row.changed({"messages": [HELLO]}).key is None


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, st.booleans(), st.booleans())
def test_arguments_are_alike_where_python_reads_them_alike(one, other, ascii_only, spaced):
    """Integers of any size, and what only Python takes for numbers, are told apart."""

    def canonical(text):
        return json.dumps(json.loads(text), sort_keys=True)

    first, second = json.dumps(one), json.dumps(other)
    again = json.dumps(one, ensure_ascii=ascii_only, separators=None if spaced else (",", ":"))
    assert plain_arguments(first) == plain_arguments(again)
    alike = canonical(first) == canonical(second)
    assert (plain_arguments(first) == plain_arguments(second)) == alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("NaN", "null"),
        ("NaN", '"NaN"'),
        ("Infinity", "-Infinity"),
        ("100000000000000000000", "100000000000000000001"),
        ("100000000000000000000", "1e20"),
        ('"\\ud800"', '"\\ud801"'),
        ("[true]", "[1]"),
    ],
)
def test_arguments_that_differ_stay_different(one, other):
    assert plain_arguments(one) != plain_arguments(other)


@pytest.mark.parametrize("name", USUAL)
def test_the_key_of_a_line_is_that_of_its_example(name):
    chat = traced_line(orjson.dumps(USUAL[name]))
    row = Row("r", {}, line=chat.line, fit_for=chat.fit_for)
    assert row_key(row) == exact_key(orjson.loads(chat.line))
    if name != "no tools":
        assert row.encoded is not None


@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_are_those_of_other_texts(text):
    assert _words(text) == _WORD.findall(text)
