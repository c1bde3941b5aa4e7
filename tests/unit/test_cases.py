"""Cases of a comparison: from training lines to a dataset's examples."""

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langsmith.schemas import Example

from langchain_finetune import CompareError
from langchain_finetune.convert.rows import Row
from langchain_finetune.evaluation.cases import cases_of, content_hash, groups_of, training_line
from langchain_finetune.evaluation.chains import chat_input, model_name, takes_tools

SYSTEM = {"role": "system", "content": "Calculate."}
USER = {"role": "user", "content": "What's 3*7?"}


def called(call_id="c1"):
    function = {"name": "calculator", "arguments": '{"expression": "3*7"}'}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id="c1"):
    return {"role": "tool", "tool_call_id": call_id, "content": "21"}


SAID = {"role": "assistant", "content": "It is 21."}
MORE = {"role": "user", "content": "And twice that?"}


def row(name, *messages, source=None, **fields):
    return Row(name, source or {"thread_id": "t"}, example={"messages": list(messages), **fields})


def test_each_request_is_a_case():
    rows = [row("r1", SYSTEM, USER, called()), row("r2", SYSTEM, USER, called(), result(), SAID)]
    first, second = cases_of(rows, agent=False)
    assert first["inputs"] == {"messages": [SYSTEM, USER]}
    assert first["reference_outputs"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "calculator", "args": {"expression": "3*7"}}],
    }
    assert second["inputs"]["messages"] == [SYSTEM, USER, called(), result()]
    assert second["reference_outputs"]["content"] == "It is 21."
    assert second["metadata"]["group"] == "t"


def test_an_agents_run_is_one_case():
    # The ids of calls are random: each run may have its own.
    rows = [
        row("r1", SYSTEM, USER, called("x")),
        row("r2", SYSTEM, USER, called("c1"), result(), SAID),
        row("r3", SYSTEM, USER, called(), result(), SAID, MORE, called("c2")),
        row("r4", SYSTEM, USER, called(), result(), SAID, MORE, called("c3"), result("c3"), SAID),
    ]
    first, second = cases_of(rows, agent=True)
    assert first["inputs"]["messages"] == [SYSTEM, USER]
    # The ids of calls are counted, so that equal runs are equal.
    made = {"id": "call_1", "type": "function"}
    made["function"] = {"name": "calculator", "arguments": '{"expression":"3*7"}'}
    assert first["reference_outputs"] == {
        "messages": [
            USER,
            {"role": "assistant", "content": "", "tool_calls": [made]},
            {**result(), "tool_call_id": "call_1"},
            SAID,
        ],
        "content": SAID["content"],
        "tool_calls": [],
    }
    assert second["inputs"]["messages"] == [SYSTEM, USER, called(), result(), SAID, MORE]
    assert (
        second["metadata"]["recorded_calls"]
        == [{"name": "calculator", "arguments": '{"expression": "3*7"}', "result": "21"}] * 2
    )


def test_a_run_that_stopped_at_a_call_is_kept():
    [case] = cases_of([row("r1", SYSTEM, USER, called())], agent=True)
    [made] = case["reference_outputs"]["messages"][-1]["tool_calls"]
    assert made["function"] == {"name": "calculator", "arguments": '{"expression":"3*7"}'}
    assert case["reference_outputs"]["tool_calls"][0]["name"] == "calculator"


def test_other_lines():
    preference = Row(
        "r1",
        {"run_id": "r1"},
        example={
            "input": {"messages": [USER], "tools": [], "parallel_tool_calls": False},
            "preferred_output": [SAID],
            "non_preferred_output": [called()],
        },
    )
    completion = Row("r2", {}, example={"prompt": "3*7=", "completion": "21"})
    first, second = cases_of([preference, completion], agent=False)
    assert first["inputs"] == {"messages": [USER], "tools": [], "parallel_tool_calls": False}
    assert first["reference_outputs"]["content"] == "It is 21."
    assert first["metadata"]["group"] == "r1"
    assert second["inputs"]["messages"] == [{"role": "user", "content": "3*7="}]
    assert second["reference_outputs"]["content"] == "21"
    with pytest.raises(CompareError, match="r3 can't be a case"):
        cases_of([row("r3", USER)], agent=False)


def test_the_response_format_is_part_of_the_request():
    each = row("r1", USER, SAID)
    each.response_format = {"type": "json_object"}
    [case] = cases_of([each], agent=False)
    assert case["inputs"]["response_format"] == {"type": "json_object"}


def test_the_hash_is_that_of_the_content():
    one, two = row("r1", USER, SAID), row("r1", USER, called())
    first, second = (content_hash(cases_of([each], agent=False)) for each in (one, two))
    assert first == content_hash(cases_of([one], agent=False))
    assert first != second
    assert first != content_hash(cases_of([one], agent=True))


def example(case):
    return Example(
        id="3f0e2a4e-0000-4000-8000-000000000000",
        dataset_id="3f0e2a4e-0000-4000-8000-000000000001",
        inputs=case["inputs"],
        outputs=case.get("reference_outputs"),
        metadata=case.get("metadata"),
    )


@pytest.mark.parametrize("agent", [False, True])
def test_a_case_is_a_training_line_again(agent):
    tools = [{"type": "function", "function": {"name": "calculator"}}]
    line = row("r1", SYSTEM, USER, called(), result(), SAID, tools=tools)
    [case] = cases_of([line], agent=agent)
    assert training_line(example(case)) == line.example


def test_what_is_no_chat_is_no_training_line():
    assert training_line(example({"inputs": {"question": "3*7?"}})) is None


def test_the_group_of_a_case_is_its_conversation_or_itself():
    one = "3f0e2a4e-0000-4000-8000-000000000000"
    assert groups_of([example({"inputs": {}})]) == {one: one}
    assert groups_of([example({"inputs": {}, "metadata": {"session_id": "s"}})]) == {one: "s"}


def test_what_a_chain_is_given():
    given = chat_input([SYSTEM, {"role": "developer", "content": "Be short."}, USER, SAID, MORE])
    assert [each.type for each in given["messages"]] == ["human", "ai", "human"]
    assert (given["input"], given["system"]) == ("And twice that?", "Calculate.\n\nBe short.")
    assert chat_input([SYSTEM])["input"] == ""


def test_names_of_models():
    model = ChatOpenAI(model="gpt-4.1", api_key="none")
    assert model_name(model) == "gpt-4.1"
    assert model_name(model.bind(stop=["x"]).with_retry()) == "gpt-4.1"
    assert model_name(model.with_fallbacks([model])) == "gpt-4.1"
    assert model_name(lambda value: value) == "function"


def test_functions_of_the_model():
    assert takes_tools(lambda model: model) is False
    assert takes_tools(lambda model, tools: model) is True
    assert takes_tools(lambda model, retries=3: model) is False
    with pytest.raises(CompareError, match="not a RunnableLambda"):
        takes_tools(RunnableLambda(lambda value: value))
