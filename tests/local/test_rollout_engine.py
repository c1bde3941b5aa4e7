"""Rollouts on a real engine, driven by the openai SDK and ChatOpenAI."""

import operator
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from functools import reduce
from pathlib import Path
from urllib.parse import quote

import httpx
import openai
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from langsmith import Client

from langchain_finetune.dialects.run import read_run
from langchain_finetune.rollout.state import Rollout
from langchain_finetune.sessions import wire_messages
from tests.local.conftest import running_engine, until

# Its successor answers for a day only, by default.
pytestmark = pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")

ENGINE = str(Path(__file__).with_name("rollout_engine.py"))
OLD = "ft:gpt-4o-mini-2024-07-18:acme::abc"
HELLO = [{"role": "user", "content": "Hello"}]
HEADER = "x-langchain-finetune-model"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    command = (ENGINE, "opted=a")
    with running_engine(tmp_path_factory.mktemp("rollout") / "home", command=command) as engine:
        yield engine


@pytest.fixture
def client(shared):
    with shared.client() as client:
        yield client


@pytest.fixture
def api(shared):
    with reader(shared) as api:
        yield api


@pytest.fixture
def name(request):
    """An alias of this test's own."""
    return f"alias of {request.node.name}"


def reader(engine):
    return httpx.Client(
        base_url=f"{engine.url}/v1", headers={"X-API-Key": engine.key}, timeout=60, trust_env=False
    )


def step(api, name, action, model=None, **given):
    body = {"action": action, **given} | ({"model": model} if model else {})
    return api.post(f"/aliases/{quote(name)}", json=body)


def done(api, name, action, model=None, **given):
    answer = step(api, name, action, model, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(client, name, content="Hello", **given):
    messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(model=name, messages=messages, **given).model


def test_promoted_and_rolled_back(api, client, name):
    with pytest.raises(openai.NotFoundError):
        asked(client, name)
    assert done(api, name, "promote", "a")["target"] == "a"
    assert asked(client, name) == "a"
    done(api, name, "promote", "b")
    done(api, name, "promote", "b")
    done(api, name, "promote", "c")
    assert asked(client, name) == "c"
    assert done(api, name, "rollback")["target"] == "b"
    assert asked(client, name) == "b"
    assert done(api, name, "rollback")["target"] == "a"
    answer = step(api, name, "rollback")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "nothing_to_roll_back")
    assert asked(client, name) == "a"
    history = api.get(f"/aliases/{quote(name)}").json()["history"]
    assert [(each["action"], each["target"]) for each in history] == [
        ("rollback", "a"),
        ("rollback", "b"),
        ("promote", "c"),
        ("promote", "b"),
        ("promote", "a"),
    ]
    assert name in [each["id"] for each in api.get("/aliases").json()["data"]]
    assert client.models.retrieve(name).model_extra["root"] == "a"


def test_a_step_is_refused_where_somebody_has_decided_otherwise(api, name):
    assert step(api, name, "promote", "a", expected="b").status_code == 409
    assert done(api, name, "promote", "a", expected=name)["target"] == "a"
    refused = step(api, name, "promote", "b", expected=name)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "alias_changed")
    assert refused.json()["error"]["message"].startswith(f"'a' answers to {name!r}, not {name!r}")
    done(api, name, "canary", "c")
    refused = step(api, name, "promote", "b", expected="a")
    assert refused.status_code == 409
    assert "'a' answers" in refused.json()["error"]["message"]
    assert "'c' is tried, not 'a' alone" in refused.json()["error"]["message"]
    assert api.get(f"/aliases/{quote(name)}").json()["mode"] == "canary"
    done(api, name, "promote", "c")
    assert done(api, name, "rollback", expected="c")["target"] == "a"


def test_the_candidate_is_promoted_without_naming_it(api, name):
    done(api, name, "promote", "a")
    assert step(api, name, "promote").status_code == 400
    done(api, name, "canary", "b", share=0.3)
    assert done(api, name, "promote") == {
        "id": name,
        "object": "alias",
        "target": "b",
        "mode": "promoted",
        "candidate": None,
        "share": "0",
        "earlier": ["a"],
    }


def test_a_canary_is_sticky_under_load_and_grows(api, client, name):
    done(api, name, "promote", "a")
    seen = []
    for share in (0.1, 0.3, 1):
        state = done(api, name, "canary", "b", share=share)
        rollout = Rollout(name=name, target="a", candidate="b", mode="canary", share=state["share"])
        threads = [f"thread {number}" for number in range(100)]

        def model_of(thread):
            return asked(client, name, extra_body={"metadata": {"thread_id": thread}})

        with ThreadPoolExecutor(20) as pool:
            answered = list(pool.map(model_of, threads * 2))
        assert answered[:100] == answered[100:]
        assert answered[:100] == [rollout.answering(f"thread:{each}") for each in threads]
        new = {each for each, model in zip(threads, answered, strict=False) if model == "b"}
        assert abs(len(new) - 100 * share) < 15
        seen.append(new)
    assert seen[0] < seen[1] < seen[2] == set(threads)
    # It ends with a rollback: all have the old model again, which did not change meanwhile.
    assert done(api, name, "rollback")["target"] == "a"
    assert {model_of(each) for each in threads[:20]} == {"a"}


@pytest.mark.parametrize(
    "field",
    [
        lambda key: {"user": key},
        lambda key: {"safety_identifier": key},
        lambda key: {"extra_body": {"metadata": {"session_id": key}}},
    ],
)
def test_what_langchain_sends_is_sticky(shared, api, name, field):
    done(api, name, "promote", "a")
    done(api, name, "canary", "b", share=0.5)
    with openai.DefaultHttpxClient() as http:
        model = chat_openai(shared, name, http)
        check_sticky(model, field)


def chat_openai(engine, name, http):
    return ChatOpenAI(model=name, base_url=f"{engine.url}/v1", api_key=engine.key, http_client=http)


def check_sticky(model, field):
    found = Counter()
    for key in map(str, range(12)):
        models = {
            model.invoke("Hello", **field(key)).response_metadata["model_name"] for _ in range(4)
        }
        assert len(models) == 1
        found.update(models)
    assert set(found) == {"a", "b"}
    # Neither a thread nor a user: each request draws.
    drawn = Counter(asked_by(model, prompt_cache_key="the app's") for _ in range(60))
    assert min(drawn["a"], drawn["b"]) > 10


def asked_by(model, **given):
    return model.invoke("Hello", **given).response_metadata["model_name"]


@pytest.mark.parametrize("share", [0, 1])
def test_each_api_is_rolled_out(client, api, name, share):
    done(api, name, "promote", "a")
    done(api, name, "canary", "b", share=share)
    model = "b" if share else "a"
    chunks = list(client.chat.completions.create(model=name, messages=HELLO, stream=True))
    assert {chunk.model for chunk in chunks} == {model}
    assert client.completions.create(model=name, prompt="Hello").model == model
    assert {each.model for each in client.completions.create(model=name, prompt="x", stream=True)}
    assert client.responses.create(model=name, input="Hello").model == model
    last = list(client.responses.create(model=name, input="Hello", stream=True))[-1]
    assert last.response.model == model
    for create, given in (
        (client.chat.completions, {"messages": HELLO}),
        (client.completions, {"prompt": "Hello"}),
        (client.responses, {"input": "Hello"}),
    ):
        raw = create.with_raw_response.create(model=name, **given)
        assert raw.headers[HEADER] == model


def test_a_model_is_rolled_out_under_its_own_name(client, api):
    """The app's code names the model that goes dark, and stays as it is."""
    assert asked(client, OLD) == OLD
    done(api, OLD, "canary", "b", share=1)
    assert asked(client, OLD) == "b"
    done(api, OLD, "rollback")
    assert asked(client, OLD) == OLD
    done(api, OLD, "promote", "b")
    assert asked(client, OLD) == "b"
    done(api, "other of it", "promote", OLD)
    # An alias points at a model, not at another alias.
    assert asked(client, "other of it") == OLD
    assert done(api, OLD, "rollback")["target"] == OLD
    assert asked(client, OLD) == OLD
    assert [each.id for each in client.models.list()].count(OLD) == 1
    for alias in (OLD, "other of it"):
        assert api.delete(f"/aliases/{quote(alias)}").json()["deleted"] is True
        assert api.delete(f"/aliases/{quote(alias)}").status_code == 404


def test_names_with_a_slash(client, api):
    done(api, "hub/model", "promote", "c")
    assert asked(client, "hub/model") == "c"
    assert api.get("/aliases/hub/model").json()["target"] == "c"
    assert api.delete("/aliases/hub/model").status_code == 200
    assert asked(client, "hub/model") == "hub/model"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"action": "promote", "model": "nowhere"}, 404, "model"),
        ({"action": "promote"}, 400, "model"),
        ({"action": "canary", "model": "b"}, 404, None),
        ({"action": "shadow", "model": "b"}, 404, None),
        ({"action": "rollback"}, 404, None),
        ({"action": "rollback", "model": "a"}, 400, "model"),
        ({"action": "promote", "model": "a", "share": 0.1}, 400, "share"),
        ({"action": "canary", "model": "b", "share": 1.1}, 400, "share"),
        ({"action": "canary", "model": "b", "share": "NaN"}, 400, "share"),
        ({"action": "explode", "model": "b"}, 400, "action"),
        ({"action": "promote", "model": "a", "more": 1}, 400, "more"),
    ],
)
def test_what_is_refused_changes_nothing(api, name, body, status, param):
    answer = api.post("/aliases/new", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert api.get("/aliases/new").status_code == 404
    assert api.get("/aliases/new").json()["error"]["code"] == "alias_not_found"


def test_it_is_behind_the_key(shared):
    for method, path in (("GET", "/aliases"), ("POST", "/aliases/x"), ("DELETE", "/aliases/x")):
        assert httpx.request(method, f"{shared.url}/v1{path}").status_code == 401


def test_a_model_in_use_can_not_be_deleted(start, jsonl, way):
    with start(command=(ENGINE,)) as engine, engine.client() as client, reader(engine) as api:
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
        tuned = []
        for _ in range(2):
            job = client.fine_tuning.jobs.create(
                model="nano", training_file=file, seed=way.SUCCEED
            ).id
            until(lambda: client.fine_tuning.jobs.retrieve(job).status == "succeeded")  # noqa: B023
            tuned.append(client.fine_tuning.jobs.retrieve(job).fine_tuned_model)
        old, new = tuned
        done(api, "bot", "promote", old)
        done(api, "bot", "shadow", new)
        for model in tuned:
            with pytest.raises(openai.ConflictError, match="'bot': promote another model there"):
                client.models.delete(model)
        done(api, "bot", "promote", new)
        client.models.delete(old)
        # What it pointed at before is gone, so there is no way back to it.
        answer = step(api, "bot", "rollback")
        assert answer.status_code == 404
        assert old in answer.json()["error"]["message"]
        assert asked(client, "bot") == new


def test_aliases_of_the_command_line(start):
    """They are as before until somebody changes them; a changed option is a promotion."""

    def running(*options):
        return start(command=(ENGINE, *options))

    with running("bot=a", "untouched=a") as engine, reader(engine) as api:
        assert api.get("/aliases/bot").json()["target"] == "a"
        done(api, "bot", "promote", "b")
        assert api.delete("/aliases/bot").status_code == 409
    with running("bot=a") as engine, reader(engine) as api:
        assert api.get("/aliases/bot").json()["target"] == "b"
        assert api.get("/aliases/untouched").status_code == 404
    with running() as engine, reader(engine) as api:
        assert api.get("/aliases/bot").json()["target"] == "b"
    with running("bot=c") as engine, reader(engine) as api:
        assert api.get("/aliases/bot").json()["earlier"] == ["a", "b"]
        assert api.get("/aliases/bot").json()["target"] == "c"
        assert done(api, "bot", "rollback")["target"] == "b"
    with running("bot=c") as engine, reader(engine) as api, engine.client() as client:
        assert asked(client, "bot") == "b"


def shadowed(langsmith, name, number):
    """The runs of a shadow's traces, once they are there: (root, old, new) for each."""
    project = f"shadow:{name}"

    def found():
        if not langsmith.has_project(project):
            return None
        runs = list(langsmith.list_runs(project_name=project))
        roots = [run for run in runs if run.parent_run_id is None]
        return runs if len(roots) >= number else None

    runs = until(found, 10)
    assert len(runs) == 3 * number
    traces = []
    for root in sorted((run for run in runs if not run.parent_run_id), key=lambda r: r.start_time):
        sides = {run.metadata["rollout_side"]: run for run in runs if run.parent_run_id == root.id}
        traces.append((root, sides["old"], sides["new"]))
    return traces


@pytest.fixture
def langsmith(shared):
    client = Client(api_url=shared.url, api_key=shared.key, auto_batch_tracing=False)
    yield client
    client.cleanup()


def test_a_shadow_is_recorded_from_both(client, api, name, langsmith):
    done(api, name, "promote", "a")
    done(api, name, "shadow", "b")
    metadata = {"thread_id": "t1"}
    assert asked(client, name, metadata=metadata) == "a"
    assert {
        c.model
        for c in client.chat.completions.create(
            model=name, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    } == {"a"}
    assert client.completions.create(model=name, prompt="Hello").model == "a"
    assert client.responses.create(model=name, input="Hello").model == "a"
    streams = (
        client.completions.create(model=name, prompt="Hello", stream=True),
        client.responses.create(model=name, input="Hello", stream=True),
    )
    assert all(list(stream) for stream in streams)
    traces = shadowed(langsmith, name, 6)
    assert traces[0][0].metadata["thread_id"] == "t1"
    for root, old, new in traces:
        assert root.name == name
        assert root.inputs["model"] == name
        assert "stream" not in root.inputs
        for run, model in ((old, "a"), (new, "b")):
            assert run.metadata["rollout"] == name
            assert run.metadata["ls_model_name"] == run.outputs["model"] == model
            [chat] = read_run(run.model_dump(mode="json"))
            assert wire_messages(chat)[-1]["content"] == f"{model} answers"
        assert old.start_time <= old.end_time <= new.start_time <= new.end_time


def test_a_shadow_that_fails_is_an_error_of_its_own(client, api, name, langsmith):
    done(api, name, "promote", "a")
    done(api, name, "shadow", "b")
    assert asked(client, name, "fail, please") == "a"
    [(_, old, new)] = shadowed(langsmith, name, 1)
    assert (old.error, new.error) == (None, "b is broken.")
    # What the old model fails at is asked of nobody else.
    done(api, name, "promote", "b")
    done(api, name, "shadow", "a")
    with pytest.raises(openai.InternalServerError):
        asked(client, name, "fail, please")
    assert asked(client, name) == "b"
    assert len(shadowed(langsmith, name, 2)) == 2


def test_a_shadow_gives_way_and_is_bounded(start):
    with start(command=(ENGINE,)) as engine, engine.client() as client, reader(engine) as api:
        done(api, "bot", "promote", "a")
        done(api, "bot", "shadow", "b")
        begun = time.monotonic()
        for _ in range(60):
            assert asked(client, "bot", "slow") == "a"
        assert time.monotonic() - begun < 15
        until(lambda: "A shadow of bot was not asked" in engine.log())
        # It ends although shadows are asked and wait.


def test_models_are_compared_by_feedback(shared, api, name, langsmith):
    """An app that traces into the engine, with votes on its answers."""
    done(api, name, "promote", "a")
    done(api, name, "canary", "b", share=0.5)
    project, answered = langsmith.create_project(name), Counter()
    with openai.DefaultHttpxClient() as http:
        chain = ChatPromptTemplate.from_messages([("user", "{x}")]) | chat_openai(
            shared, name, http
        )
        tracer = LangChainTracer(project_name=name, client=langsmith)
        for user in range(12):
            config = {"callbacks": [tracer], "run_id": uuid.uuid4()}
            if user % 2:
                answer = chain.invoke({"x": "Hello"}, config, user=str(user))
            else:
                chunks = chain.stream({"x": "Hello"}, config, user=str(user))
                answer = reduce(operator.add, chunks)
            model = answer.response_metadata["model_name"]
            answered[model] += 1
            langsmith.create_feedback(
                config["run_id"], "vote", score=model == "b", session_id=project.id
            )
    langsmith.flush()
    figures = api.get(f"/aliases/{quote(name)}").json()["figures"]
    assert {each["model"]: each["runs"] for each in figures} == answered
    assert set(answered) == {"a", "b"}
    for each in figures:
        assert each["errors"] == 0
        assert each["mean_latency"] > 0
        [score] = each["feedback"]
        assert score == {"key": "vote", "n": each["runs"], "mean": each["model"] == "b"}


def random_step(chance, rollout):
    """A step of a rollout as the API takes it, and the state that follows."""
    model, share = chance.choice("abc"), Decimal(chance.randint(0, 100)) / 100
    found = {
        "promote": rollout.promote(model),
        "canary": rollout.canary(model, share),
        "shadow": rollout.shadow(model),
        "rollback": rollout.rollback(),
    }
    action = chance.choice([name for name, after in found.items() if after])
    body = {} if action == "rollback" else {"model": model}
    if action == "canary":
        body["share"] = str(share)
    return action, body, found[action]


def test_switches_survive_kills(start):
    """After a kill, an alias is as it was or as it was to be, and its history agrees."""
    chance, steps = random.Random(5), 0
    before = after = Rollout(name="bot", target="a")
    for kill in range(8):
        with start(command=(ENGINE,), stop=False) as engine, reader(engine) as api:
            if kill == 0:
                done(api, "bot", "promote", "a")
            found = api.get("/aliases/bot").json()
            last, state = found["history"][0], {**found, "name": "bot"}
            now = Rollout(**{name: state[name] for name in Rollout.model_fields})
            assert now in (before, after)
            assert last["target"] == now.target
            assert (last["candidate"], last["mode"]) == (now.candidate, now.mode)
            before = after = now
            killer = threading.Timer(0.3 + chance.random() / 2, engine.process.kill)
            killer.start()
            with suppress(httpx.HTTPError):
                while True:
                    action, body, after = random_step(chance, before)
                    done(api, "bot", action, **body)
                    before, steps = after, steps + 1
            killer.join()
            engine.process.wait()
    assert steps > 50
