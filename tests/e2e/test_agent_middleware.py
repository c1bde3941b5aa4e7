"""Agents with LangChain's real middleware: what people decided, and calls of the middleware."""

import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    SummarizationMiddleware,
)
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_finetune import (
    Convert,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    RunFileChatLoader,
    RunRecorder,
)
from support.model_server import ModelServer, call, text
from support.servers import served

APPROVE = {"type": "approve"}
EDIT = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "Ann"}}}
REJECT = {"type": "reject", "message": "Not on Sundays."}
RESPOND = {"type": "respond", "message": "I wrote to him myself."}
DECISIONS = [REJECT, {"type": "reject"}, RESPOND]
ASKED = {"role": "user", "content": "Tell Bob"}
BOB, ANN = call("send", '{"to": "Bob"}'), call("send", '{"to": "Ann"}')


@tool
def send(to: str) -> str:
    """Send it."""
    return f"Sent to {to}."


@tool
def look_up(name: str) -> str:
    """Look up a person."""
    return f"{name} is known."


@pytest.fixture
def recorded(run_store, tmp_path):
    """Runs an agent on a scripted model, recorded by both tracers: `run(answers, make, *inputs)`.

    `make(chat)` returns the agent. The result has the loaders, and what the model was asked.
    """

    class Recorded:
        def run(self, answers, make, *inputs):
            self.server = ModelServer(answers)
            with served(self.server.app) as url, RunRecorder(tmp_path / "runs.jsonl") as recorder:
                agent = make(ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="x"))
                tracer = LangChainTracer(project_name="app", client=run_store)
                config = {"configurable": {"thread_id": "t"}, "callbacks": [tracer, recorder]}
                for each in inputs:
                    agent.invoke(each, config)
                tracer.wait_for_futures()
                run_store.flush()
            return self

        def loader(self, source, **settings):
            if source == "file":
                return RunFileChatLoader(tmp_path / "runs.jsonl", **settings)
            kind = LangSmithThreadChatLoader if source == "threads" else LangSmithRunChatLoader
            return kind(project_name="app", client=run_store, **settings)

        def lines(self, source, method="supervised", **settings):
            examples = (self.loader(source, **settings) | Convert(method=method)).invoke({})
            found = sorted(examples, key=lambda line: len(json.dumps(line)))
            return found, [skip.code for skip in examples.rejected]

    return Recorded()


def decided(recorded, *decisions, mode="batched", calls=BOB):
    def make(chat):
        review = HumanInTheLoopMiddleware({"send": True}, interrupt_mode=mode)
        return create_agent(
            chat, [send, look_up], middleware=[review], checkpointer=InMemorySaver()
        )

    resume = decisions[0] if mode == "per_call" else {"decisions": list(decisions)}
    started = {"messages": [("user", ASKED["content"])]}
    return recorded.run([calls, text("Done.")], make, started, Command(resume=resume))


SOURCES = ["runs", "threads", "file"]


def weights(line):
    return [each.get("weight") for each in line["messages"] if each["role"] == "assistant"]


@pytest.mark.parametrize("mode", ["batched", "per_call"])
def test_an_edited_call_is_learnt_as_it_was_edited(recorded, mode):
    decided(recorded, EDIT, mode=mode)
    for source in SOURCES:
        (short, long), rejected = recorded.lines(source)
        assert rejected == []
        assert short["messages"] == [ASKED, ANN]
        assert long["messages"][:2] == [ASKED, BOB | {"weight": 0}]
        assert weights(long) == [0, None]
        [pair], _ = recorded.lines(source, "preference")
        assert pair["input"]["messages"] == [ASKED]
        assert (pair["preferred_output"], pair["non_preferred_output"]) == ([ANN], [BOB])


@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_rejected_or_answered_call_is_not_learnt(recorded, mode, decision):
    decided(recorded, decision, mode=mode)
    for source in SOURCES:
        [line], rejected = recorded.lines(source)
        assert rejected == ["replaced_call"]
        assert line["messages"][1] == BOB | {"weight": 0}
        assert weights(line) == [0, None]
        assert len(recorded.loader(source, strict=True).load()) == 1


def test_of_two_calls_the_approved_one_is_learnt(recorded):
    both = call("look_up", '{"name": "Bob"}', "c1")
    both["tool_calls"] += call("send", '{"to": "Bob"}', "c2")["tool_calls"]
    decided(recorded, REJECT, calls=both)
    for source in SOURCES:
        (short, long), _ = recorded.lines(source)
        assert short["messages"] == [ASKED, call("look_up", '{"name": "Bob"}', "c1")]
        assert weights(long) == [0, None]
        [pair], _ = recorded.lines(source, "preference")
        assert pair["non_preferred_output"] == [both]


def test_an_approved_call_is_learnt(recorded):
    decided(recorded, APPROVE)
    for source in SOURCES:
        lines, rejected = recorded.lines(source)
        assert rejected == []
        whole = [None, None]
        assert list(map(weights, lines)) == ([whole] if source == "threads" else [whole[:1], whole])


def test_calls_of_middleware_are_left_out(recorded):
    def make(chat):
        choose = LLMToolSelectorMiddleware(model=chat, max_tools=1)
        emulate = LLMToolEmulator(model=chat)
        return create_agent(chat, [send, look_up], middleware=[choose, emulate])

    chosen = text('{"tools": ["send"]}')
    answers = [chosen, BOB, text("It was sent."), chosen, text("Done.")]
    recorded.run(answers, make, {"messages": [("user", ASKED["content"])]})
    for source in SOURCES:
        lines, rejected = recorded.lines(source)
        assert rejected == ["internal_call"] * 3
        assert [len(line["messages"]) for line in lines] == ([4] if source == "threads" else [2, 4])
        assert len(recorded.loader(source, strict=True).load()) == len(lines)
        everything = recorded.loader(source, internal_calls=True).load()
        assert len(everything) == (3 if source == "threads" else 5)
    assert len(recorded.loader("runs", limit=2).load()) == 2


def test_a_summary_is_not_joined_to_what_it_replaced(recorded):
    def make(chat):
        short = SummarizationMiddleware(chat, trigger=("messages", 3), keep=("messages", 1))
        return create_agent(chat, middleware=[short], checkpointer=InMemorySaver())

    asked = [{"messages": [("user", said)]} for said in ("One?", "Two?", "Three?")]
    answers = [text("1."), text("They count."), text("2."), text("They count on."), text("3.")]
    recorded.run(answers, make, *asked)
    for source in SOURCES:
        lines, rejected = recorded.lines(source)
        assert rejected == ["internal_call"] * 2
        assert sorted(line["messages"][-1]["content"] for line in lines) == ["1.", "2.", "3."]
        asked_of_model = [recorded.server.requests[index]["messages"] for index in (0, 2, 4)]
        assert all(line["messages"][:-1] in asked_of_model for line in lines)
