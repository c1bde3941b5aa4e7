"""What a model was trained with is known, found again, and watched over."""

import warnings

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from langchain_finetune.convert.contract import ContractBuilder, save_contract
from langchain_finetune.convert.rows import Row
from langchain_finetune.finetune.contract import (
    ContractWatch,
    difference,
    trained_contract,
)

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"type": "function", "function": {"name": "sub", "parameters": {"type": "object"}}}


def built(*examples, response_format=None):
    builder = ContractBuilder()
    for example in examples:
        row = Row("r", {}, example=example)
        row.response_format = response_format
        builder.add(row)
    return builder.contract()


def chat(system=None, **more):
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": first + said, **more}


def test_the_most_usual_request_is_the_contract():
    contract = built(
        chat("Add.", tools=[ADD], parallel_tool_calls=False),
        chat("Add.", tools=[ADD], parallel_tool_calls=False),
        chat("Subtract.", tools=[ADD, SUB]),
        chat(),
        response_format={"type": "json_object"},
    )
    assert contract.examples == 4
    assert contract.tools == [ADD]
    assert len(contract.tool_lists) == 3
    assert (contract.system_prompt, contract.system_prompts) == ("Add.", 3)
    assert contract.response_format == {"type": "json_object"}
    assert contract.parallel_tool_calls is False
    assert contract.formats == 4
    assert built(chat()).formats == 0
    assert "Add." not in repr(contract)


def test_a_preference_example_has_its_request_below_input():
    contract = built({"input": chat("Add.", tools=[ADD]), "preferred_output": []})
    assert (contract.tools, contract.system_prompt) == ([ADD], "Add.")


def test_legacy_functions_count_as_tools():
    contract = built(chat(tools=[ADD]), chat(functions=[ADD["function"]]), chat())
    assert (contract.tools, len(contract.tool_lists)) == ([ADD], 2)


def test_memory_is_bounded_however_many_prompts_there_are():
    contract = built(*(chat(f"It is {second}.") for second in range(1000)))
    assert contract.system_prompts == 256


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([ADD, SUB], "new: sub"),
        ([SUB], "new: sub; missing: add"),
        ([{**ADD, "function": {"name": "add"}}], "changed: add (parameters.type)"),
        ([ADD, "odd"], "new: ?"),
    ],
)
def test_the_difference_is_told_in_names(tools, said):
    assert difference(tools, [ADD]) == said


async def test_other_tools_warn_once_and_known_ones_never():
    watch = ContractWatch(built(chat(tools=[ADD])), "ft:nano:x")
    model = FakeListChatModel(responses=["ok"], callbacks=[watch])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await model.ainvoke("Hi", tools=[dict(reversed(ADD.items()))])
    with pytest.warns(UserWarning, match="ft:nano:x .*missing: add"):
        await model.ainvoke("Hi", tools=[SUB])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.invoke("Hi", tools=[SUB])


def test_a_model_finds_its_contract_by_the_hash_of_its_training_file(tmp_path):
    contract = built(chat(tools=[ADD]))
    save_contract(contract, "ab" * 32, tmp_path)
    model = ChatOpenAI(model="x", api_key="k", metadata={"training_sha256": "ab" * 32})
    assert trained_contract(model, tmp_path) == contract
    assert trained_contract(ChatOpenAI(model="x", api_key="k"), tmp_path) is None
    strange = ChatOpenAI(model="x", api_key="k", metadata={"training_sha256": "../../etc"})
    assert trained_contract(strange, tmp_path) is None
    watched = ChatOpenAI(model="x", api_key="k", callbacks=[ContractWatch(contract, "x")])
    assert trained_contract(watched, tmp_path / "elsewhere") == contract
