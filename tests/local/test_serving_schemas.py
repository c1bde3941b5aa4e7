"""A JSON schema is enforced, or refused with the true reason."""

import json

import jsonschema_rs
import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Shape
from tests.local.forms import NANO

A = {"type": "object", "properties": {"a": {"type": "string"}}}
B = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
AB = {"a": {"type": "string"}, "b": {"type": "integer"}}
NODE = {
    "type": "object",
    "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/N"}},
    "required": ["v"],
}


def kind(name):
    return {"type": "object", "properties": {"kind": {"const": name}}, "required": ["kind"]}


def definitions(schema, **defined):
    return schema | {"$defs": defined}


@pytest.fixture(scope="module")
def nano():
    from langchain_finetune.local.serving.loading import load

    return load(NANO)


def compiled(nano, schema, *, strict=True):
    from langchain_finetune.local.serving.structured.grammar import compile_shape

    asked = AnswerSchema("answer", schema, "response_format", strict)
    shape = Shape(asked, free=False, tools=(), parallel=False)
    return compile_shape(shape, nano.form, nano.vocabulary, nano.special)


def takes(nano, schema, value):
    matcher = compiled(nano, schema)
    tokens = nano.tokenizer.encode(json.dumps(value), add_special_tokens=False)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


ENFORCED = {
    "anyOf beside properties": (
        {"type": "object", "properties": AB, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": "x"}, {"b": 1}, {"a": "x", "b": 1}],
        [{}, {"a": "x", "c": 1}],
    ),
    "anyOf with properties of its own": (
        A | {"anyOf": [B, {"properties": {"c": {"type": "null"}}, "required": ["c"]}]},
        [{"b": 1}, {"a": "x", "b": 1}, {"a": "x", "c": None}],
        [{}, {"a": "x"}, {"b": "x"}, {"b": 1, "d": 1}],
    ),
    "anyOf of references beside properties": (
        definitions(A | {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]}, B=B),
        [{"b": 1}, {"a": "x", "b": 1}],
        [{}, {"a": "x"}, {"b": 1, "c": 1}],
    ),
    "a required field that is not described": (
        A | {"required": ["z"]},
        [{"z": None}, {"a": "x", "z": {"any": [1]}}],
        [{}, {"a": "x"}, {"z": 1, "y": 1}],
    ),
    "allOf": (
        {"allOf": [A, B]},
        [{"b": 1}, {"a": "x", "b": 1}],
        [{}, {"a": "x"}, {"b": 1, "c": 1}],
    ),
    "allOf beside properties": (
        {"type": "object", "properties": {"c": {}}, "allOf": [{"$ref": "#/$defs/B"}]}
        | {"$defs": {"B": B}},
        [{"c": 1, "b": 1}],
        [{"c": 1}, {"b": 1, "d": 1}],
    ),
    "a reference beside properties": (
        definitions(A | {"$ref": "#/$defs/B"}, B=B),
        [{"b": 1}, {"a": "x", "b": 1}],
        [{}, {"b": 1, "c": 1}],
    ),
    "a reference beside a description": (
        definitions(
            {"type": "object", "properties": {"p": {"$ref": "#/$defs/B", "title": "P"}}}, B=B
        ),
        [{"p": {"b": 1}}],
        [{"p": {"b": 1, "c": 1}}, {"p": {}}],
    ),
    "recursion": (
        definitions({"$ref": "#/$defs/N"}, N=NODE),
        [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}],
        [{"v": 1, "next": {}}, {"v": 1, "w": 1}],
    ),
    "recursion beside properties": (
        definitions({"$ref": "#/$defs/N", "required": ["w"]}, N=NODE),
        [{"v": 1, "w": 1}, {"v": 1, "next": {"v": 2}, "w": 1}],
        [{"v": 1}],
    ),
    "fields of any name": (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        [{}, {"x": 1}],
        [{"x": "y"}],
    ),
    "open where it says so": (
        A | {"additionalProperties": True, "anyOf": [B, {"required": ["c"]}]},
        [{"b": 1, "z": 1}, {"c": 1}],
        [{}, {"a": 1, "b": 1}],
    ),
    "names that are keywords": (
        {"type": "object", "properties": {"allOf": A, "additionalProperties": {}, "const": A}},
        [{"allOf": {"a": "x"}, "additionalProperties": 1, "const": {"a": "x"}}],
        [{"allOf": {"b": 1}}, {"const": {"b": 1}}, {"b": 1}],
    ),
    "enum of several types": (
        {"enum": ["a", 1, None, True, {"x": 1}, [1, 2]]},
        ["a", 1, None, True, {"x": 1}, [1, 2]],
        ["b", 2, False, {"x": 2}, [1]],
    ),
    "enum within a type": ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
    "const": ({"const": {"a": [1, "x"]}}, [{"a": [1, "x"]}], [{"a": [1]}, {}]),
    "prefixItems": (
        {"type": "array", "prefixItems": [{"type": "string"}, A], "items": False, "minItems": 1},
        [["x"], ["x", {"a": "y"}]],
        [[], [1], ["x", {"b": 1}], ["x", {}, 1]],
    ),
    "oneOf told apart by a const": (
        {"oneOf": [kind("x"), kind("y")]},
        [{"kind": "x"}, {"kind": "y"}],
        [{"kind": "z"}, {}],
    ),
    "oneOf of different fields": (
        {"oneOf": [A | {"required": ["a"]}, B]},
        [{"a": "x"}, {"b": 1}],
        [{"a": "x", "b": 1}, {}],
    ),
    "pattern and length": (
        {"type": "string", "pattern": "^a+$", "minLength": 2, "maxLength": 3},
        ["aa", "aaa"],
        ["a", "aaaa", "ab"],
    ),
    "format": ({"type": "string", "format": "date"}, ["2026-11-30"], ["2026-13-01", "x"]),
    "multipleOf": (
        {"type": "integer", "multipleOf": 3, "minimum": 1, "maximum": 10},
        [3, 9],
        [0, 4, 12],
    ),
    "number of fields": (
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
        [{"x": 1}],
        [{}],
    ),
}


@pytest.mark.parametrize("name", ENFORCED)
def test_enforced(nano, name):
    schema, right, wrong = ENFORCED[name]
    valid = jsonschema_rs.validator_for(schema, validate_formats=True).is_valid
    assert all(map(valid, right))
    assert [value for value in right if not takes(nano, schema, value)] == []
    assert [value for value in wrong if takes(nano, schema, value)] == []


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (A | {"required": ["z"], "additionalProperties": False}, "'z' is unsatisfiable"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "'a' is unsatisfiable"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength (5) is greater"),
        ({"type": "string", "enum": [1]}, "incompatible types"),
        ({"type": "integer", "multipleOf": 10, "minimum": 1, "maximum": 9}, "multiple of 10"),
        ({"type": "string", "pattern": "(?=a)a"}, "look-around"),
        ({"type": "string", "format": "our-own"}, "Unknown format: our-own"),
        ({"oneOf": [A, B]}, "two alternatives of its oneOf"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "two alternatives of its oneOf"),
        # {"a": ..., "c": 1} would satisfy the second, closed, and the first as well.
        (
            {"oneOf": [A | {"required": ["a"]}, A | {"required": ["a", "c"]}]},
            "two alternatives of its oneOf",
        ),
        ({"type": "object", "properties": {"a": {"not": {}}}}, '"not"'),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"if": {"type": "string"}, "then": {"minLength": 2}}, '"if"'),
        ({"$ref": "#/$defs/Gone"}, "/$defs/Gone"),
        (definitions(A | {"$ref": "#/$defs/Gone"}, B=B), "/$defs/Gone"),
        (definitions(A | {"$ref": "#/$defs/L"}, L={"$ref": "#/$defs/L"}), "intersection stack"),
    ],
)
def test_refused_with_the_reason(nano, schema, reason):
    with pytest.raises(ApiError) as caught:
        compiled(nano, schema)
    assert reason in caught.value.message


def test_references_that_multiply_are_left_open():
    """Written out, each level would have two copies of the next."""
    from langchain_finetune.local.serving.structured.closed_schema import Closed

    pairs = {
        f"L{level}": {
            "type": "object",
            "properties": {
                side: {"$ref": f"#/$defs/L{level + 1}", "required": ["w"]} for side in ("l", "r")
            },
        }
        for level in range(30)
    }
    schema = definitions({"$ref": "#/$defs/L0", "required": ["w"]}, **pairs, L30=A)
    assert Closed(schema).schema is schema
