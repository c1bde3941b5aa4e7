"""The calculator walkthrough, end to end, on the embedded engine with the real `nano`."""

import hashlib
import json
from collections import Counter

import pytest
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient, OpenAI

from langchain_finetune import (
    Convert,
    FineTune,
    Hyperparameters,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
)
from walkthrough.calculator import functions_chain, tools_chain
from walkthrough.evaluate import evaluate, total
from walkthrough.extraction import HELD_OUT, SENTENCES, conversation, upload_dataset
from walkthrough.questions import asked, held_out, reworded

pytestmark = pytest.mark.train


def test_only_llm_runs_of_liked_traces_are_selected(liked, traffic):
    sessions = liked.invoke({})
    assert len(list(sessions)) == traffic.liked
    assert sessions.skipped == []


def test_both_tools_and_legacy_functions_travel_with_the_session(liked):
    kinds = Counter("tools" if "tools" in s else "functions" for s in liked.lazy_load())
    assert kinds["tools"] > 50
    assert kinds["functions"] > 50


def test_unliked_and_failed_runs_are_in_the_store_but_not_selected(langsmith, traffic):
    everything = LangSmithRunChatLoader(project_name="calculator", client=langsmith).invoke({})
    assert len(list(everything)) > traffic.liked + traffic.disliked
    assert set(everything.skipped_by_reason()) == {"errored_run"}


def test_the_base_hardly_ever_calls_rightly(base):
    right, count = total(evaluate(base, held_out(28)))
    assert count >= 100
    assert right <= 0.1 * count


def test_the_tuned_model_calls_rightly_on_unseen_numbers(tuned):
    right, count = total(evaluate(tuned, held_out(28)))
    assert right >= 0.9 * count


def test_the_tuned_model_understands_wordings_that_training_did_not_have(tuned):
    texts = {question.text for question in asked()}
    questions = reworded(12)
    assert not texts & {question.text for question in questions}
    right, count = total(evaluate(tuned, questions))
    assert right >= 0.6 * count


def test_the_tuned_model_drops_into_the_app(tuned):
    assert tools_chain(tuned).invoke({"input": "What's 56/7?"}) == 8.0
    assert functions_chain(tuned).invoke({"input": "What's 56/7?"}) == 8.0


async def test_the_tuned_model_answers_async_and_streamed(tuned):
    # The tests have an event loop each, and an async client belongs to one.
    async with DefaultAsyncHttpxClient() as client:
        same = ChatOpenAI(
            model=tuned.model_name,
            base_url=tuned.openai_api_base,
            api_key=tuned.openai_api_key,
            temperature=0,
            http_async_client=client,
        )
        assert await tools_chain(same).ainvoke({"input": "What's 56/7?"}) == 8.0
    assert list(tools_chain(tuned).stream({"input": "What's 56/7?"}))[-1] == 8.0


def test_the_model_knows_where_it_comes_from(tuned, engine):
    lineage = tuned.metadata
    assert lineage["base_model"] == "nano"
    with OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value()) as client:
        job = client.fine_tuning.jobs.retrieve(lineage["job_id"])
        uploaded = client.files.content(job.training_file).read()
    assert job.metadata["training_sha256"] == lineage["training_sha256"]
    assert len(uploaded.splitlines()) == lineage["training_examples"]


def test_the_training_file_holds_what_was_sent_and_what_came_back(liked, tuned, home):
    # Other tests may have written the same training file as a part of another set.
    path, *_ = [
        path
        for path in (home / "spool").glob("*/train.jsonl")
        if hashlib.sha256(path.read_bytes()).hexdigest() == tuned.metadata["training_sha256"]
    ]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert lines == list(Convert().invoke(liked.invoke({})))
    by_question = {question.text: question for question in asked()}
    for line in lines:
        system, user, answer = line["messages"]
        question = by_question[user["content"]]
        assert system == {"role": "system", "content": "You are an accounting assistant."}
        call = answer.get("function_call") or answer["tool_calls"][0]["function"]
        assert call["name"] == "Calculator"
        assert json.loads(call["arguments"]) == {
            "num1": question.num1,
            "num2": question.num2,
            "operation": question.operation,
        }
        [tool] = line.get("tools") or [{"function": line["functions"][0]}]
        assert tool["function"]["name"] == "Calculator"


async def test_ainvoke_gives_the_same_as_invoke(langsmith):
    upload_dataset(langsmith, "extraction")
    loader = LangSmithDatasetChatLoader(dataset_name="extraction", client=langsmith)
    step = FineTune(
        model="nano",
        engine="local",
        suffix="extraction",
        seed=1,
        hyperparameters=Hyperparameters(n_epochs=2),
        chat_settings={"temperature": 0},
    )
    first = await (loader | Convert() | step).ainvoke({})
    again = step.model_copy(update={"reuse": False})
    second = (loader | Convert() | again).invoke({})
    assert first.metadata["job_id"] != second.metadata["job_id"]
    assert first.metadata["training_examples"] == len(SENTENCES) - 5
    assert first.metadata["training_sha256"] == second.metadata["training_sha256"]
    answers = [model.invoke(conversation(HELD_OUT)).content for model in (first, second)]
    assert answers[0] == answers[1] != ""
