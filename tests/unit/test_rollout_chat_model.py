"""`RolloutChatModel` with real clients of providers on real sockets."""

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import APIError, DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import BaseModel

from langchain_finetune import RolloutChatModel, RunFileChatLoader, RunRecorder
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.rollout.background import MAX_PENDING
from langchain_finetune.rollout.state import is_new
from support.servers import served


class Provider:
    """Answers as the model that is asked: "old" or "new"; the last message steers it."""

    def __init__(self):
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)
        self.asked = []
        self.hold = threading.Event()
        self.hold.set()
        self.broken = set()

    async def complete(self, request: Request):
        body = await request.json()
        model = body["model"]
        self.asked.append(body)
        if model == "new":
            await asyncio.to_thread(self.hold.wait)
        if model in self.broken:
            error = {"message": "broken", "type": "server_error", "code": None, "param": None}
            return JSONResponse({"error": error}, 500)
        head = {"id": "chatcmpl-1", "created": 1, "model": f"{model}-1"}
        message = {"role": "assistant", "content": f"I am {model}"}
        if body.get("tools") and body["messages"][-1]["role"] != "tool":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"name": "x"}'}
            call = {"id": "call_1", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if body.get("response_format"):
            message["content"] = json.dumps({"name": model})
        if body.get("stream"):
            return StreamingResponse(
                self.chunks(head, message, model), media_type="text/event-stream"
            )
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        return head | {"object": "chat.completion", "choices": [choice], "usage": usage}

    async def chunks(self, head, message, model):
        deltas = [
            {"role": "assistant", "content": ""},
            *({"content": c} for c in message["content"]),
        ]
        for delta in [*deltas, {}]:
            end = None if delta else "stop"
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            body = head | {"object": "chat.completion.chunk", "choices": [choice]}
            yield f"data: {json.dumps(body)}\n\n"
            if f"{model} midway" in self.broken and delta.get("content"):
                yield 'data: {"error": {"message": "broken", "type": "server_error"}}\n\n'
        yield "data: [DONE]\n\n"

    def counted(self):
        return Counter(body["model"] for body in self.asked)


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
async def made(provider):
    """Makes a rollout of two models of the provider."""
    with served(provider.app) as url, DefaultHttpxClient() as http:
        async with DefaultAsyncHttpxClient() as http_async:

            def make(**settings):
                given = {
                    "base_url": f"{url}/v1",
                    "api_key": "none",
                    "max_retries": 0,
                    "http_client": http,
                    "http_async_client": http_async,
                    "stream_usage": False,
                }
                return RolloutChatModel(
                    old=ChatOpenAI(model="old", **given),
                    new=ChatOpenAI(model="new", **given),
                    **settings,
                )

            yield make


def thread(name):
    return {"configurable": {"thread_id": name}}


def side(message):
    return message.response_metadata["rollout"]["side"]


def test_a_thread_keeps_its_model(made, provider):
    model = made(share=0.1)
    threads = [f"thread {number}" for number in range(100)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda each: model.invoke("Hi", thread(each)), threads * 2))
    sides = [side(answer) for answer in answers]
    assert sides[:100] == sides[100:]
    assert sides[:100] == ["new" if is_new(each, "new", model.share) else "old" for each in threads]
    assert 2 <= sides[:100].count("new") <= 20
    assert provider.counted() == Counter(sides)
    for answer in answers:
        assert answer.content == f"I am {side(answer)}"
        assert answer.response_metadata["model_name"] == f"{side(answer)}-1"
    # A share that grows keeps those who have the new model.
    grown = made(share=0.5)
    for each, was in zip(threads[:40], sides, strict=False):
        assert was == "old" or side(grown.invoke("Hi", thread(each))) == "new"


def test_without_a_thread_it_is_drawn(made):
    model = made(share=0.5)
    assert set(map(side, model.batch(["Hi"] * 30))) == {"old", "new"}


def test_a_thread_may_be_in_the_metadata_or_be_a_user(made):
    model = made(share=0.5)
    for config in ({"metadata": {"session_id": "s"}}, {"configurable": {"user_id": 3}}):
        assert len({side(model.invoke("Hi", config)) for _ in range(8)}) == 1
    # An id may be 0, and an empty one is none.
    users = [{"configurable": {"thread_id": "", "user_id": number}} for number in range(8)]
    sides = [{side(model.invoke("Hi", user)) for _ in range(8)} for user in users]
    assert {len(each) for each in sides} == {1}
    assert len(set.union(*sides)) == 2
    mine = made(share=0.5, sticky_by=("tenant",))
    config = {"metadata": {"tenant": "t"}, "configurable": {"thread_id": "t2"}}
    assert len({side(mine.invoke("Hi", config)) for _ in range(8)}) == 1


@pytest.mark.parametrize(("share", "who"), [(0, "old"), (1, "new")])
async def test_every_way_to_call_it(made, share, who):
    model = made(share=share)
    told = {"name": "new", "side": who}
    whole = [model.invoke("Hi"), await model.ainvoke("Hi")]
    whole += [model.batch(["Hi"])[0], (await model.abatch(["Hi"]))[0]]
    whole.append(model.generate([[AIMessage("Hi")]]).generations[0][0].message)
    whole.append((await model.agenerate([[AIMessage("Hi")]])).generations[0][0].message)
    chunks = list(model.stream("Hi"))
    assert len(chunks) > 5
    whole.append(sum(chunks[1:], chunks[0]))
    chunks = [chunk async for chunk in model.astream("Hi")]
    whole.append(sum(chunks[1:], chunks[0]))
    for message in whole:
        assert message.content == f"I am {who}"
        assert message.response_metadata["rollout"] == told
    chain = ChatPromptTemplate.from_messages([("user", "{x}")]) | model | StrOutputParser()
    assert chain.invoke({"x": "Hi"}) == f"I am {who}"
    events = [event async for event in chain.astream_events({"x": "Hi"}, version="v2")]
    assert {event["name"] for event in events if "chat_model" in event["event"]} == {"ChatOpenAI"}


class Named(BaseModel):
    """Something with a name."""

    name: str


@tool
def look_up(name: str) -> str:
    """Look a name up."""
    return f"found {name}"


@pytest.mark.parametrize(("share", "who"), [(0, "old"), (1, "new")])
async def test_tools_and_schemas(made, share, who, provider):
    model = made(share=share)
    bound = model.bind_tools([look_up], tool_choice="look_up")
    for message in (bound.invoke("Hi"), await bound.ainvoke("Hi")):
        assert message.tool_calls[0]["name"] == "look_up"
        assert side(message) == who
    assert provider.asked[-1]["tool_choice"]["function"]["name"] == "look_up"
    structured = model.with_structured_output(Named)
    assert structured.invoke("Hi") == await structured.ainvoke("Hi") == Named(name=who)
    raw = model.with_structured_output(Named, include_raw=True).invoke("Hi")
    assert raw["parsed"] == Named(name=who)
    assert side(raw["raw"]) == who
    assert model.bind(stop=["x"]).invoke("Hi").content == f"I am {who}"
    assert provider.asked[-1]["stop"] == ["x"]


def test_an_agent_keeps_its_model(made, provider):
    model = made(share=0.5)
    agent = create_agent(model, [look_up], checkpointer=InMemorySaver())
    found = Counter()
    for number in range(8):
        before = len(provider.asked)
        for _ in range(2):
            state = agent.invoke({"messages": [("user", "Hi")]}, thread(str(number)))
        [name] = {body["model"] for body in provider.asked[before:]}
        assert state["messages"][-1].content == f"I am {name}"
        found[name] += 1
    assert set(found) == {"old", "new"}


async def test_where_the_new_model_fails_the_old_one_answers(made, provider, tmp_path):
    provider.broken = {"new"}
    model = made(share=1)
    with RunRecorder(tmp_path / "runs.jsonl") as recorder:
        config = {"callbacks": [recorder], "run_id": None}
        whole = [model.invoke("Hi", config), await model.ainvoke("Hi", config)]
        chunks = list(model.stream("Hi", config))
        whole.append(sum(chunks[1:], chunks[0]))
        chunks = [chunk async for chunk in model.astream("Hi", config)]
        whole.append(sum(chunks[1:], chunks[0]))
    for message in whole:
        assert message.content == "I am old"
        told = {"name": "new", "side": "old", "fallback": True}
        assert message.response_metadata["rollout"] == told
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [run["status"] for run in runs] == ["error", "success"] * 4
    assert len({run["id"] for run in runs}) == 8
    for run in runs:
        metadata = run["extra"]["metadata"]
        assert metadata["rollout"] == "new"
        assert metadata["rollout_side"] == ("new" if run["error"] else "old")
        assert metadata.get("rollout_fallback") == (None if run["error"] else "true")
    provider.broken = {"new", "old"}
    with pytest.raises(APIError):
        model.invoke("Hi")
    # Other errors than those named are the caller's.
    provider.broken = {"new"}
    with pytest.raises(APIError):
        made(share=1, fall_back_on=(TimeoutError,)).invoke("Hi")
    with pytest.raises(APIError):
        list(made(share=1, fall_back_on=()).stream("Hi"))


async def test_a_stream_that_has_begun_does_not_change_its_model(made, provider):
    provider.broken = {"new midway"}
    model = made(share=1)
    stream = model.stream("Hi")
    assert side(next(stream)) == "new"
    with pytest.raises(APIError):
        list(stream)
    with pytest.raises(APIError):
        async for _ in model.astream("Hi"):
            pass
    assert provider.counted() == {"new": 2}


async def test_a_shadow_is_recorded_and_never_seen(made, provider, tmp_path):
    model = made(mode="shadow", share=1)
    told = []

    class Tap(BaseCallbackHandler):
        def on_llm_new_token(self, token, **_):
            told.append(token)

    with RunRecorder(tmp_path / "runs.jsonl") as recorder:
        config = thread("t1") | {"callbacks": [recorder, Tap()]}
        whole = [model.invoke("Hi", config), await model.ainvoke("Hi", config)]
        chunks = list(model.stream("Hi", config))
        whole.append(sum(chunks[1:], chunks[0]))
        chunks = [chunk async for chunk in model.astream("Hi", config)]
        whole.append(sum(chunks[1:], chunks[0]))
        bound = model.bind_tools([look_up])
        assert side(bound.invoke("Hi", config)) == "old"
        assert model.finish_shadows(30)
        assert await model.afinish_shadows(30)
    for message in whole:
        assert (message.content, side(message)) == ("I am old", "old")
    assert "".join(told) == "I am old" * 2
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    sides = {"old": [], "new": []}
    for run in runs:
        metadata = run["extra"]["metadata"]
        sides[metadata["rollout_side"]].append(run)
    assert len(sides["old"]) == len(sides["new"]) == 5
    # Each shadow is a trace of its own, and says which answer it stands beside.
    assert {run["parent_run_id"] for run in sides["new"]} == {None}
    assert {run["extra"]["metadata"]["thread_id"] for run in sides["new"]} == {"t1"}
    of = [run["extra"]["metadata"]["rollout_shadow_of"] for run in sides["new"]]
    assert sorted(of) == sorted(run["id"] for run in sides["old"])
    assert len(list(RunFileChatLoader(tmp_path / "runs.jsonl").lazy_load())) == 10


async def test_a_shadow_is_asked_what_the_old_model_was(made, provider):
    model = made(mode="shadow")
    provider.hold.clear()
    chat = [HumanMessage(["one"])]
    model.invoke(chat)
    chat[0].content.append("two")
    await model.ainvoke(chat)
    chat.append(AIMessage("I am old"))
    stream = model.stream(chat)
    next(stream)
    chat.append(AIMessage("I am old"))
    list(stream)
    provider.hold.set()
    assert await asyncio.to_thread(model.finish_shadows, 30)
    assert await model.afinish_shadows(30)
    asked = {"old": [], "new": []}
    for body in provider.asked:
        asked[body["model"]].append(json.dumps(body["messages"]))
    assert sorted(asked["old"]) == sorted(asked["new"])
    assert len(set(asked["new"])) == 3


async def test_shadows_slow_nobody_and_are_bounded(made, provider, caplog):
    provider.hold.clear()
    model = made(mode="shadow")
    begun = time.monotonic()
    for _ in range(MAX_PENDING + 4):
        assert model.invoke("Hi").content == "I am old"
        assert (await model.ainvoke("Hi")).content == "I am old"
    assert time.monotonic() - begun < 10
    assert model.shadows_lost == MAX_PENDING + 8
    assert "A shadow was not asked: too many are" in caplog.text
    assert not model.finish_shadows(0.05)
    assert not await model.afinish_shadows(0.05)
    provider.hold.set()
    assert await asyncio.to_thread(model.finish_shadows, 30)
    assert await model.afinish_shadows(30)


def test_shadows_that_end_with_their_loop_are_counted(caplog):
    class Slow(FakeListChatModel):
        async def _agenerate(self, *_, **__):
            await asyncio.sleep(60)

    model = RolloutChatModel(
        old=FakeListChatModel(responses=["old"]), new=Slow(responses=["new"]), mode="shadow"
    )

    async def app():
        await model.ainvoke("Hi")
        await asyncio.sleep(0.1)

    asyncio.run(app())
    assert model.shadows_lost == 1
    assert "its event loop ended" in caplog.text


async def test_shadows_that_fail_reach_nobody(made, provider, caplog):
    provider.broken = {"new"}
    model = made(mode="shadow")
    assert model.invoke("Hi").content == "I am old"
    assert (await model.ainvoke("Hi")).content == "I am old"
    assert model.finish_shadows(30)
    assert await model.afinish_shadows(30)
    assert caplog.text.count("A shadow failed: OpenAIAPIError.") == 2
    assert "broken" not in caplog.text


def test_a_call_that_the_old_model_fails_has_no_shadow(made, provider):
    provider.broken = {"old"}
    model = made(mode="shadow")
    with pytest.raises(APIError):
        model.invoke("Hi")
    assert provider.counted() == {"old": 1}


async def test_a_cache_does_not_mix_rollouts():
    set_llm_cache(InMemoryCache())
    try:
        for text in ("a", "b"):
            models = [FakeListChatModel(responses=[text]), FakeListChatModel(responses=[text * 2])]
            for share, expected in enumerate((text, text * 2)):
                model = RolloutChatModel(old=models[0], new=models[1], share=share)
                asked = [[HumanMessage("Hi")]]
                found = [model.generate(asked), await model.agenerate(asked)]
                assert [each.generations[0][0].text for each in found] == [expected] * 2
    finally:
        set_llm_cache(None)


def test_the_providers_may_differ():
    model = RolloutChatModel(
        old=FakeListChatModel(responses=["a"]),
        new=FakeListChatModel(responses=["b"]),
        share="0.5",
        rollout="mine",
    )
    answers = {model.invoke("Hi", thread(str(number))).content for number in range(20)}
    assert answers == {"a", "b"}
    with pytest.raises(InvalidArgumentError):
        RolloutChatModel(old=model.old, new=model.new, share=2)
    with pytest.raises(InvalidArgumentError):
        RolloutChatModel(old=model.old, new=model.new, shares=0.1)


@pytest.mark.parametrize("share", [1 / 3, 0.1 + 0.2, 2**-40, 1e-9 / 3])
def test_each_float_is_a_share(share):
    answers = {"old": FakeListChatModel(responses=["o"]), "new": FakeListChatModel(responses=["n"])}
    assert float(RolloutChatModel(**answers, share=share).share) == share


def test_digits_without_an_end_are_no_share():
    answers = {"old": FakeListChatModel(responses=["o"]), "new": FakeListChatModel(responses=["n"])}
    with pytest.raises(InvalidArgumentError, match="40 digits"):
        RolloutChatModel(**answers, share="1e-999999999")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_it_can_be_copied_and_sent_to_another_process(copied):
    model = RolloutChatModel(
        old=FakeListChatModel(responses=["old"]),
        new=FakeListChatModel(responses=["new"]),
        mode="shadow",
    )
    model.invoke("Hi")
    assert model.finish_shadows(5)
    again = copied(model)
    assert again.model_dump() == model.model_dump()
    assert again.invoke("Hi").content == "old"
    assert again.finish_shadows(5)
    assert again.shadows_lost == 0


def test_threads_that_outlive_the_main_one_get_their_answers():
    """Python starts no more work in pools then: shadows are left out."""
    program = """
import threading, time
from langchain_core.language_models import FakeListChatModel
from langchain_finetune import RolloutChatModel
old, new = (FakeListChatModel(responses=[text]) for text in ("old", "new"))
model = RolloutChatModel(old=old, new=new, mode="shadow")
def serve():
    threading.main_thread().join()
    time.sleep(0.2)
    print(model.invoke("Hi").content, model.shadows_lost, model.finish_shadows(5))
threading.Thread(target=serve).start()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["old", "1", "True"]
    assert "A shadow was not asked: no thread is left (1 so far)." in done.stderr
