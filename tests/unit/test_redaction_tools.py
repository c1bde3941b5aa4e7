"""Redaction within tools and their arguments: what is a name stays, what is data goes."""

import json

import pytest

from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.convert.redaction import redacted_rows
from langchain_finetune.convert.rows import Outcome, Row

PLANTED = "Zebulon"


def redacted(example):
    [row] = redacted_rows(
        iter([Row("r", {}, example=example)]), Outcome(), lambda text: text.replace(PLANTED, "NAME")
    )
    return row.example


def with_arguments(arguments):
    function = {"name": "find", "arguments": arguments}
    call = {"id": "c", "type": "function", "function": function}
    return {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}


def tool(name, **schema):
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def test_ids_and_names_of_tools_and_their_properties_stay():
    given_example = with_arguments(json.dumps({PLANTED: {"at": {f"{PLANTED} 2": "x"}}}))
    given_example["messages"][0]["tool_calls"][0]["id"] = PLANTED
    given_example["messages"][0]["tool_calls"][0]["function"]["name"] = PLANTED
    below = {"type": "object", "properties": {f"{PLANTED} 2": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {
            PLANTED: {"type": "object", "properties": {"at": {"$ref": f"#/$defs/{PLANTED}"}}}
        },
        "required": [PLANTED],
        "$defs": {PLANTED: below},
    }
    given_example["tools"] = [tool(PLANTED, **schema)]
    assert not errors_of(check_example(given_example))
    assert redacted(given_example) is given_example


def test_data_in_a_schema_is_redacted_like_the_arguments_and_fits_them_still():
    who = {
        "title": f"Of {PLANTED}",
        "enum": [PLANTED, "NAME", 1, True],
        "default": PLANTED,
        "examples": [PLANTED],
    }
    more = {"const": {PLANTED: [PLANTED]}}
    given_example = with_arguments(json.dumps({"who": PLANTED, "more": {PLANTED: [PLANTED]}}))
    given_example["tools"] = [
        tool("find", type="object", properties={"who": who, "more": more, "enum": who})
    ]
    assert not errors_of(check_example(given_example))
    example = redacted(given_example)
    assert not errors_of(check_example(example))
    assert PLANTED not in json.dumps(example)
    properties = example["tools"][0]["function"]["parameters"]["properties"]
    assert properties["who"]["enum"] == ["NAME", 1, True]
    assert properties["enum"] == properties["who"]
    assert properties["more"] == {"const": {"NAME": ["NAME"]}}


@pytest.mark.parametrize(
    ("tools", "arguments", "becomes"),
    [
        # A tool that takes anything: its keys are data, and stay apart.
        (
            [tool("find", type="object", additionalProperties={"type": "integer"})],
            {PLANTED: 1, f"{PLANTED}": 2, f"{PLANTED} x": 3, "NAME": 4},
            {"NAME 2": 2, "NAME x": 3, "NAME": 4},
        ),
        # Nothing is known of the tool: what it is called with by name, stays.
        ([], {f"of {PLANTED}": {PLANTED: 1}}, {f"of {PLANTED}": {"NAME": 1}}),
    ],
)
def test_keys_that_are_data_are_redacted(tools, arguments, becomes):
    given_example = {**with_arguments(json.dumps(arguments)), "tools": tools}
    example = redacted(given_example)
    function = example["messages"][0]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == becomes


def test_an_enum_that_nothing_private_is_in_stays_as_it_was():
    given_example = {"messages": [], "tools": [tool("find", enum=["a", "a", 1, True])]}
    assert redacted(given_example) is given_example


def test_tools_that_many_chats_have_are_redacted_once():
    asked = []

    def redact(text):
        asked.append(text)
        return text.replace(PLANTED, "NAME")

    large = tool("count", const=2**70, description=f"Of {PLANTED}")
    tools = [[tool("find", description=f"{PLANTED} {number}")] for number in range(40)]
    examples = [{"messages": [], "tools": each} for each in (*tools, *tools[-8:], [large], [large])]
    rows = [Row(str(number), {}, example=each) for number, each in enumerate(examples)]
    made = [each.example["tools"][0] for each in redacted_rows(iter(rows), Outcome(), redact)]
    expected = [f"NAME {number}" for number in (*range(40), *range(32, 40))]
    texts = [each["function"]["parameters"]["description"] for each in made]
    assert texts == [*expected, "Of NAME", "Of NAME"]
    assert made[-1]["function"]["parameters"]["const"] == 2**70
    assert asked == [f"{PLANTED} {number}" for number in range(40)] + [f"Of {PLANTED}"] * 2
