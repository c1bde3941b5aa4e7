"""Calls in the forms of templates: found by rendering, asked for, and read again."""

import json
from functools import cache

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.structured.closed_schema import Closed
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Shape
from langchain_finetune.local.templates.call_form import (
    ID,
    INDEX,
    NAME,
    CallForm,
    FieldArguments,
    JsonArguments,
    find_call_form,
)
from langchain_finetune.local.templates.call_parser import CallReader, pattern_of
from langchain_finetune.local.templates.prepare import prepare
from langchain_finetune.local.templates.turns import answer_turn, closing_mark
from tests.local.families import CHATML, FAMILIES, tokenizer_of
from tests.local.test_templates import encoder_of

# Forms.


def writer(call, *, opening="", joint="", closing=""):
    """What a template that writes each call by a function writes of an answer."""

    def written(message):
        calls = [each["function"] for each in message["tool_calls"]]
        parts = [
            call(place, each["name"], each["arguments"], len(calls))
            for place, each in enumerate(calls)
        ]
        return opening + joint.join(parts) + closing

    return written


def fields(
    write, *, between="<a k=", head="<call={name}>", tail="</call>", value="{key}>{value}</a>"
):
    """A call whose arguments are written one by one."""

    def call(place, name, arguments, count):
        inside = "".join(
            between + value.format(key=key, value=write(each)) for key, each in arguments.items()
        )
        return head.format(name=name, place=place, count=count) + inside + tail

    return call


def as_json(value):
    return value if isinstance(value, str) else json.dumps(value)


def form_of(written, *, one_call=False):
    return find_call_form(written, ["<end>"], one_call=one_call)


def test_arguments_that_are_written_one_by_one_are_found():
    form = form_of(writer(fields(as_json)))
    assert isinstance(form.arguments, FieldArguments)
    assert (form.before, form.after, form.joint) == ("<call=", "</call>", "")
    assert CallReader(form).read("<call=f><a k=n>5</a></call>") == [("f", {"n": "5"})]


def test_a_running_number_after_or_before_the_name_is_found():
    for head, text in (("<call={name}:{place}>", "<call=f:3>"), ("<call n={place} {name}>", None)):
        form = form_of(writer(fields(as_json, head=head)))
        assert INDEX in form.between + form.before
        if text:
            assert CallReader(form).read(f"{text}<a k=n>5</a></call>") == [("f", {"n": "5"})]


@pytest.mark.parametrize(
    "written",
    [
        # Nothing marks a call.
        writer(lambda place, name, arguments, count: f"{name}{json.dumps(arguments)}"),
        # The arguments are left out.
        writer(lambda place, name, arguments, count: f"<call>{name}"),
        # Each argument begins in another way.
        writer(
            lambda place, name, arguments, count: (
                f"<call={name}>"
                + "".join(f"{key}{at}={each}" for at, (key, each) in enumerate(arguments.items()))
            )
        ),
        # Lists, and what is true, are written as something else.
        writer(fields(lambda value: value if isinstance(value, int | str) else "?")),
        writer(fields(lambda value: "yes" if value is True else as_json(value))),
        writer(fields(lambda value: "1; 2" if isinstance(value, list) else as_json(value))),
        writer(
            fields(lambda value: "[itema; true]" if isinstance(value, list) else as_json(value))
        ),
        # Several calls begin in another way than one.
        writer(fields(as_json, head="<call of {count}={name}>")),
        # The second call is written in another way.
        writer(
            lambda place, name, arguments, count: (
                f"<call={name}>{json.dumps(arguments)}</call>" if not place else f"and {name}"
            )
        ),
    ],
)
def test_what_can_not_be_read_again_is_no_form(written):
    assert form_of(written) is None


def test_a_form_of_one_call_an_answer_has_no_joint():
    call = writer(lambda place, name, arguments, count: f"<c>{name}{json.dumps(arguments)}</c>")
    form = form_of(call, one_call=True)
    assert (form.before, form.joint, form.closing) == ("<c>", None, "")


# Reading.


def test_marks_in_a_forms_text_are_patterns():
    assert pattern_of(f"a{ID}b{INDEX}c{NAME}") == r"a[\w-]*b\d*c(?P=name)"


NAMED = CallForm(
    "", '<c>{"name": "', '", "arguments": ', JsonArguments(", ", ": "), "}</c>", "", ""
)
KEYED = CallForm("", '<c>{"', '": ', JsonArguments(", ", ": "), "}</c>", "", "")


@pytest.mark.parametrize(
    ("form", "answer", "calls"),
    [
        (NAMED, 'So: <c>{"name": "f", "arguments": {"a": 1}}</c>', [("f", {"a": 1})]),
        (NAMED, '<c>{"arguments": {"a": 1}, "name": "f"}</c>', [("f", {"a": 1})]),
        (NAMED, '<c>{"tool": "f"}</c>', None),
        (NAMED, "<c>[5]</c>", None),
        (NAMED, '<c>{"name": </c>', None),
        (KEYED, '<c>{"f": {"a": 1}}</c>', [("f", {"a": 1})]),
        (NAMED, "Nothing.", []),
    ],
)
def test_calls_in_an_answer_are_read_or_none_is(form, answer, calls):
    assert CallReader(form).read_all(answer) == calls


QUOTED = FieldArguments(
    "<k>", dict.fromkeys(("string", "number", "boolean", "null", "array", "object"), "="), "</k>",
    "", ('"', '"'), False, ("true", "false", "null"), "python", False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('<k>a="x"</k>', {"a": "x"}),
        ("<k>a=['x', True]</k>", {"a": ["x", True]}),
        ("<k>a=['x', oh]</k>", {"a": "['x', oh]"}),
        ('<k>a="x', None),
        ("<k>a=5</k>", {"a": "5"}),
    ],
)
def test_fields_are_read_or_the_call_is_malformed(written, value):
    form = CallForm("", "<c>", ":", QUOTED, "</c>", "", "")
    found = CallReader(form).read(f"<c>f:{written}</c>")
    assert found == (None if value is None else [("f", value)])


def test_a_field_that_never_ends_is_malformed():
    bare = FieldArguments(
        "<k>", QUOTED.prefixes, "</k>", "", ("", ""), False, QUOTED.words, "json", False
    )
    reader = CallReader(CallForm("", "<c>", ":", bare, "</c>", "", ""))
    assert reader.read("<c>f:<k>a=5</k></c>") == [("f", {"a": "5"})]
    assert reader.read("<c>f:<k>a=5") is None


def test_thoughts_of_each_kind_are_closed():
    assert closing_mark("<|channel>thought\n") == "<channel|>"
    assert answer_turn("[bot]<think>", "[bot]\n</think>Yes.<end>") == "\n</think>Yes.<end>"
    opened = "Result 7.[bot]"
    assert answer_turn(opened + "[bot]", opened + "Yes.<end>", ["[bot]"]) == "Yes.<end>"


# Asking.

NODE = {
    "type": "object",
    "properties": {
        "label": {"enum": ["leaf", "fork"]},
        "weight": {"type": "number"},
        "gone": {"type": "null"},
        "next": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["label"],
}
SCHEMA = {
    "type": "object",
    "properties": {
        "tree": {"$ref": "#/$defs/node"},
        "sure": {"const": True},
        "size": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        "kind": {"enum": ["a", 1, ["x"], {"k": "v"}]},
        "empty": {"type": "object"},
    },
    "required": ["tree"],
    "$defs": {"node": NODE},
}
LEAF = {"label": "leaf"}
FITTING = [
    {"tree": LEAF},
    {"tree": {"label": "fork", "next": [LEAF, {"label": "fork", "next": [LEAF]}]}},
    {"tree": {"label": "leaf", "weight": 0.5}, "sure": True, "size": 3},
    {"tree": LEAF, "size": False, "kind": "a"},
    {"tree": LEAF, "kind": 1},
    {"tree": LEAF, "kind": ["x"]},
    {"tree": LEAF, "kind": {"k": "v"}},
    {"tree": LEAF, "empty": {}},
]
WRONG = [
    {"sure": True},
    {"tree": {"weight": 1}},
    {"tree": {"label": "root"}},
    {"tree": {"label": "fork", "next": ["leaf"]}},
    {"tree": LEAF, "sure": False},
    {"tree": LEAF, "size": "large"},
    {"tree": LEAF, "kind": 2},
    {"tree": LEAF, "other": 1},
]


@pytest.fixture(params=["Gemma 4", "GLM 4.5", "Qwen 3.5", "Qwen 3"])
def family(request):
    return next(each for each in FAMILIES if each.name == request.param)


@cache
def matcher_of(family, strict):
    from llguidance.hf import from_tokenizer

    from langchain_finetune.local.serving.structured.grammar import compile_shape

    encoder = encoder_of(family)
    tokenizer, form = encoder.tokenizer, encoder.form
    ends = tokenizer.convert_tokens_to_ids(list(form.ends))
    vocabulary = from_tokenizer(tokenizer, eos_token=ends)
    special = {
        str(added): token
        for token, added in tokenizer.added_tokens_decoder.items()
        if vocabulary.is_special_token(token) and token not in ends
    }
    schema = SCHEMA
    if strict is None:
        schema = {"type": "object", "properties": {"note": {"type": "string", "pattern": "^a"}}}
    tool = AnswerSchema("plan", schema, "tools", bool(strict) or strict is None)
    shape = Shape(None, free=False, tools=(tool,), parallel=False)
    return compile_shape(shape, form, vocabulary, special)


def takes(family, arguments, *, strict=False):
    """Whether a forced call can be what the family's template writes of these arguments."""
    encoder = encoder_of(family)
    function = {"name": "plan", "arguments": json.dumps(arguments)}
    call = {"id": "call_0xyz", "type": "function", "function": function}
    asked = {"role": "user", "content": "Plan it."}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    tool = {"type": "function", "function": {"name": "plan", "parameters": SCHEMA}}
    [sequence] = encoder.sequences({"messages": [asked, answer], "tools": [tool]})
    text = encoder.tokenizer.decode([token for token in sequence.labels if token >= 0])
    for end in encoder.form.ends:
        text = text.removesuffix(end)
    text = text.removeprefix(encoder.form.opening)
    tokens = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    matcher = matcher_of(family, strict).deep_copy()
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("arguments", FITTING, ids=str)
def test_a_forced_call_may_have_all_that_fits_its_schema(family, arguments):
    assert takes(family, arguments)


@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_a_forced_call_has_nothing_that_does_not_fit(family, arguments):
    assert not takes(family, arguments)


def test_a_strict_tool_that_can_not_be_enforced_is_refused(family):
    if family.name == "Qwen 3":
        assert matcher_of(family, None)  # Its arguments are JSON, which can have a pattern.
        return
    with pytest.raises(ApiError, match="'pattern' can't be enforced in the form") as told:
        matcher_of(family, None)
    assert told.value.code == "invalid_function_parameters"


# Schemas that are closed.


def test_what_lies_behind_a_reference_may_be_named_beside_it():
    base = {"type": "object", "properties": {"a": {}}}
    schema = {
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"properties": {"b": {}}, "anyOf": [{"properties": {"c": {}}}, True]},
        ],
        "$defs": {"base": base},
    }
    first, second = Closed(schema).schema["allOf"]
    [base] = first["allOf"]
    assert set(base["properties"]) == {"a", "b", "c"}
    assert base["additionalProperties"] is False
    assert [set(part["properties"]) for part in second["anyOf"]] == [{"a", "b", "c"}, {"a", "b"}]


@pytest.mark.parametrize("reference", ["other.json#/a", "#/$defs/none", "#/$defs/loop"])
def test_a_schema_whose_references_lead_elsewhere_stays_as_it_is(reference):
    loop = {"allOf": [{"$ref": "#/$defs/loop"}, {"properties": {"b": {}}}]}
    schema = {"allOf": [{"$ref": reference}, {"properties": {"a": {}}}], "$defs": {"loop": loop}}
    assert Closed(schema).schema == schema


def test_alternatives_behind_references_are_compared():
    schema = {
        "oneOf": [{"$ref": "#/$defs/a"}, {"type": "object", "properties": {"a": {}}}],
        "$defs": {"a": {"type": "object", "properties": {"a": {}}}},
    }
    first, _ = Closed(schema).overlaps()
    assert first["allOf"][0]["$ref"] == "#/$defs/closed/$defs/a"
    assert "closed" in first["$defs"]


# Templates of their own for chats with tools.


def test_a_base_with_a_template_for_tools_gets_one_for_all_chats():
    family = next(each for each in FAMILIES if each.name == "Qwen 3")
    tokenizer = tokenizer_of(family)
    own = tokenizer.chat_template
    asked = [{"role": "user", "content": "How is it?"}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    def shown(tools=None):
        return tokenizer.apply_chat_template(asked, tools=tools, tokenize=False)

    with_tools = shown([tool])
    tokenizer.chat_template = CHATML
    without = shown()
    tokenizer.chat_template = {"default": CHATML, "tool_use": own}
    prepare(tokenizer)
    assert shown([tool]) == with_tools
    assert shown() == without
    tokenizer.chat_template = {"default": own}
    prepare(tokenizer)
    assert tokenizer.chat_template.endswith(own)
