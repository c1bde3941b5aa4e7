"""The grammar of calls within any text, for templates that mark calls in different ways."""

from dataclasses import replace

import pytest

from langchain_finetune.local.serving.structured.shape import AnswerSchema, Shape
from langchain_finetune.local.templates.call_form import CallForm, JsonArguments
from tests.local.forms import NANO

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOLS = (AnswerSchema("f", SCHEMA, "tools[0]"),)


@pytest.fixture(scope="module")
def nano():
    from langchain_finetune.local.serving.loading import load

    return load(NANO)


def takes(nano, text, *, before, after, shape=None):
    """Whether a grammar takes a whole text."""
    from langchain_finetune.local.serving.structured.grammar import compile_shape

    shape = shape or Shape(None, free=True, tools=TOOLS, parallel=True)
    call = CallForm("", before, '", "arguments": ', JsonArguments(", ", ": "), after, "", "")
    form = replace(nano.form, opening="", call=call)
    matcher = compile_shape(shape, form, nano.vocabulary, nano.special)
    tokens = nano.tokenizer.encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("before", "after"),
    [('<tool_call>{"name": "', "}</tool_call>"), ('[CALL] {"name": "', "}"), ('<f n="', "</f>")],
    ids=["a special token", "text", "text in angles"],
)
@pytest.mark.parametrize("said", ["", "Let me see.\n"])
def test_calls_after_any_text(nano, before, after, said):
    call = f'{before}f", "arguments": {{"a": 5}}{after}'
    mark = {"before": before, "after": after}
    assert takes(nano, said, **mark)
    assert takes(nano, said + call, **mark)
    assert takes(nano, said + call + call, **mark)
    assert not takes(nano, said + call.replace("5", '"x"'), **mark)
    assert not takes(nano, said + call.replace('f", "arg', 'g", "arg'), **mark)
    assert not takes(nano, said + before, **mark)


def test_thoughts_are_the_models_own(nano):
    text = "<tool_response>hm</tool_response>Yes."
    assert takes(nano, text, before='<tool_call>{"name": "', after="}</tool_call>")


def test_a_document_or_calls(nano):
    shape = Shape(AnswerSchema("", SCHEMA, ""), free=False, tools=TOOLS, parallel=False)
    mark = {"before": '<tool_call>{"name": "', "after": "}</tool_call>", "shape": shape}
    call = '<tool_call>{"name": "f", "arguments": {"a": 5}}</tool_call>'
    assert takes(nano, '{"a": 1}', **mark)
    assert takes(nano, call, **mark)
    assert not takes(nano, call + call, **mark)
    assert not takes(nano, "Yes.", **mark)
    assert not takes(nano, '{"a": 1, "b": 2}', **mark)
