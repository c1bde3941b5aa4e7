"""Shadows where models really write, one after the other, and behind an upstream."""

import json
import sys
import time
from pathlib import Path

import httpx
import openai
import pytest
from langsmith import Client

from langchain_finetune.rollout.state import Rollout
from tests.local.chat_server import ChatServer
from tests.local.conftest import running_engine, until
from tests.local.forms import NANO

NAMED_ENGINE = str(Path(__file__).with_name("rollout_engine.py"))
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server():
    with ChatServer(old=NANO, new=NANO).running() as server:
        server.rollouts["bot"] = Rollout(name="bot", target="old").shadow("new")
        yield server


@pytest.fixture
def client(server):
    server.kept.clear()
    with server.client() as client:
        yield client


def texts(runs):
    """The answers of both models in the runs of a shadow."""
    return {
        run.values["name"]: json.loads(run.values["outputs"])["choices"][0]["message"]["content"]
        for run in runs[1:]
    }


@pytest.mark.parametrize("stream", [False, True])
def test_both_are_kept_as_they_were_written(server, client, stream):
    options = {"messages": HELLO, "seed": 3, "temperature": 1, "max_tokens": 12, "stream": stream}
    answer = client.chat.completions.create(model="bot", **options)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    until(lambda: server.kept)
    # The same weights, seed and settings.
    assert texts(server.kept[0]) == {"old": text, "new": text}


def test_the_apps_requests_go_first(server, client, script):
    """A shadow that is being written stops for a request, and is written anew."""
    script.text = "a" * 30
    script.pause = 0.05
    # It is set at the end of an answer, and would cut the pauses of the next short.
    script.stopped.set = lambda: None

    def timed(model):
        begun = time.monotonic()
        client.chat.completions.create(model=model, messages=HELLO)
        return time.monotonic() - begun

    timed("bot")
    alone = min(timed("old") for _ in range(2))
    assert alone > 0.5
    took = []
    for _ in range(3):
        took.append(timed("bot"))
        # The shadow is on its way when the next request comes.
        time.sleep(alone / 3)
    assert max(took) < 1.5 * alone
    until(lambda: len(server.kept) == 4)


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    with running_engine(tmp_path_factory.mktemp("behind"), command=(NAMED_ENGINE,)) as behind:
        command = (sys.executable, "-m", "langchain_finetune.local")
        options = ("--upstream", f"{behind.url}/v1", "--home")
        variables = {"LCFT_UPSTREAM_API_KEY": behind.key}
        home = tmp_path_factory.mktemp("front")
        with running_engine(home, command=(*command, *options), variables=variables) as engine:
            yield engine


@pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")
def test_behind_an_upstream(front):
    def step(**body):
        headers = {"Authorization": f"Bearer {front.key}"}
        answer = httpx.post(f"{front.url}/v1/aliases/bot", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text

    with front.client() as client:

        def ask(content="Hello", **options):
            messages = [{"role": "user", "content": content}]
            return client.chat.completions.create(model="bot", messages=messages, **options)

        step(action="promote", model="a")
        step(action="canary", model="b", share=1)
        assert ask().model == "b"
        assert {chunk.model for chunk in ask(stream=True)} == {"b"}
        raw = client.chat.completions.with_raw_response.create(model="bot", messages=HELLO)
        assert raw.headers["x-langchain-finetune-model"] == "b"
        step(action="shadow", model="b")
        begun = time.monotonic()
        # Those of `b` take half a minute, and hold nobody up.
        assert ask("slow").model == ask("slow").model == "a"
        assert ask("fail", stream=True).response.status_code == 200
        assert ask("Hello").model == "a"
        assert time.monotonic() - begun < 15
        langsmith = Client(api_url=front.url, api_key=front.key, auto_batch_tracing=False)

        def errors():
            if not langsmith.has_project("shadow:bot"):
                return None
            runs = langsmith.list_runs(project_name="shadow:bot", run_type="llm")
            found = [run.error for run in runs if run.metadata["rollout_side"] == "new"]
            return found if len(found) == 2 else None

        failed, passed = sorted(until(errors), key=lambda error: error is None)
        langsmith.cleanup()
        assert passed is None
        assert "b is broken" in failed
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nowhere", messages=HELLO)
