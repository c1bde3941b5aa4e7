"""Comparisons: LangSmith's own client and evaluators, a real run store, models over HTTP."""

import asyncio
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from langsmith import tracing_context
from langsmith.evaluation import EvaluationResult, EvaluationResults
from openevals.exact import exact_match
from openevals.json import create_json_match_evaluator
from openevals.llm import create_llm_as_judge
from openevals.trajectory import create_trajectory_match_evaluator
from pydantic import BaseModel

from langchain_finetune import Compare, CompareError, Convert, LoadError
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.loaders.langsmith_client import request_json
from support.model_server import call, text
from support.rule_server import RuleServer
from support.servers import served
from support.store import Gate, store_client
from tests.local.conftest import until

RUN = []


@tool
def calculator(expression: str) -> str:
    """Calculate a product."""
    RUN.append(expression)
    left, right = expression.split("*")
    return str(int(left) * int(right))


TOOLS = [convert_to_openai_tool(calculator)]
PROMPT = ChatPromptTemplate.from_messages([("system", "Calculate."), ("placeholder", "{messages}")])


def number_of(body):
    """The number that a request is about: the user asks "What's 3*7?"."""
    [asked] = [each["content"] for each in body["messages"] if each["role"] == "user"]
    return int(asked.split()[1].split("*")[0])


def right(body):
    """Call the calculator, then say its result."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return text(f"It is {last['content']}.")
    return call("calculator", json.dumps({"expression": f"{number_of(body)}*7"}))


def often_wrong(body):
    """As `right`, but it calculates something else for small numbers."""
    if body["messages"][-1]["role"] != "tool" and number_of(body) < 4:
        return call("calculator", '{"expression": "1*1"}')
    return right(body)


def speaks(body):
    return text(f"It is {7 * number_of(body)}.")


def speaks_wrong(body):
    return text("It is 0." if number_of(body) < 4 else f"It is {7 * number_of(body)}.")


def broken(body):
    return 400 if number_of(body) < 4 else speaks(body)


def person(body):
    if body.get("tools"):
        return call("Person", '{"name": "Ada"}')
    return text('{"name": "Ada"}')


def judge(body):
    """OpenAI's structured output: 1 for each answer that mentions a 7."""
    schema = body["response_format"]["json_schema"]["schema"]
    values = {"score": "is 0" not in str(body["messages"]), "reasoning": "It says so."}
    return text(json.dumps({name: values[name] for name in schema["properties"]}))


@pytest.fixture(scope="module")
def server():
    return RuleServer(
        right=right,
        often_wrong=often_wrong,
        speaks=speaks,
        speaks_wrong=speaks_wrong,
        broken=broken,
        all_broken=lambda _: 400,
        gone=lambda _: 404,
        no_key=lambda _: 401,
        judge=judge,
        person=person,
    )


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    RUN.clear()


def chats(count=12, *, tools=True):
    """Recorded sessions, with an agent's two requests each, or one with plain text."""
    return Convert(duplicates="drop_exact").invoke(sessions_of(count, tools=tools))


def sessions_of(count, *, tools=True):
    sessions = []
    for number in range(count):
        asked = [SystemMessage("Calculate."), HumanMessage(f"What's {number}*7?")]
        source = {"thread_id": f"t{number}"}
        said = AIMessage(f"It is {7 * number}.")
        if not tools:
            sessions.append({"messages": [*asked, said], "source": {"run_id": f"r{number}"}})
            continue
        arguments = {"expression": f"{number}*7"}
        called = AIMessage("", tool_calls=[{"name": "calculator", "args": arguments, "id": "c"}])
        result = ToolMessage(str(7 * number), tool_call_id="c")
        for step, messages in enumerate([[called], [called, result, said]]):
            sessions.append(
                {
                    "messages": asked + messages,
                    "tools": TOOLS,
                    "source": {**source, "run_id": f"r{number}-{step}"},
                }
            )
    return sessions


def questions(client, name, count=8):
    """A dataset as users make them."""
    if not client.has_dataset(dataset_name=name):
        dataset = client.create_dataset(name)
        client.create_examples(
            dataset_id=dataset.id,
            examples=[
                {
                    "inputs": {"question": f"What's {number}*7?"},
                    "reference_outputs": {"output": f"It is {7 * number}."},
                    "metadata": {"thread_id": f"t{number // 2}"},
                }
                for number in range(count)
            ],
        )
    return name


def spoken(model):
    return ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()


def runs_of(client, project_id):
    return request_json(client, "POST", "/runs/query", body={"session": [str(project_id)]})["runs"]


def correct(outputs, reference_outputs):
    return outputs["output"] == reference_outputs["output"]


class Progress(BaseCallbackHandler):
    def __init__(self):
        self.told = []

    def on_custom_event(self, name, data, **_):
        if name == "comparison_progress":
            self.told.append((data["side"], data["done"], data["total"]))


async def run(compare, given, how, config=None):
    if how == "sync":
        return await asyncio.to_thread(compare.invoke, given, config)
    return await compare.ainvoke(given, config)


HOW = pytest.mark.parametrize("how", ["sync", "async"])


@HOW
async def test_two_experiments_over_one_dataset(client, model, how, capsys):
    compare = Compare(
        chain=spoken, evaluators=[correct], old=model("speaks"), client=client, repetitions=2
    )
    given = {"model": model("speaks_wrong"), "data": questions(client, "sums")}
    progress = Progress()
    result = await run(compare, given, how, {"callbacks": [progress]})

    assert (result.old, result.new, result.dataset) == ("speaks", "speaks_wrong", "sums")
    [difference] = result.differences
    assert (difference.evaluator, difference.old, difference.new) == ("correct", 1.0, 5 / 8)
    assert (difference.wins, difference.losses, difference.ties) == (0, 3, 5)
    assert difference.groups == 4
    assert [len(case.old) for case in result.cases] == [2] * 8
    assert [case.group for case in result.cases][:3] == ["t0", "t0", "t1"]
    assert result.cases[1].inputs == {"question": "What's 1*7?"}
    first = result.cases[1].new[0]
    assert first.outputs == {"output": "It is 0."}
    assert (first.input_tokens, first.output_tokens, first.scores) == (5, 5, {"correct": 0.0})
    assert first.latency_s > 0
    assert [each for each in progress.told if each[0] == "old"][-1] == ("old", 16, 16)
    assert len(progress.told) == 32
    # Neither LangSmith's links nor its bars.
    assert tuple(capsys.readouterr()) == ("", "")

    projects = [
        client.read_project(project_id=each.id)
        for each in (result.old_experiment, result.new_experiment)
    ]
    assert [each.name for each in projects] == [
        result.old_experiment.name,
        result.new_experiment.name,
    ]
    for project, side in zip(projects, ("old", "new"), strict=True):
        assert project.metadata["side"] == side
        assert project.metadata["comparison_id"] == result.id
        assert str(project.reference_dataset_id) == result.dataset_id
        runs = [each for each in runs_of(client, project.id) if each["parent_run_id"] is None]
        assert len(runs) == 16
        scores = list(client.list_feedback(run_ids=[each["id"] for each in runs]))
        assert {each.key for each in scores} == {"correct"}
        assert len(scores) == 16
    assert projects[0].metadata["dataset_version"] == projects[1].metadata["dataset_version"]
    linked = client.request_with_retries("GET", f"/datasets/{result.dataset_id}/comparative").json()
    [one] = [each for each in linked if each["id"] == result.id]
    assert [each["id"] for each in one["experiments_info"]] == [str(each.id) for each in projects]


@HOW
async def test_a_replayed_agent(client, model, how):
    compare = Compare(
        chain=lambda model, tools: create_agent(model, tools, system_prompt="Calculate."),
        tools=[calculator],
        evaluators=[create_trajectory_match_evaluator(trajectory_match_mode="strict")],
        old=model("right"),
        client=client,
    )
    result = await run(compare, {"model": model("often_wrong"), "data": chats()}, how)
    assert RUN == []
    assert len(result.cases) == 12
    [difference] = result.differences
    assert (difference.evaluator, difference.old) == ("trajectory_strict_match", 1.0)
    assert difference.losses == 4
    assert sum(case.new[0].unseen_calls for case in result.cases) == 4
    assert sum(case.old[0].unseen_calls for case in result.cases) == 0
    [note] = [each for each in result.notes if "recording" in each]
    assert note.startswith("often_wrong (new): 4 tool calls were not in the recording")
    failed = result.cases[1].new[0].outputs["messages"]
    assert failed[-1]["content"] == "It is The tool returned no result.."
    # Both see the same tools as the app does.
    assert [each.group for each in result.cases] == [f"t{number}" for number in range(12)]


def short(outputs) -> bool:
    return len(outputs["content"]) < 20 and outputs["tool_calls"] == []


def test_equal_runs_of_agents_are_equal(client, model):
    """Calls have random ids, and the final answer is where that of a message is."""
    compare = Compare(
        chain=lambda model, tools: create_agent(model, tools, system_prompt="Calculate."),
        tools=[calculator],
        evaluators=[short, exact_match, create_json_match_evaluator(aggregator="average")],
        old=model("right"),
        client=client,
    )
    result = compare.invoke({"model": model("often_wrong"), "data": chats(6)})
    for case in result.cases:
        assert case.old[0].outputs == case.reference
        assert case.reference["messages"][1]["tool_calls"][0]["id"] == "call_1"
        assert case.old[0].outputs["content"] == case.reference["messages"][-1]["content"]
    found = {each.evaluator: (each.old, each.new) for each in result.differences}
    assert found["exact_match"] == (1.0, pytest.approx(2 / 6))
    assert found["json_match:average"][0] == 1.0 > found["json_match:average"][1]
    assert found["short"][0] == 1.0


class Person(BaseModel):
    name: str


def same_person(outputs, reference_outputs):
    return outputs == reference_outputs["parsed"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_has_a_reference_of_its_form(client, model, method):
    structured = model("person").with_structured_output(Person, method=method)
    request = structured.first.kwargs
    said = AIMessage('{"name": "Ada"}')
    schema = {"name": "Person", "schema": Person.model_json_schema()}
    sent = {"response_format": {"type": "json_schema", "json_schema": schema}}
    if method == "function_calling":
        called = {"name": "Person", "args": {"name": "Ada"}, "id": "c"}
        said, sent = AIMessage("", tool_calls=[called]), {"tools": request["tools"]}
    sessions = [
        {"messages": [HumanMessage(f"Who is {n}?"), said], "source": {"run_id": f"r{n}"}, **sent}
        for n in range(3)
    ]
    data = Convert().invoke(sessions)
    compare = Compare(
        chain=lambda model: model.with_structured_output(Person, method=method),
        evaluators=[same_person],
        old=model("person"),
        client=client,
    )
    result = compare.invoke({"model": model("person"), "data": data})
    assert result.cases[0].old[0].outputs == {"name": "Ada"}
    assert result.differences[0].old == 1.0
    # The messages of a model alone have it as well.
    alone = Compare(evaluators=[exact_match], old=model("person"), client=client)
    result = alone.invoke({"model": model("person"), "data": data})
    assert result.cases[0].old[0].outputs["parsed"] == {"name": "Ada"}
    assert result.differences[0].old == 1.0


def test_a_request_whose_schema_is_not_known_is_not_made_up(client, model):
    """A format of the type "unknown" is refused by every server: it would be a failed answer."""
    schema = {"name": "Person", "schema": Person.model_json_schema()}
    formats = [{"type": "unknown"}, {"type": "json_schema", "json_schema": schema}]
    sessions = [
        {
            "messages": [HumanMessage(f"Who is {n}?"), AIMessage('{"name": "Ada"}')],
            "source": {"run_id": f"r{n}"},
            "response_format": formats[n > 0],
        }
        for n in range(3)
    ]
    given = {"model": model("person"), "data": Convert().invoke(sessions)}
    compare = Compare(evaluators=[exact_match], old=model("person"), client=client)
    result = compare.invoke(given)
    assert len(result.cases) == 2
    [refused] = result.refused
    assert "give a chain" in refused.reason
    with pytest.raises(CompareError, match="Give Compare your chain"):
        compare.invoke({**given, "data": Convert().invoke(sessions[:1])})
    chain = Compare(
        chain=lambda model: model.with_structured_output(Person),
        evaluators=[same_person],
        old=model("person"),
        client=client,
    )
    assert len(chain.invoke(given).cases) == 3


def last_text(state):
    return state["messages"][-1].content


@pytest.mark.parametrize(
    ("settings", "cases"),
    [
        ({"chain": lambda model, tools: PROMPT | model.bind_tools(tools)}, 6),
        ({"chain": lambda model, tools: model.bind_tools(tools)}, 6),
        ({"chain": lambda model, tools: create_agent(model, tools) | last_text}, 3),
        ({"chain": lambda model, tools: PROMPT | model.bind_tools(tools), "agent": True}, 3),
    ],
)
def test_one_request_or_a_whole_run(client, model, settings, cases):
    """A sequence that takes tools makes one request; an agent in a sequence goes on."""
    compare = Compare(old=model("right"), tools=[calculator], client=client, **settings)
    result = compare.invoke({"model": model("right"), "data": chats(3)})
    assert len(result.cases) == cases
    if cases == 6:
        assert result.differences[0].new == 1.0


def test_experiments_that_can_not_be_linked_are_still_compared(model, tmp_path):
    gate = Gate(None)
    with store_client(tmp_path / "runs.db", gate) as client:
        compare = Compare(chain=spoken, evaluators=[correct], old=model("speaks"), client=client)
        with gate.without({"/datasets/comparative"}):
            result = compare.invoke({"model": model("speaks"), "data": questions(client, "sums")})
    assert len(result.cases) == 8
    [note] = [each for each in result.notes if "not linked" in each]
    assert note.startswith("The two experiments are not linked: LangSmith at http://127.0.0.1")


@HOW
async def test_a_server_that_refuses_is_named(model, tmp_path, how):
    gate = Gate(None)
    with store_client(tmp_path / "runs.db", gate) as client:
        compare = Compare(chain=spoken, evaluators=[correct], old=model("speaks"), client=client)
        data = questions(client, "sums")
        with gate.without({"/sessions"}), pytest.raises(LoadError, match="experiment of speaks"):
            await run(compare, {"model": model("speaks"), "data": data}, how)


def test_the_model_sees_the_tools_of_the_app(client, model, server):
    server.requests.clear()
    compare = Compare(
        chain=lambda model, tools: create_agent(model=model, tools=tools),
        tools=[calculator],
        old=model("right"),
        client=client,
    )
    compare.invoke({"model": model("right"), "data": chats(2)})
    assert all(body["tools"] == TOOLS for body in server.requests)
    assert [each["role"] for each in server.requests[0]["messages"]] == ["user"]


@HOW
async def test_the_model_alone_gets_the_recorded_requests(client, model, server, how):
    server.requests.clear()
    compare = Compare(old=model("right"), client=client)
    result = await run(compare, {"model": model("often_wrong"), "data": chats()}, how)
    assert len(result.cases) == 24
    keys = [each.evaluator for each in result.differences]
    assert keys[:2] == ["arguments_match", "tool_name_match"]
    assert keys[-1] == "answer_agreement"
    assert result.differences[0].losses == 4
    assert all(body["tools"] == TOOLS for body in server.requests)
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "Calculate."}
    assert "Worst regressions" in str(result)


def test_the_same_cases_are_the_same_dataset(client, model):
    compare = Compare(old=model("right"), client=client)
    first, second = (compare.invoke({"model": model("right"), "data": chats(3)}) for _ in range(2))
    assert first.dataset_id == second.dataset_id
    assert [case.id for case in first.cases] == [case.id for case in second.cases]
    other = compare.invoke({"model": model("right"), "data": chats(4)})
    assert other.dataset_id != first.dataset_id
    # By its name, it is used as it is.
    named = compare.invoke({"model": model("right"), "data": first.dataset})
    assert [case.group for case in named.cases] == [case.group for case in first.cases]


def test_a_dataset_that_was_left_half_made_is_completed(client, model):
    compare = Compare(old=model("right"), client=client)
    data = chats(5)
    first = compare.invoke({"model": model("right"), "data": data})
    client.delete_example(first.cases[3].id)
    again = compare.invoke({"model": model("right"), "data": data})
    assert [case.id for case in again.cases] == [case.id for case in first.cases]


def test_tools_of_the_chains_own_are_never_executed(client, model):
    compare = Compare(
        chain=lambda model: create_agent(model, [calculator]), old=model("right"), client=client
    )
    with pytest.raises(CompareError, match=r"holds the tool 'calculator' itself.*run_tools=True"):
        compare.invoke({"model": model("right"), "data": chats(3)})
    assert RUN == []


async def in_a_task(arguments):
    return await asyncio.create_task(calculator.arun(arguments))


def without_callbacks(arguments):
    return calculator.invoke(arguments, config={"callbacks": []})


def in_a_thread_with_its_context(arguments):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, calculator.invoke, arguments).result()


def and_goes_on(arguments):
    with suppress(Exception):
        calculator.run(arguments)
    return "done"


@pytest.mark.parametrize(
    ("how", "called"),
    [
        ("sync", calculator.run),
        ("sync", without_callbacks),
        ("sync", in_a_thread_with_its_context),
        ("sync", and_goes_on),
        ("async", calculator.run),
        ("async", in_a_task),
    ],
)
async def test_nor_by_a_function_of_the_chain(client, model, how, called):
    """However it calls them: with the chain's callbacks, with others, or with none."""
    tools = RunnableLambda(lambda answer: answer.tool_calls[0]["args"]) | RunnableLambda(called)
    compare = Compare(chain=lambda model: PROMPT | model | tools, old=model("right"), client=client)
    with pytest.raises(CompareError, match=r"holds the tool 'calculator' itself.*run_tools=True"):
        await run(compare, {"model": model("right"), "data": called_once()}, how)
    assert RUN == []
    asked = compare.model_copy(update={"run_tools": True})
    await run(asked, {"model": model("right"), "data": called_once()}, how)
    assert len(RUN) == 4


def called_once():
    """Two cases that end with the call."""
    sessions = [session for session in sessions_of(2) if len(session["messages"]) == 3]
    return Convert().invoke(sessions)


def test_tools_are_executed_if_asked_for(client, model):
    compare = Compare(
        chain=lambda model: create_agent(model, [calculator]),
        old=model("right"),
        run_tools=True,
        client=client,
    )
    result = compare.invoke({"model": model("often_wrong"), "data": chats(6)})
    assert len(RUN) == 12
    assert result.differences[0].losses == 4


@HOW
async def test_an_answer_that_fails_counts_as_0(client, model, how, caplog):
    compare = Compare(chain=spoken, evaluators=[correct], old=model("speaks"), client=client)
    given = {"model": model("broken"), "data": questions(client, "sums")}
    result = await run(compare, given, how)
    failed = [case.new[0] for case in result.cases if case.new[0].error]
    assert [each.error for each in failed] == ["OpenAIInvalidRequestError"] * 4
    assert [each.scores for each in failed] == [{"correct": 0.0}] * 4
    assert (result.differences[0].cases, result.differences[0].new) == (8, 0.5)
    assert any("4 of 8 answers failed and count as 0" in note for note in result.notes)
    assert caplog.text == ""
    runs = [each for each in runs_of(client, result.new_experiment.id) if not each["parent_run_id"]]
    assert [each["error"] is None for each in runs].count(False) == 4


@HOW
@pytest.mark.parametrize("side", ["old", "new"])
async def test_if_all_answers_of_a_model_fail_there_is_no_result(client, model, server, how, side):
    """Otherwise a new model would pass because the old one's name is wrong."""
    server.requests.clear()
    models = {"old": model("speaks"), "new": model("speaks")} | {side: model("gone")}
    compare = Compare(
        chain=spoken, evaluators=[correct], old=models["old"], client=client, max_concurrency=1
    )
    told = rf"All answers of gone \({side}\) failed.*OpenAIModelNotFoundError.*no such model"
    with pytest.raises(CompareError, match=told):
        await run(compare, {"model": models["new"], "data": questions(client, "sums")}, how)
    # The new model is asked first, and no further after such an error.
    assert len(server.requests) == (1 if side == "new" else 16)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, r"OpenAIConnectionError\. Its .*can't be reached"),
        ({"model": "no_key"}, r"OpenAIAuthenticationError\. Its engine does not accept the key"),
        ({"model": "all_broken"}, r"8 OpenAIInvalidRequestError\. The runs of its experiment"),
    ],
)
def test_it_says_why_and_what_to_do(client, model, settings, told):
    compare = Compare(chain=spoken, evaluators=[correct], old=model("speaks"), client=client)
    new = model("speaks").model_copy()
    new = ChatOpenAI(
        **{"model": "x", "base_url": str(new.openai_api_base), "api_key": "k", "max_retries": 0}
        | settings
    )
    with pytest.raises(CompareError, match=told):
        compare.invoke({"model": new, "data": questions(client, "sums")})


@HOW
async def test_an_old_answer_that_fails_has_no_score(client, model, how):
    compare = Compare(chain=spoken, evaluators=[correct], old=model("broken"), client=client)
    given = {"model": model("speaks"), "data": questions(client, "sums")}
    result = await run(compare, given, how)
    [difference] = result.differences
    assert (difference.cases, difference.wins, difference.left_out) == (4, 0, 4)
    assert result.cases[0].old[0].scores == {"correct": None}
    assert result.failed_evaluations == {}
    assert any("4 of 8 answers failed and have no score" in note for note in result.notes)
    # The result alone says why, and the report.
    assert "Error code: 400" in result.cases[0].old[0].comments["reason"]
    for shown in (result.to_html(), str(result)):
        assert "Error code: 400" in shown
    assert "Error code: 400" not in " ".join([repr(result), *result.notes])
    assert result.decide(better={"correct": 0}).verdict == "too_few"
    [project] = [client.read_project(project_id=result.old_experiment.id)]
    runs = [each for each in runs_of(client, project.id) if each["error"]]
    scores = list(client.list_feedback(run_ids=[each["id"] for each in runs]))
    assert [each.score for each in scores] == [None] * 4


def test_an_evaluator_that_does_not_fit_is_told(client, model):
    def fits_nothing(outputs):
        return outputs.get("content") == "7"

    compare = Compare(chain=spoken, evaluators=[fits_nothing], old=model("speaks"), client=client)
    result = compare.invoke({"model": model("speaks"), "data": questions(client, "sums")})
    told = "both models have the lowest score in every case"
    assert result.decide().verdict == "fail"
    for shown in (str(result), result.to_html()):
        assert told in " ".join(shown.split())


def test_comments_of_an_evaluator_that_is_named_error_stay_with_the_answers(client, model):
    """Notes are logged, and stay in the metadata of a model that passed a gate."""

    def error(outputs):
        return {"key": "error", "score": 1, "comment": f"No error in {outputs['output']!r}"}

    compare = Compare(chain=spoken, evaluators=[error], old=model("speaks"), client=client)
    result = compare.invoke({"model": model("broken"), "data": questions(client, "sums")})
    assert result.cases[-1].new[0].comments["error"] == "No error in 'It is 49.'"
    assert "No error in" not in str(result.notes)


def fails(outputs, reference_outputs):
    """An evaluator with a key of its own, which fails on half of the answers."""
    if int(reference_outputs["output"].split()[-1].rstrip(".")) % 2:
        raise ValueError("It is a secret.")
    return {"key": "fails", "score": 1}


def several(run, example):
    return EvaluationResults(
        results=[
            EvaluationResult(key="words", score=len(run.outputs["output"].split())),
            EvaluationResult(key="ends", score=run.outputs["output"].endswith(".")),
            EvaluationResult(key="colour", value="blue"),
        ]
    )


@HOW
async def test_evaluators_of_all_kinds(client, model, how, caplog):
    judges = create_llm_as_judge(
        prompt="Is it right? {outputs}", judge=model("judge"), feedback_key="judged"
    )
    compare = Compare(
        chain=spoken,
        evaluators=[judges, fails, several, exact_match],
        old=model("speaks"),
        client=client,
    )
    given = {"model": model("speaks_wrong"), "data": questions(client, "sums")}
    result = await run(compare, given, how)
    scores = result.cases[3].new[0].scores
    assert scores == {
        "judged": 0.0,
        "fails": None,
        "words": 3.0,
        "ends": 1.0,
        "colour": None,
        "exact_match": 0.0,
    }
    assert result.cases[3].new[0].comments["judged"] == "It says so."
    assert result.failed_evaluations == {"fails": 8, "colour": 16}
    assert result.differences[0].evaluator == "judged"
    assert (result.differences[0].old, result.differences[0].new) == (7 / 8, 4 / 8)
    assert "secret" not in caplog.text
    # LangSmith would log a traceback of each; the result has them.
    assert caplog.text == ""
    assert any("fails failed: 8 ValueError at test_compare.py:" in each for each in result.notes)
    told = [case.new[0].comments.get("fails", "") for case in result.cases]
    assert ["ValueError at test_compare.py" in each for each in told] == [False, True] * 4


def ends_with(outputs, mark):
    return outputs["output"].endswith(mark)


@HOW
async def test_evaluators_without_a_name_are_numbered(client, model, how):
    evaluators = [correct, lambda outputs: len(outputs) == 1, partial(ends_with, mark=".")]
    named = lambda outputs: {"key": "said", "score": bool(outputs)}  # noqa: E731
    compare = Compare(
        chain=spoken, evaluators=[*evaluators, named], old=model("speaks"), client=client
    )
    given = {"model": model("speaks"), "data": questions(client, "sums")}
    result = await run(compare, given, how)
    names = [each.evaluator for each in result.differences]
    assert names == ["correct", "evaluator_2", "evaluator_3", "said"]
    assert result.decide(at_least={"evaluator_2": -0.9}).verdict == "pass"


def test_json_match_of_openevals(client, model):
    """The reference's keys, each with a score of its own."""
    questions(client, "sums")
    compare = Compare(
        chain=spoken,
        evaluators=[create_json_match_evaluator(aggregator="all")],
        old=model("speaks"),
        client=client,
    )
    result = compare.invoke({"model": model("speaks_wrong"), "data": "sums"})
    [difference] = result.differences
    assert (difference.evaluator, difference.losses) == ("json_match:all", 3)


def test_a_missing_variable_is_named(client, model, server):
    server.requests.clear()
    compare = Compare(chain=spoken, old=model("speaks"), client=client)
    with pytest.raises(CompareError, match=r"needs 'question'; a case has 'input', 'messages'"):
        compare.invoke({"model": model("speaks"), "data": chats(3, tools=False)})
    assert server.requests == []
    failing = Compare(
        chain=spoken, inputs=lambda case: case["nothing"], old=model("speaks"), client=client
    )
    with pytest.raises(CompareError, match=r"Your function `inputs` failed") as raised:
        failing.invoke({"model": model("speaks"), "data": chats(3, tools=False)})
    assert isinstance(raised.value.__cause__, KeyError)
    assert server.requests == []
    mapped = Compare(
        chain=spoken,
        inputs=lambda case: {"question": case["input"], "how": case["system"]},
        old=model("speaks"),
        client=client,
    )
    result = mapped.invoke({"model": model("speaks_wrong"), "data": chats(6, tools=False)})
    [exact] = [each for each in result.differences if each.evaluator == "normalized_text"]
    assert exact.losses == 3


def test_the_chain_gets_the_messages_without_the_system_prompt(client, model, server):
    server.requests.clear()
    compare = Compare(
        chain=lambda model: PROMPT | model | StrOutputParser(), old=model("speaks"), client=client
    )
    compare.invoke({"model": model("speaks"), "data": chats(1, tools=False)})
    roles = [each["role"] for each in server.requests[0]["messages"]]
    assert roles == ["system", "user"]


def test_a_chain_that_begins_with_the_model_gets_the_whole_request(client, model, server):
    server.requests.clear()
    compare = Compare(
        chain=lambda model: model.bind(stop=["!"]) | StrOutputParser(),
        old=model("speaks"),
        client=client,
        prices={"speaks": (2.0, 8.0)},
    )
    result = compare.invoke({"model": model("speaks_wrong"), "data": chats(5, tools=False)})
    assert [each["role"] for each in server.requests[0]["messages"]] == ["system", "user"]
    assert server.requests[0]["stop"] == ["!"]
    assert result.cases[0].old[0].cost_usd == pytest.approx(5 * 10 / 1e6)
    assert result.cases[0].new[0].cost_usd is None


def test_chats_of_a_dataset_are_for_the_model_alone(client, model, server):
    dataset = client.create_dataset("plain chats")
    sent = [{"role": "user", "content": "What's 2*7?"}]
    said = {"role": "assistant", "content": "It is 14."}
    old_form = {"type": "human", "data": {"content": "What's 2*7?"}}
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"inputs": {"messages": sent}, "reference_outputs": {"message": said}},
            {"inputs": {"input": [old_form]}, "reference_outputs": {"output": said}},
            {"inputs": {"input": "What's 2*7?"}, "reference_outputs": {"output": "It is 14."}},
        ],
    )
    result = Compare(old=model("speaks"), client=client).invoke(
        {"model": model("speaks_wrong"), "data": "plain chats"}
    )
    [text] = [each for each in result.differences if each.evaluator == "normalized_text"]
    assert (text.old, text.new) == (1.0, 0.0)
    with pytest.raises(CompareError, match=r"inputs are question. Give Compare your chain"):
        Compare(old=model("speaks"), client=client).invoke(
            {"model": model("speaks"), "data": questions(client, "sums")}
        )


def test_a_chain_is_built_once(client, model):
    made = []

    def chain(model):
        made.append(model)
        return spoken(model)

    compare = Compare(chain=chain, evaluators=[correct], old=model("speaks"), client=client)
    compare.invoke({"model": model("speaks"), "data": questions(client, "sums")})
    assert len(made) == 3  # Once for each model, and to see whether it is an agent.


class Interrupts(BaseCallbackHandler):
    """Interrupts the main thread at the first answer, as Ctrl-C does."""

    def on_custom_event(self, name, data, **_):
        if data["done"] == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_ends_it(client, model, server):
    server.requests.clear()
    server.pause_s = 0.05
    compare = Compare(
        chain=spoken, evaluators=[correct], old=model("speaks"), client=client, max_concurrency=1
    )
    data = questions(client, "many sums", 40)
    with pytest.raises(KeyboardInterrupt):
        compare.invoke({"model": model("speaks"), "data": data}, {"callbacks": [Interrupts()]})
    server.pause_s = 0.0
    assert len(server.requests) < 5


async def test_a_cancelled_wait_ends_it(client, model, server):
    server.requests.clear()
    server.pause_s = 0.05
    compare = Compare(
        chain=spoken, evaluators=[correct], old=model("speaks"), client=client, max_concurrency=1
    )
    given = {"model": model("speaks"), "data": questions(client, "many sums", 40)}
    task = asyncio.create_task(compare.ainvoke(given))
    await asyncio.to_thread(until, lambda: server.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)
    server.pause_s = 0.0
    assert len(server.requests) < 5


def test_the_old_side_can_be_a_whole_chain(client, model):
    compare = Compare(
        chain=spoken, evaluators=[correct], old=spoken(model("speaks")), client=client
    )
    result = compare.invoke({"model": model("speaks_wrong"), "data": questions(client, "sums")})
    assert (result.old, result.differences[0].old) == ("RunnableSequence", 1.0)


def test_no_more_at_once_than_asked(client):
    server = RuleServer(speaks=speaks)
    server.pause_s = 0.05
    with served(server.app) as url:
        model = ChatOpenAI(model="speaks", base_url=f"{url}/v1", api_key="none", max_retries=0)
        compare = Compare(
            chain=spoken, evaluators=[correct], old=model, client=client, max_concurrency=2
        )
        compare.invoke({"model": model, "data": questions(client, "sums")})
    assert server.most_at_once == 2


@HOW
async def test_the_callers_trace_stays_its_own(client, model, how, tmp_path):
    """A traced caller: its trace holds the comparison, and not the experiments' runs."""
    compare = Compare(chain=spoken, evaluators=[correct], old=model("speaks"), client=client)
    given = {"model": model("speaks"), "data": questions(client, "sums")}
    with store_client(tmp_path / "own.db") as own:
        with tracing_context(enabled=True, client=own, project_name="caller"):
            result = await run(compare, given, how)
        own.flush()
        project = own.read_project(project_name="caller").id
        own_runs = runs_of(own, project)
    assert [each["name"] for each in own_runs] == ["Compare"]
    # The texts are in the experiments only.
    assert "It is" not in str(own_runs)
    assert "cases=8" in str(own_runs[0]["outputs"])
    runs = runs_of(client, result.new_experiment.id)
    roots = {each["id"] for each in runs if each["parent_run_id"] is None}
    traces = [each["trace_id"] for each in runs if each["run_type"] == "llm"]
    assert len(traces) == len(roots) == 8
    assert set(traces) == roots


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": None}, "Compare takes"),
        ({"model": None, "data": [1]}, "data must be examples"),
    ],
)
def test_what_is_not_a_comparison(client, model, given, told):
    compare = Compare(old=model("right"), client=client)
    with pytest.raises(CompareError, match=told):
        compare.invoke(given)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"chain": lambda model, tools: model}, r"give tools="),
        ({"tools": [calculator]}, "are for a chain of two parameters"),
        ({"chain": lambda model, tools, more: model}, "not of 3 parameters"),
        ({"chain": lambda model: 7}, "chain failed to build"),
        ({"chain": lambda model: model, "evaluators": []}, "Give Compare evaluators"),
    ],
)
def test_what_does_not_fit(client, model, settings, told):
    compare = Compare(old=model("right"), client=client, **settings)
    with pytest.raises(CompareError, match=told):
        compare.invoke({"model": model("right"), "data": chats(2)})
