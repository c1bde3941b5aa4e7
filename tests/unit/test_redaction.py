"""Private text leaves every place where text can be."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langsmith.anonymizer import create_anonymizer, create_secret_anonymizer

from langchain_finetune import Convert, ConvertError
from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.convert.redaction import redacted_rows
from langchain_finetune.convert.rows import Outcome, Row, conversations
from langchain_finetune.convert.texts import change_texts

PLANTED = "Zebulon"


def redact(text):
    return text.replace(PLANTED, "NAME")


def redacted(example, function=redact):
    outcome = Outcome()
    [row] = redacted_rows(iter([Row("r", {}, example=example)]), outcome, function)
    return row.example, outcome


def with_arguments(arguments):
    function = {"name": "find", "arguments": arguments}
    call = {"id": "c", "type": "function", "function": function}
    return {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}


EVERYWHERE = {
    "messages": [
        {"role": "system", "content": f"You serve {PLANTED}."},
        {"role": "user", "name": PLANTED, "content": [{"type": "text", "text": f"I am {PLANTED}"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {
                        "name": "find",
                        "arguments": json.dumps(
                            {"who": PLANTED, "more": [{"of": PLANTED}, 1, None]}
                        ),
                    },
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "find", "content": f'{{"a": "{PLANTED}"}}'},
        {"role": "assistant", "content": None, "refusal": f"Not for {PLANTED}"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": f"No, {PLANTED}"}]},
        {"role": "assistant", "content": f"Bye {PLANTED}", "reasoning_content": f"{PLANTED} goes"},
        {
            "role": "assistant",
            "content": "",
            "function_call": {"name": "f", "arguments": f"no json {PLANTED}"},
        },
        {"role": "user", "content": [{"type": "file", "file": {"filename": f"{PLANTED}.pdf"}}]},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "find",
                "description": f"Finds {PLANTED}",
                "parameters": {
                    "type": "object",
                    "properties": {"who": {"type": "string", "description": f"As {PLANTED}"}},
                },
            },
        }
    ],
}


def test_it_leaves_every_text():
    example, outcome = redacted(EVERYWHERE)
    assert PLANTED not in json.dumps(example)
    assert json.dumps(example).count("NAME") == json.dumps(EVERYWHERE).count(PLANTED) - 1
    assert "name" not in example["messages"][1]
    assert example["messages"][3]["name"] == "find"
    assert outcome.counts == {"redacted": 1}


def test_the_example_given_is_not_changed():
    before = json.dumps(EVERYWHERE)
    redacted(EVERYWHERE)
    assert json.dumps(EVERYWHERE) == before


def test_what_holds_nothing_private_stays_as_it_was():
    given_example = with_arguments('{ "a":1.0,  "b": "Ü"}')
    example, outcome = redacted(given_example)
    assert example is given_example
    assert not outcome.counts


def test_arguments_stay_json():
    example, _ = redacted(
        with_arguments(json.dumps({"a": f'"{PLANTED}"\n', "n": 10**20, "é": True}))
    )
    arguments = example["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"a": '"NAME"\n', "n": 10**20, "é": True}


@pytest.mark.parametrize("arguments", [f'{{"a": 1e999, "b": "{PLANTED}"}}', f"[{PLANTED}", PLANTED])
def test_arguments_that_json_can_not_say_are_redacted_as_text(arguments):
    example, _ = redacted(with_arguments(arguments))
    function = example["messages"][0]["tool_calls"][0]["function"]
    assert function["arguments"] == arguments.replace(PLANTED, "NAME")


def test_what_json_escapes_in_a_tool_result_is_seen():
    """`json.dumps` writes a name with an accent as an escape, which no redactor would know."""
    content = json.dumps({"name": "Zoë Ångström", "n": 1})
    said = {"messages": [{"role": "tool", "tool_call_id": "c", "content": content}]}
    example, _ = redacted(said, lambda text: text.replace("Zoë Ångström", "NAME"))
    assert example["messages"][0]["content"] == '{"name": "NAME", "n": 1}'
    assert redacted(said)[0] is said


def test_preferences_and_completions_too():
    said = [{"role": "assistant", "content": PLANTED}]
    preference = {
        "input": {"messages": [{"role": "user", "content": PLANTED}], "tools": []},
        "preferred_output": said,
        "non_preferred_output": said,
    }
    assert PLANTED not in json.dumps(redacted(preference)[0])
    assert redacted({"prompt": PLANTED, "completion": PLANTED})[0] == {
        "prompt": "NAME",
        "completion": "NAME",
    }
    places = []
    change_texts(preference, lambda text, index: places.append(index) or text)
    assert places == [0, 1, 2]
    assert [len(each) for each in conversations(preference)] == [2, 2]


@st.composite
def examples(draw):
    """Chats with the planted text somewhere in any text, quoted and nested in any way."""
    hidden = st.tuples(st.text(max_size=8), st.text(max_size=8)).map(PLANTED.join)
    anything = st.recursive(
        hidden | st.text(max_size=8) | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    )
    arguments = json.dumps({"a": draw(anything)}, ensure_ascii=draw(st.booleans()))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": draw(hidden)},
            {"role": "assistant", "content": draw(hidden), "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": json.dumps(draw(anything))},
            {"role": "assistant", "content": [{"type": "text", "text": draw(hidden)}]},
        ]
    }


@given(examples())
def test_redaction_never_leaves_the_planted_text_and_never_breaks_a_chat(example):
    assert not errors_of(check_example(example))
    changed, _ = redacted(example)
    assert PLANTED not in json.dumps(changed, ensure_ascii=False)
    assert not errors_of(check_example(changed))


NAMES = st.sampled_from(
    [
        "messages",
        "input",
        "preferred_output",
        "tools",
        "prompt",
        "role",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "function_call",
        "description",
        "enum",
        "default",
        "properties",
        "parameters",
        "text",
        "file",
        "filename",
        "refusal",
    ]
)


@given(
    st.dictionaries(
        NAMES,
        st.recursive(
            st.none() | st.integers() | st.text(max_size=3) | st.just("tool"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
            max_leaves=12,
        ),
    )
)
def test_broken_examples_go_through_to_the_checks(example):
    """Redaction and the search for secrets come before the checks."""
    assert change_texts(example, lambda text, _: text) is example


@pytest.mark.parametrize(
    "function",
    [
        create_anonymizer([{"pattern": re.compile(PLANTED), "replace": "NAME"}]),
        create_anonymizer(redact),
        create_anonymizer(lambda text, path: redact(text)),
    ],
)
def test_langsmiths_anonymizers_fit_as_they_are(function):
    assert redacted(EVERYWHERE, function)[0] == redacted(EVERYWHERE)[0]


def test_langsmiths_anonymizer_of_secrets_fits_too():
    example, _ = redacted(
        {"prompt": "AKIAIOSFODNN7EXAMPLE", "completion": "ok"}, create_secret_anonymizer()
    )
    assert example["prompt"] == "[SECRET_DETECTED]"


@pytest.mark.parametrize("function", [lambda text: None, lambda text: text.encode()])
def test_a_function_that_returns_no_text_is_one_sentence(function):
    with pytest.raises(ConvertError, match=r"redact function returned (NoneType|bytes)") as caught:
        redacted(EVERYWHERE, function)
    assert PLANTED not in str(caught.value)


def test_convert_redacts_before_it_compares_and_checks():
    def session(name):
        call = {"name": "find", "args": {"who": name}, "id": "c"}
        return {
            "messages": [
                HumanMessage(f"Where is {name}?"),
                AIMessage("", tool_calls=[call]),
                ToolMessage(f"{name} is here", tool_call_id="c"),
                AIMessage(f"{name} is here."),
            ]
        }

    convert = Convert(
        redact=lambda text: re.sub("Ada|Grace", "NAME", text), duplicates="drop_exact"
    )
    examples = convert.invoke([session("Ada"), session("Grace")])
    [line] = examples
    assert "Ada" not in json.dumps(line)
    assert examples.notes == {"redacted": 2}
    assert examples.rejected_by_reason() == {"duplicate": 1}


async def test_ainvoke_gives_the_same():
    session = {"messages": [HumanMessage(PLANTED), AIMessage("Yes")]}
    convert = Convert(redact=redact, model="nano", secrets="redact", duplicates="drop_exact")
    one, other = convert.invoke([session]), await convert.ainvoke([session])
    assert list(one) == list(other)
    assert one.notes == other.notes == {"redacted": 1}
