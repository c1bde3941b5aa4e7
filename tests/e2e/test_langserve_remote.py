"""Everything that `RemoteRunnable` can do, on the routes of a fine-tuning chain."""

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langserve import RemoteRunnable

from langchain_finetune.langserve import FineTuneSerializer
from walkthrough.calculator import PROMPT, Calculator

QUESTION = {"input": "What's 56/7?"}

pytestmark = [
    pytest.mark.train,
    # LangServe reads a model's fields in a way that pydantic is to give up.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute on the instance"),
    # The bare model was trained with a tool, and is asked without.
    pytest.mark.filterwarnings("ignore::langchain_finetune.TrainedContractWarning"),
]


@pytest.fixture
def bare(url, job_id):
    """The bare model over HTTP, as a chat model."""
    asked = RunnableLambda(lambda said: {"job_id": job_id, "input": said})
    return asked | RemoteRunnable(f"{url}/bare/chain")


def test_submitting_in_batches_and_streams(url, job_id):
    remote = RemoteRunnable(f"{url}/finetune/submit")
    assert [job["job_id"] for job in remote.batch([{}, {}])] == [job_id] * 2
    [job] = remote.stream({})
    assert job["job_id"] == job_id


async def test_the_same_without_blocking(url, job_id):
    remote = RemoteRunnable(f"{url}/finetune/submit")
    assert [job["job_id"] for job in await remote.abatch([{}, {}])] == [job_id] * 2
    assert [job["job_id"] async for job in remote.astream({})] == [job_id]
    events = [event async for event in remote.astream_events({}, version="v2")]
    assert [event["event"] for event in events] == [
        "on_chain_start",
        "on_chain_stream",
        "on_chain_end",
    ]
    assert events[-1]["data"]["output"]["job_id"] == job_id


async def test_a_jobs_events_as_events_of_a_run(url, job_id):
    remote = RemoteRunnable(f"{url}/finetune/events")
    happened = [event async for event in remote.astream({"job_id": job_id})]
    told = [
        event["data"]["chunk"]
        async for event in remote.astream_events({"job_id": job_id}, version="v2")
        if event["event"] == "on_chain_stream"
    ]
    assert told == happened != []


async def test_models_in_batches_and_streams(url, job_id, engine, tuned):
    remote = RemoteRunnable(
        f"{url}/finetune/model",
        serializer=FineTuneSerializer(engine.api_key, base_url=engine.base_url, temperature=0),
    )
    models = remote.batch([{"job_id": job_id}] * 2)
    models += await remote.abatch([{"job_id": job_id}])
    models += remote.stream({"job_id": job_id})
    models += [model async for model in remote.astream({"job_id": job_id})]
    assert len(models) == 5
    for model in models:
        assert isinstance(model, ChatOpenAI)
        assert model.metadata == tuned.metadata
        assert model.temperature == 0


async def test_the_model_stands_in_a_chain(bare, tuned):
    """A prompt on its left, a parser on its right: messages cross the wire both ways."""
    chain = PROMPT | bare | StrOutputParser()
    local = PROMPT | tuned | StrOutputParser()
    answer = local.invoke(QUESTION)
    assert chain.invoke(QUESTION) == answer
    assert await chain.ainvoke(QUESTION) == answer
    assert "".join(chain.stream(QUESTION)) == answer
    assert "".join([piece async for piece in chain.astream(QUESTION)]) == answer
    assert chain.batch([QUESTION, QUESTION]) == [answer] * 2


def test_it_takes_whatever_a_chat_model_takes(bare, tuned):
    said = [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("What's 56/7?")]
    for asked in ("What's 56/7?", said):
        answer = bare.invoke(asked)
        assert isinstance(answer, AIMessage)
        assert answer.content == tuned.invoke(asked).content


async def test_the_steps_of_its_chain_can_be_watched(url, job_id):
    remote = RemoteRunnable(f"{url}/finetune/chain")
    request = {"job_id": job_id, "input": QUESTION}
    events = [event async for event in remote.astream_events(request, version="v2")]
    chunks = [
        event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"
    ]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    [call] = sum(chunks[1:], chunks[0]).tool_calls
    assert Calculator(**call["args"]).calculate() == 8.0


def test_a_chain_may_bind_what_the_model_was_trained_with(url, job_id):
    assert RemoteRunnable(f"{url}/bound/submit").invoke({})["job_id"] == job_id
    answer = RemoteRunnable(f"{url}/bound/chain").invoke({"job_id": job_id, "input": QUESTION})
    assert Calculator(**answer.tool_calls[0]["args"]).calculate() == 8.0


def test_what_the_chain_does_not_take_is_said(url, job_id):
    answer = httpx.post(
        f"{url}/bare/chain/invoke", json={"input": {"job_id": job_id, "input": {"a": 1}}}
    )
    assert answer.status_code == 422
    assert "does not accept this input" in answer.json()["detail"]


def test_an_error_in_a_stream_is_told_before_it_is_raised(url):
    stream = RemoteRunnable(f"{url}/finetune/events").stream({"job_id": "ftjob-none"})
    assert next(stream)["error"]["status"] == 404
    with pytest.raises(httpx.HTTPStatusError):
        next(stream)
