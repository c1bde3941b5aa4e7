"""Runs become examples of datasets, and leave them again."""

import json
import re
import uuid

import pytest
from langsmith.schemas import DataType

from langchain_finetune import Convert, LangSmithDatasetChatLoader, LangSmithRunChatLoader
from langchain_finetune.sessions import wire_messages
from support.dialects import RUNS
from support.page_data import shop_example
from support.runs import constructor, run

DIALECTS = (
    *("tracer", "wrap_openai", "wrap_openai, Responses with items", "openai-agents"),
    *("wrap_anthropic, result", "traceable, pair"),
)


@pytest.fixture
def name():
    return f"set {uuid.uuid4().hex[:8]}"


@pytest.fixture
def examples(langsmith, name):
    """The sessions that the dataset's loader reads."""
    return lambda: list(LangSmithDatasetChatLoader(dataset_name=name, client=langsmith).lazy_load())


def refused(page):
    return page.text.split(" cannot become an example: ")[1:]


def test_picked_runs_are_read_as_the_runs_are(visitor, trace, langsmith, project, name, examples):
    ids = [trace(RUNS[dialect][0]) for dialect in DIALECTS]
    page = visitor.post("/ui/datasets/add-runs", run=ids, new_name=f" {name} ")
    assert page.address.startswith("/ui/datasets/")
    assert f"Added {len(ids)} examples to the dataset" in page.text
    runs = LangSmithRunChatLoader(ids, client=langsmith, project_name=project).load()
    assert [wire_messages(each) for each in examples()] == [wire_messages(each) for each in runs]
    assert [each.get("tools") for each in examples()] == [each.get("tools") for each in runs]
    dataset = langsmith.read_dataset(dataset_name=name)
    assert [
        str(each.source_run_id) for each in langsmith.list_examples(dataset_id=dataset.id)
    ] == ids
    [download] = [each["href"] for each in page.all("a") if "download" in each]
    lines = [json.loads(line) for line in visitor.get(download).html.splitlines()]
    loader = LangSmithRunChatLoader(ids, client=langsmith, project_name=project)
    assert lines == list((loader | Convert()).invoke({}))


def test_what_makes_no_example_is_named(visitor, trace, name, examples):
    image = {"type": "audio", "data": "x"}
    heard = run([constructor("HumanMessage", content=[image], type="human")])
    unfit = run(answer=constructor("AIMessage", content="", type="ai"))
    ids = {
        "(errored_run)": trace(error="TimeoutError"),
        "(pending_run)": trace(unfinished=True, outputs={}),
        "(unsupported_content)": trace(heard),
        "(not_an_llm_run)": trace({"run_type": "chain", "inputs": {}, "outputs": {}}),
        "(no_chat)": trace(run(outputs={"generations": [[]]})),
        "(completion_run)": trace(RUNS["completion by LangChain"][0]),
        "There is no run": str(uuid.uuid4()),
        "(empty_target)": trace(unfit),
    }
    page = visitor.post("/ui/datasets/add-runs", run=[trace(), *ids.values()], new_name=name)
    assert "Added 1 example to the dataset" in page.text
    for reason, run_id in ids.items():
        [told] = [
            each for each in refused(page) if reason in each.partition(" cannot become")[0]
        ] or [""]
        assert told, reason
        assert run_id[-8:] in page.text
    assert len(examples()) == 1
    shown = visitor.get(f"/ui/runs/{ids['(unsupported_content)']}").text
    assert "Loaders skip this run: A content part of a type" in shown


def test_where_nothing_makes_an_example_there_is_no_dataset(visitor, trace, langsmith, name):
    run_id = trace(error="TimeoutError")
    page = visitor.post("/ui/datasets/add-runs", came_from="/?kind=llm", run=run_id, new_name=name)
    assert (page.address, len(refused(page))) == ("/?kind=llm", 1)
    assert not langsmith.has_dataset(dataset_name=name)


def test_runs_of_no_known_shape(visitor, trace, name):
    """No shape breaks the pages: whatever it is, it is named."""
    shapes = [
        {"messages": [[{"lc": 1, "type": "constructor", "id": 5, "kwargs": []}]]},
        {"messages": [{"role": ["user"], "content": {"a": 1}, "tool_calls": 7}]},
        {"messages": [{"role": "assistant", "content": [{"type": ["x"]}], "tool_calls": [3]}]},
        {"messages": 7},
    ]
    ids = [trace(run(inputs=shape)) for shape in shapes]
    for run_id in ids:
        assert visitor.get(f"/ui/runs/{run_id}").status == 200
    assert len(refused(visitor.post("/ui/datasets/add-runs", run=ids, new_name=name))) == 4


def test_a_dataset_that_is_there_is_chosen(visitor, trace, langsmith, name, examples):
    dataset = langsmith.create_dataset(name)
    run_id = trace()
    for _ in range(2):
        page = visitor.post("/ui/datasets/add-runs", run=run_id, dataset=str(dataset.id))
        assert page.address == f"/ui/datasets/{dataset.id}"
    # A run has one example in a dataset, however often it is picked.
    assert len(examples()) == 1


def test_a_dataset_of_type_chat_keeps_its_shape(visitor, trace, langsmith, project, name, examples):
    dataset = langsmith.create_dataset(name, data_type=DataType.chat)
    run_id = trace()
    visitor.post("/ui/datasets/add-runs", run=run_id, dataset=str(dataset.id))
    [example] = langsmith.list_examples(dataset_id=dataset.id)
    assert [each["type"] for each in example.inputs["input"]] == ["system", "human"]
    assert example.outputs["output"]["data"]["tool_calls"][0]["args"] == {"beds": 2}
    [from_run] = LangSmithRunChatLoader([run_id], client=langsmith, project_name=project).load()
    assert wire_messages(examples()[0]) == wire_messages(from_run)
    assert examples()[0]["tools"] == from_run["tools"]


def test_corrections_go_with_the_run(visitor, trace, judge, name, examples):
    run_id, other = trace(), trace()
    visitor.post(f"/ui/runs/{run_id}/correction", text="Room 7.")
    judge(other, "fix", correction={"output": "Room 9."})
    visitor.post("/ui/datasets/add-runs", run=[run_id, other], new_name=name)
    assert [each["messages"][-1].content for each in examples()] == ["Room 7.", "Room 9."]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"new_name": "x"}, "No runs are selected"),
        ({"run": "7"}, "Choose a dataset, or enter the name of a new one."),
        ({"run": "7", "dataset": "1", "new_name": "x"}, "Choose a dataset, or enter"),
    ],
)
def test_what_is_missing_is_told_on_the_page_before(visitor, form, message):
    page = visitor.post("/ui/datasets/add-runs", came_from="/?kind=llm", **form)
    assert page.address == "/?kind=llm"
    assert message in page.text
    assert page.all("p", role="alert")


def test_names_that_are_taken_and_datasets_that_there_are_not(visitor, trace, langsmith, name):
    langsmith.create_dataset(name)
    page = visitor.post("/ui/datasets/add-runs", came_from="/?kind=llm", run=trace(), new_name=name)
    assert (page.address, "of this name already" in page.text) == ("/?kind=llm", True)
    page = visitor.post("/ui/datasets/add-runs", run=trace(), dataset=str(uuid.uuid4()))
    assert page.status == 404
    assert visitor.get(f"/ui/datasets/{uuid.uuid4()}").status == 404
    assert visitor.get("/ui/datasets/x").status == 400


def test_examples_are_removed(visitor, trace, langsmith, name, examples):
    page = visitor.post("/ui/datasets/add-runs", run=[trace(), trace()], new_name=name)
    removes = [each["action"] for each in page.all("form") if each["action"].endswith("/remove")]
    assert len(removes) == 2
    page = visitor.post(removes[0], came_from=page.address)
    assert "The example was removed" in page.text
    assert len(examples()) == 1
    assert visitor.post(removes[0]).status == 404
    other = langsmith.create_dataset(f"{name} 2")
    foreign = removes[1].split("/")
    foreign[3] = str(other.id)
    assert visitor.post("/".join(foreign)).status == 404
    assert len(examples()) == 1


def test_long_datasets_have_pages_and_other_examples_are_shown(visitor, langsmith, name):
    dataset = langsmith.create_dataset(name, description="For the hotel")
    langsmith.create_examples(
        dataset_id=dataset.id,
        examples=[{"inputs": {"place": number}, "reference_outputs": {}} for number in range(23)],
    )
    page = visitor.get(f"/ui/datasets/{dataset.id}")
    assert "For the hotel" in page.text
    assert len(page.all("section", **{"class": "card example"})) == 20
    assert '"place": 19' in page.text
    page = visitor.get(f"/ui/datasets/{dataset.id}?offset=20")
    assert '"place": 22' in page.text
    assert "Example 23" in page.text
    assert {each["href"] for each in page.all("a", **{"class": "button"})} == {"?offset=0"}
    listed = visitor.get("/ui/datasets")
    assert name in listed.text
    assert visitor.get(f"/ui/datasets/{dataset.id}?offset=-1").status == 400


def test_a_long_chat_is_folded_up_to_its_last_question(visitor, langsmith):
    dataset = langsmith.create_dataset(f"long {uuid.uuid4()}")
    examples = [shop_example(0, turns=1), shop_example(1, turns=4)]
    langsmith.create_examples(dataset_id=dataset.id, examples=examples)
    page = visitor.get(f"/ui/datasets/{dataset.id}")
    short, long = sorted(page.html.split("<section")[1:], key=len)
    assert "earlier messages" not in short
    folded, _, shown = long.partition("13 earlier messages</summary>")[2].partition("</details>")
    assert "part 2?" in folded
    assert "part 3?" not in folded
    assert "part 3?" in shown
    assert "it comes in 4 days" in shown
    assert shown.count("<h3>tool <code>find_order</code></h3>") == 1
    [download] = [each["download"] for each in page.all("a") if "download" in each]
    assert re.fullmatch(r"long [0-9a-f-]+, [0-9-]{10}, 2 examples.jsonl", download)


def test_the_format_of_a_structured_answer_is_shown(visitor, langsmith):
    dataset = langsmith.create_dataset(f"routes {uuid.uuid4()}")
    form = {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": {"type": "object"}}}
    sent = [{"role": "user", "content": "I was fined twice!"}]
    answer = {"message": {"role": "assistant", "content": '{"kind": "fine"}'}}
    example = {"inputs": {"messages": sent, "response_format": form}}
    langsmith.create_examples(
        dataset_id=dataset.id, examples=[{**example, "reference_outputs": answer}]
    )
    page = visitor.get(f"/ui/datasets/{dataset.id}").html
    assert "&#34;Ticket&#34;" in page.partition("<summary>Response format</summary>")[2]
