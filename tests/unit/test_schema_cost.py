"""Schemas that stand for more than anybody can check end in a warning, and others are checked."""

import json

import pytest

from langchain_finetune.checks import OPENAI, check_example
from langchain_finetune.checks.schema_cost import is_costly, takes_too_long

DOUBLING = {
    "$ref": "#/$defs/0",
    "$defs": {
        **{str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)},
        "60": {"required": ["no"]},
    },
}
EITHER = {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}] * 2}
TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["value"],
}


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def codes(schema, arguments):
    function = {"name": "f", "arguments": json.dumps(arguments)}
    call = {"id": "c", "type": "function", "function": function}
    example = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    return [(found.code, found.severity) for found in check_example(example, OPENAI)]


@pytest.mark.parametrize(
    ("schema", "arguments"), [(DOUBLING, {}), (EITHER, nested(60)), (EITHER, nested(400))]
)
def test_what_would_take_for_ever_is_a_warning(schema, arguments):
    assert codes(schema, arguments) == [("unchecked_tool_schema", "warning")]


def test_a_schema_that_names_itself_is_checked():
    leaf = {"value": "x"}
    tree = {"value": "x", "children": [{"value": "y", "children": [leaf] * 20}] * 20}
    assert codes(TREE, tree) == []
    broken = {"value": "x", "children": [{"value": "y", "children": [{"children": []}]}]}
    assert codes(TREE, broken) == [("arguments_against_schema", "error")]
    assert codes(EITHER, nested(3)) == [("arguments_against_schema", "error")]


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"items": {"$ref": "#"}, "prefixItems": [{"$ref": "#/prefixItems/0"}]},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"$ref": "#/$defs/a%2Fb"}}},
        {"$ref": "#/nowhere", "properties": {"a": True}, "anyOf": 5},
        {"$ref": "https://elsewhere.example/schema"},
        {"$ref": "#/anyOf/" + "9" * 5_000, "anyOf": [{"$ref": "#/anyOf/²"}]},
    ],
)
def test_odd_references_end(schema):
    is_costly(schema)
    assert not takes_too_long(schema, {"a": [1, {"b": []}]})
