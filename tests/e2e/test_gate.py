"""The gate, on the cases that were held out from a training; and cases that training saw."""

import json
import logging
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langsmith import Client, tracing_context
from langsmith.evaluation import EvaluationResult

from langchain_finetune import (
    Compare,
    CompareError,
    Convert,
    FineTune,
    Gate,
    GateError,
    GateWarning,
    InvalidArgumentError,
    Split,
)
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.evaluation.case_files import held_out_cases
from langchain_finetune.evaluation.cases import cases_of
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.loaders.langsmith_client import request_json
from support.model_server import text
from support.rule_server import RuleServer
from support.store import store_client

COUNT = 120


def asked_number(body):
    return int(body["messages"][-1]["content"].split()[1].split("*")[0])


def good(body):
    return text(f"It is {7 * asked_number(body)}.")


def bad(body):
    return text("I don't know.") if asked_number(body) % 2 else good(body)


@pytest.fixture(scope="module")
def server():
    return RuleServer(good=good, as_good=good, bad=bad)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def sessions(count=COUNT, start=0):
    return [
        {
            "messages": [
                HumanMessage(f"What's {number}*7?"),
                AIMessage(f"It is {7 * number}."),
            ],
            "source": {"run_id": f"r{number}", "thread_id": f"t{number // 2}"},
        }
        for number in range(start, start + count)
    ]


def converted(**split):
    return Convert(split=Split(**(split or {"test": 0.4}))).invoke(sessions())


def trained_on(examples):
    """The metadata of a model that was trained on examples; its files are in the spool."""
    spec = FineTune(model="gpt-4.1-mini", engine="openai").spec_of(examples)
    return {"job_id": "ftjob-1", **spec.metadata}


def compare_with(model, client, **settings):
    return Compare(
        chain=lambda model: (
            ChatPromptTemplate.from_messages([("placeholder", "{messages}")])
            | model
            | StrOutputParser()
        ),
        old=model("good"),
        client=client,
        **settings,
    )


def correct(outputs, reference_outputs):
    return outputs["output"] == reference_outputs["content"]


async def run(gate, model, how):
    if how == "sync":
        return gate.invoke(model)
    return await gate.ainvoke(model)


HOW = pytest.mark.parametrize("how", ["sync", "async"])


@HOW
async def test_a_model_that_is_as_good_passes(client, model, how, caplog):
    examples = converted()
    held_out = list(examples.part("test").rows())
    tuned = model("as_good", metadata=trained_on(examples))
    gate = Gate(
        compare_with(model, client, evaluators=[correct]),
        at_least={"correct": -0.1},
        confidence=0.9,
    )
    with caplog.at_level(logging.INFO, "langchain_finetune"):
        passed = await run(gate, tuned, how)
    assert passed.model_name == "as_good"
    assert passed.invoke("What's 3*7?").content == "It is 21."
    told = passed.metadata["gate"]
    assert told["verdict"] == "pass"
    assert told["differences"][0]["cases"] == len(held_out)
    assert passed.metadata["job_id"] == "ftjob-1"
    assert "gate" not in tuned.metadata
    # Numbers and names, no texts.
    assert "What" not in json.dumps(told)
    [line] = [each.message for each in caplog.records if each.name.endswith("gate")]
    assert line.startswith("Gate: as_good against good: pass. correct: ")
    project = client.read_project(project_name=told["experiment"])
    assert project.metadata["job_id"] == "ftjob-1"
    groups = {
        example.metadata["group"] for example in client.list_examples(dataset_name=told["dataset"])
    }
    assert groups == {row.source["thread_id"] for row in held_out}


@HOW
async def test_a_worse_one_leaves_the_old(client, model, how):
    tuned = model("bad", metadata=trained_on(converted()))
    gate = Gate(compare_with(model, client, evaluators=[correct]), at_least={"correct": -0.1})
    with pytest.warns(GateWarning, match=r"The old model stays. bad against good: fail") as warned:
        assert await run(gate, tuned, how) is gate.compare.old
    if how == "sync":  # The caller of a task is not on its stack.
        assert warned[0].filename == __file__


def test_or_it_raises(client, model):
    tuned = model("bad", metadata=trained_on(converted()))
    gate = Gate(compare_with(model, client), at_least={"normalized_text": -0.1}, otherwise="raise")
    with pytest.raises(GateError, match="bad against good: fail") as raised:
        gate.invoke(tuned)
    result = raised.value.result
    assert result.decision.verdict == "fail"
    assert result.differences[0].losses > 10


def test_a_rule_for_an_unknown_evaluator_keeps_the_comparison(client, model):
    def hidden(outputs):
        return EvaluationResult(key="of_its_own", score=1)

    compare = compare_with(model, client, evaluators=[hidden])
    gate = Gate(compare, Convert().invoke(sessions(4)), at_least={"hidden": -0.1})
    with pytest.raises(GateError, match="there is only of_its_own") as raised:
        gate.invoke(model("as_good"))
    assert len(raised.value.result.cases) == 4


def test_too_few_cases_never_pass(client, model):
    data = Convert().invoke(sessions(20))
    gate = Gate(compare_with(model, client), data, otherwise="raise")
    with pytest.raises(GateError, match=r"too_few.*About \d+ cases would show it") as raised:
        gate.invoke(model("as_good"))
    assert raised.value.result.decision.rules[0].cases_needed > 20


SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("engine", "rules", "forced"),
    [("local", None, False), ("openai", None, True), ("local", "openai", True)],
)
def test_a_case_that_had_no_response_format_is_asked_without(model, engine, rules, forced):
    """Only where lines can't hold one is that of most requests taken for all."""
    given = [
        {**each, "response_format": FORMAT} if number % 5 < 3 else each
        for number, each in enumerate(sessions())
    ]
    examples = Convert(split=Split(test=0.4), rules=rules).invoke(given)
    bases = {"local": "nano", "openai": "gpt-4.1-mini"}
    spec = FineTune(model=bases[engine], engine=engine).spec_of(examples)
    cases = cases_of(held_out_cases(model("as_good", metadata=spec.metadata)).rows(), agent=False)
    asked = [each["inputs"].get("response_format") for each in cases]
    assert FORMAT in asked
    assert (None not in asked) is forced


def test_its_data_can_be_given(client, model):
    gate = Gate(
        compare_with(model, client),
        data=Convert().invoke(sessions(80)),
        at_least={"answer_agreement": -0.1},
    )
    assert gate.invoke(model("as_good")).metadata["gate"]["verdict"] == "pass"


@HOW
async def test_the_callers_trace_names_the_models_only(client, model, how, tmp_path):
    """Headers of a chat model may be secrets, which its serialization does not hide."""
    hidden = {"default_headers": {"X-Api-Key": "secret-of-a-header"}}
    compare = compare_with(model, client).model_copy(update={"old": model("good", **hidden)})
    gate = Gate(compare, Convert().invoke(sessions(80)), at_least={"answer_agreement": -0.1})
    with store_client(tmp_path / "own.db") as own:
        with tracing_context(enabled=True, client=own, project_name="caller"):
            await run(gate, model("as_good", **hidden), how)
            with pytest.warns(GateWarning):
                await run(gate, model("bad", **hidden), how)
        own.flush()
        project = own.read_project(project_name="caller").id
        body = {"session": [str(project)]}
        traced = request_json(own, "POST", "/runs/query", body=body)["runs"]
    assert sorted(each["name"] for each in traced) == ["Compare", "Compare", "Gate", "Gate"]
    assert "secret-of" not in str(traced)
    assert "What's" not in str(traced)
    told = {
        side: {(each["name"], str(each[side])) for each in traced} for side in ("inputs", "outputs")
    }
    assert told["inputs"] == {
        (name, str({"input": f"model='{new}'{data}"}))
        for new in ("as_good", "bad")
        for name, data in (("Gate", ""), ("Compare", " data=Examples"))
    }
    assert ("Gate", str({"output": "model='good'"})) in told["outputs"]


async def test_other_arguments_of_a_call_are_ignored(client, model):
    gate = Gate(compare_with(model, client), Convert().invoke(sessions(4)), otherwise="raise")
    given = {"model": model("as_good"), "data": gate.data}
    assert len(gate.compare.invoke(given, None, any=1).cases) == 4
    assert len((await gate.compare.ainvoke(given, None, any=1)).cases) == 4
    with pytest.raises(GateError):
        gate.invoke(given["model"], None, any=1)
    with pytest.raises(GateError):
        await gate.ainvoke(given["model"], None, any=1)


def test_a_bound_model_keeps_its_binding(client, model):
    gate = Gate(
        compare_with(model, client),
        data=Convert().invoke(sessions(80)),
        at_least={"answer_agreement": -0.1},
    )
    passed = gate.invoke(model("as_good").bind(stop=["!"]).with_fallbacks([model("good")]))
    assert passed.runnable.kwargs == {"stop": ["!"]}
    assert passed.runnable.bound.metadata["gate"]["verdict"] == "pass"
    assert passed.invoke("What's 3*7?").content == "It is 21."


def test_the_schemas_of_a_chain_with_a_gate(client, model):
    gate = Gate(compare_with(model, client))
    chain = Convert() | FineTune(model="nano", engine="local") | gate
    assert chain.get_input_jsonschema()["type"] == "array"
    assert chain.get_output_jsonschema()["type"] == "object"
    assert gate.get_input_jsonschema()["type"] == "object"
    assert gate.compare.get_output_jsonschema()["title"] == "ComparisonResult"
    with pytest.raises(InvalidArgumentError, match="did you mean 'at_least'"):
        Gate(gate.compare, at_leest={"correct": -0.1})


def test_of_split_examples_the_test_part_is_taken(client, model):
    examples = converted()
    result = compare_with(model, client).invoke({"model": model("as_good"), "data": examples})
    assert len(result.cases) == len(list(examples.part("test")))


def test_what_gates_can_not_do(client, model):
    gate = Gate(compare_with(model, client))
    with pytest.raises(CompareError, match="is not on this machine"):
        gate.invoke(model("as_good", metadata={"training_sha256": "0" * 64}))
    examples = Convert().invoke(sessions())
    with pytest.raises(CompareError, match="Nothing was held out from the training of as_good"):
        gate.invoke(model("as_good", metadata=trained_on(examples)))
    with pytest.raises(CompareError, match="Gate takes a chat model"):
        gate.invoke(StrOutputParser())


def test_cases_that_training_saw_are_left_out(client, model):
    examples = converted()
    tuned = model("as_good", metadata=trained_on(examples))
    training = {row.id for row in examples.part("train").rows()}
    mixed = Convert().invoke(sessions(COUNT + 10))
    result = compare_with(model, client).invoke({"model": tuned, "data": mixed})
    assert len(result.refused) == len(training)
    assert len(result.cases) == COUNT + 10 - len(training)
    assert all("The training file contains it (line " in each.reason for each in result.refused)
    asked = {case.inputs["messages"][0]["content"] for case in result.cases}
    assert not asked & {f"What's {name.removeprefix('r')}*7?" for name in training}


LONG = "Please tell me in a few words what the weather will be like in Paris tomorrow morning at "


def test_so_are_near_ones_and_those_with_another_answer(client, model):
    def chat(asked, said, name):
        return {"messages": [HumanMessage(asked), AIMessage(said)], "source": {"run_id": name}}

    learned = [chat(f"{LONG}{n} in district {n}", "It rains.", f"l{n}") for n in range(10)]
    longer = chat("Is it late?", "Yes, it is past nine o'clock.", "long")
    more = [HumanMessage("And is it warm outside in this season?"), AIMessage("No, it is cold.")]
    learned.append({**longer, "messages": [*longer["messages"], *more]})
    trained = Convert(duplicates="keep").invoke(learned)
    tuned = model("as_good", metadata=trained_on(trained))
    data = [
        chat(f"{LONG}3 in  district 3 ", "It rains!", "near"),
        chat(f"{LONG}3 in district 3", "It snows, and there will be a lot of wind.", "answer"),
        chat(f" {LONG.upper()}4 in\ndistrict 4", "It snows, and there will be a lot of wind.", "a"),
        longer,
        *sessions(3),
    ]
    result = compare_with(model, client).invoke({"model": tuned, "data": Convert().invoke(data)})
    reasons = sorted(each.reason for each in result.refused)
    assert reasons == [
        "The training file contains nearly the same (line 4).",
        "The training file contains the same request (line 11).",
        "The training file contains the same request (line 4).",
        "The training file contains the same request (line 5).",
    ]
    assert len(result.cases) == 3


def test_if_training_saw_all_there_is_nothing_to_compare(client, model, server):
    server.requests.clear()
    examples = Convert().invoke(sessions(20))
    tuned = model("as_good", metadata=trained_on(examples))
    with pytest.raises(CompareError, match=r"All 20 cases are in the training file of as_good"):
        compare_with(model, client).invoke({"model": tuned, "data": examples})
    assert server.requests == []


def test_datasets_of_chats_are_checked_too(client, model):
    examples = Convert().invoke(sessions(20))
    tuned = model("as_good", metadata=trained_on(examples))
    dataset = client.create_dataset("chats")
    chats = [
        {
            "inputs": {"messages": [{"role": "user", "content": f"What's {number}*7?"}]},
            "reference_outputs": {
                "message": {"role": "assistant", "content": f"It is {7 * number}."}
            },
        }
        for number in range(15, 25)
    ]
    other = [{"inputs": {"messages": "What's 3*7?"}, "reference_outputs": {"answer": "21"}}]
    client.create_examples(dataset_id=dataset.id, examples=[*chats, *other])
    compare = Compare(
        chain=lambda model: (lambda inputs: inputs["messages"]) | model,
        old=model("good"),
        client=client,
    )
    result = compare.invoke({"model": tuned, "data": "chats"})
    # Also the one that is no chat: the chain sends the same request.
    assert (len(result.refused), len(result.cases)) == (6, 5)


def spoken(system, template):
    return lambda model: ChatPromptTemplate.from_messages([("system", system), template]) | model


@HOW
@pytest.mark.parametrize(
    ("chain", "inputs"),
    [
        (spoken("Calculate.", "{question}"), lambda n: {"question": f"What's {n}*7?"}),
        (spoken("Calculate.", "What's {a}*{b}?"), lambda n: {"a": n, "b": 7}),
        (
            lambda model: RunnableLambda(
                lambda case: model.invoke(
                    [("system", "Calculate."), ("user", f"What's {case['of']}*7?")],
                    {"callbacks": []},
                )
            ),
            lambda n: {"of": n},
        ),
        (
            lambda model: create_agent(model, system_prompt="Calculate."),
            lambda n: {"messages": [{"role": "user", "content": f"What's {n}*7?"}]},
        ),
    ],
)
async def test_the_requests_that_a_chain_sends_are_checked(
    client, model, server, how, chain, inputs
):
    """Whatever the inputs of the dataset are: cases that training saw are left out."""
    learned = sessions(30)
    for session in learned:
        session["messages"].insert(0, SystemMessage("Calculate."))
    tuned = model("as_good", metadata=trained_on(Convert().invoke(learned)))
    dataset = client.create_dataset(f"sums {uuid4()}")
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"inputs": inputs(n), "reference_outputs": {"answer": "Another one."}}
            for n in range(25, 35)
        ],
    )

    def scored(outputs):
        return bool(outputs)

    compare = Compare(chain=chain, evaluators=[scored], old=model("good"), client=client)
    given = {"model": tuned, "data": dataset.name}
    server.requests.clear()
    result = compare.invoke(given) if how == "sync" else await compare.ainvoke(given)
    assert [each.reason for each in result.refused] == [
        f"The training file contains the same request (line {n})." for n in range(26, 31)
    ]
    assert (len(result.cases), result.differences[0].cases) == (5, 5)
    # The old model is not asked about those.
    assert [each["model"] for each in server.requests].count("good") == 5
    everything = model("as_good", metadata=trained_on(Convert().invoke(learned + learned)))
    client.delete_examples([each.id for each in result.cases])
    with pytest.raises(CompareError, match=r"All 5 cases are in the training file of as_good"):
        compare.invoke({"model": everything, "data": dataset.name})


def asked(client, *cases):
    """A dataset of questions, each with a thread or none."""
    dataset = client.create_dataset(f"sums {uuid4()}")
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {
                "inputs": {"messages": [{"role": "user", "content": question}]},
                "reference_outputs": {"output": "It is 21."},
                "metadata": {} if thread is None else {"thread_id": thread},
            }
            for question, thread in cases
        ],
    )
    return dataset.name


def test_the_same_question_many_times_is_one(client, model):
    data = asked(client, *[("What's 3*7?", n) for n in range(70)])
    gate = Gate(Compare(old=model("good"), client=client), data, otherwise="raise")
    with pytest.raises(GateError, match="too_few") as raised:
        gate.invoke(model("as_good"))
    result = raised.value.result
    assert (result.differences[0].cases, result.differences[0].groups) == (70, 1)
    assert any(each.startswith("69 cases repeat the request") for each in result.notes)


def test_conversations_of_the_same_requests_are_one(client, model):
    three, four = "What's 3*7?", "What's 4*7?"
    data = asked(
        client,
        *[(three, 0), (four, 0)],
        *[(four, "a"), ("What's 3*7? ", "a")],
        *[(three, "b"), ("What's 5*7?", "b")],
        *[(three, None), ("what's  3*7?", None), (four, None)],
    )
    compare = Compare(old=model("good"), client=client)
    result = compare.invoke({"model": model("as_good"), "data": data})
    group = [case.group for case in result.cases]
    assert group[0] == group[1] == group[2] == group[3] == "0"
    assert group[4] == group[5] == "b"
    assert group[6] == group[7] != group[8]
    assert result.differences[0].groups == 4


def test_the_gate_says_what_is_unknown(client, model, caplog):
    data = Convert().invoke(sessions(80))
    gate = Gate(compare_with(model, client), data, at_least={"answer_agreement": -0.1})
    passed = gate.invoke(model("as_good"))
    note = "The training file of as_good is not known: whether training saw the cases is unchecked."
    assert passed.metadata["gate"]["notes"] == [note]
    [line] = [each for each in caplog.records if each.name.endswith("gate")]
    assert (line.levelname, note in line.message) == ("WARNING", True)
    with pytest.warns(GateWarning, match="is not known: whether training saw"):
        gate.invoke(model("bad"))


def test_what_is_unknown_is_said(client, model):
    data = Convert().invoke(sessions(3))
    compare = compare_with(model, client)
    result = compare.invoke({"model": model("as_good"), "data": data})
    assert any("The training file of as_good is not known" in note for note in result.notes)
    elsewhere = model("as_good", metadata={"training_sha256": "0" * 64})
    result = compare.invoke({"model": elsewhere, "data": data})
    assert any("is not on this machine" in note for note in result.notes)


@HOW
async def test_without_a_key_the_engine_keeps_the_experiments(model, how, monkeypatch, home):
    for name in ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    compare = compare_with(model, None)
    given = {"model": model("bad"), "data": Convert().invoke(sessions(4))}
    try:
        result = compare.invoke(given) if how == "sync" else await compare.ainvoke(given)
        engine = ensure_engine(home)
        assert result.url == f"{engine.url}/ui/comparisons/{result.id}"
        client = Client(api_url=engine.url, api_key=engine.api_key.get_secret_value())
        project = client.read_project(project_id=result.new_experiment.id)
        assert project.metadata["model"] == "bad"
        client.cleanup()
    finally:
        stop_engine(home, timeout_s=60)


def test_with_a_key_it_is_langsmith(client, model, monkeypatch, home):
    monkeypatch.setenv("LANGSMITH_API_KEY", "any")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", client.api_url)
    result = compare_with(model, None).invoke(
        {"model": model("as_good"), "data": Convert().invoke(sessions(4))}
    )
    assert client.read_project(project_id=result.new_experiment.id).metadata["model"] == "as_good"
    assert not home.exists()
