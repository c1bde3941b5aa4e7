"""Two engines defined here alone: one of OpenAI's shape, one with an SDK and a loop of its own."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI

from langchain_finetune import (
    Convert,
    EngineAuthenticationError,
    EngineError,
    FineTune,
    FineTuningError,
    Job,
    JobCancelledError,
    JobProgress,
    JobSubmissionError,
    check_file,
)
from langchain_finetune.checks import OPENAI
from langchain_finetune.engines import ENGINES, all_engines, engine_of
from langchain_finetune.engines.access import Access
from langchain_finetune.engines.base import Engine, Pace
from langchain_finetune.engines.flow import Call, Retry
from langchain_finetune.engines.jobs import JobEvent, JobStatus, ListPage, NewJob, RemoteJob
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine
from langchain_finetune.engines.prices import Speed
from langchain_finetune.errors import Failure, InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE
from support.command_line import write_chats
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine, app_of, refusal
from support.servers import served

PACKAGE = Path(__file__).parents[2] / "langchain_finetune"


# Of OpenAI's shape: data, and nothing else.


def acme(url):
    return OpenAICompatibleEngine(
        name="acme",
        summary="Acme, a server of OpenAI's fine-tuning API",
        base_url=f"{url}/v1",
        key_variable="ACME_API_KEY",
        profile=dataclasses.replace(OPENAI, name="acme", max_images=0, text_answer_last=True),
        lines=("supervised",),
        prices={"acme-7b": 2.0},
        price_source="Acme's price list",
        price_as_of="2026-11",
        refused_in_suffix="/",
        capabilities=frozenset({"cancel", "events", "metrics"}),
    )


# Of another shape: the SDK's client trains step by step, and there is no HTTP API.


class LoopError(Exception):
    """The SDK's own error."""


@dataclass
class TrainingLoop:
    """An SDK without an async form: whoever holds the session drives the training.

    Attributes:
        sessions: What was trained, by id.
        faults: Errors that the next calls raise, after they have done their work.
    """

    sessions: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    calls: list = field(default_factory=list)

    def start(self, base, path, label):
        lines = Path(path).read_text().splitlines()
        name = f"loop-{len(self.sessions) + 1}"
        losses = []
        self.sessions[name] = SimpleNamespace(
            name=name, base=base, lines=lines, label=label, losses=losses, stopped=False
        )
        return self._answer("start", self.sessions[name])

    def forward_backward(self, name):
        session = self.sessions[name]
        if not session.stopped and len(session.losses) < 3:
            session.losses.append(1.0 / (1 + len(session.losses)))
        return self._answer("forward_backward", session)

    def stop(self, name):
        self.sessions[name].stopped = True
        return self._answer("stop", self.sessions[name])

    def list(self):
        return self._answer("list", list(self.sessions.values()))

    def _answer(self, call, answer):
        self.calls.append(call)
        if self.faults:
            raise self.faults.pop(0)
        return answer


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopEngine(Engine):
    sdk: TrainingLoop

    def client(self, access):
        assert access.api_key.get_secret_value() == "k"
        return contextlib.nullcontext(self.sdk)

    def aclient(self, access):
        return contextlib.nullcontext(self.sdk)

    def create(self, request: NewJob):
        made = yield from self._call(
            lambda sdk: sdk.start(request.model, request.training_file, request.metadata)
        )
        return record(made)

    def jobs(self, metadata, after):
        found = yield from self._call(lambda sdk: sdk.list())
        return ListPage([record(one) for one in reversed(found)])

    def status(self, job_id):
        # The client drives: each look trains a step.
        return record((yield from self._call(lambda sdk: sdk.forward_backward(job_id))))

    def steer(self, job_id, verb):
        return record((yield from self._call(lambda sdk: sdk.stop(job_id))))

    def events(self, job_id, after):
        [session] = [
            one for one in (yield from self._call(lambda sdk: sdk.list())) if one.name == job_id
        ]
        events = [
            JobEvent(
                f"{job_id}:{step}", 1, "info", "metrics", "", {"step": step, "train_loss": loss}
            )
            for step, loss in enumerate(session.losses, start=1)
        ]
        return ListPage(events[::-1])

    def chat_model(self, access: Access, name, settings):
        return FakeListChatModel(responses=[f"I am {name}"], **settings)

    def _call(self, request):
        try:
            return (yield Call(request, (LoopError,), blocking=True))
        except LoopError as error:
            failure = Failure(may_pass=True, outcome_unknown=True, reason=str(error))
            raise EngineError(f"The loop broke: {error}", failure=failure) from error
        except KeyError as error:  # Not declared: it never arrives here.
            raise AssertionError from error


def record(session):
    done = len(session.losses) == 3
    status = "cancelled" if session.stopped else "succeeded" if done else "running"
    model = f"{session.name}:sampler" if done and not session.stopped else None
    return RemoteJob(JobStatus(session.name, status, model), session.base, session.label)


def loop(sdk):
    return LoopEngine(
        name="loop",
        summary="a training loop that the client drives",
        key_variable="LOOP_API_KEY",
        takes_base_url=False,
        speeds={"tiny": Speed(1000.0, 1_000_000, "measured by hand")},
        capabilities=frozenset({"cancel", "events", "metrics"}),
        pace=Pace(Retry(first_s=0.01), looks=(0.01,), poll_s=(0.01, 0.01), model_appears_s=0.0),
        sdk=sdk,
    )


@pytest.fixture
def server():
    return LightEngine(now=1.0)


@pytest.fixture
def sdk():
    return TrainingLoop()


@pytest.fixture
def engines(server, sdk, tmp_path, monkeypatch):
    """Put both engines into the table, with a home and keys of their own."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("ACME_API_KEY", "k")
    monkeypatch.setenv("LOOP_API_KEY", "k")
    with served(app_of(server)) as url, quick_flows():
        monkeypatch.setitem(ENGINES, "acme", acme(url))
        monkeypatch.setitem(ENGINES, "loop", loop(sdk))
        yield url


ACME = {"model": "acme-7b", "engine": "acme"}
LOOP = {"model": "tiny", "engine": "loop"}
both = pytest.mark.parametrize("settings", [ACME, LOOP], ids=["acme", "loop"])
Heard = list[JobProgress]


def examples(text="Is {n} even?"):
    return Convert().invoke(chats(text=text))


def made(server, sdk):
    return len(server.jobs) + len(sdk.sessions)


@both
async def test_sync_and_async_fine_tune_to_a_chat_model_of_one_job(engines, server, sdk, settings):
    step = FineTune(**settings)
    model = step.invoke(examples())
    assert made(server, sdk) == 1
    again = await step.ainvoke(examples())
    assert made(server, sdk) == 1
    assert model.metadata == again.metadata
    assert model.metadata["base_model"] == settings["model"]
    assert model.metadata["training_examples"] == 12
    await step.ainvoke(examples("Another {n}"))
    assert made(server, sdk) == 2


def test_the_chat_model_is_the_engines_own(engines):
    model = FineTune(**ACME).invoke(examples())
    assert isinstance(model, ChatOpenAI)
    assert model.openai_api_base == f"{engines}/v1"
    assert model.model_name.startswith("ft:acme-7b:")
    mine = FineTune(**LOOP, chat_settings={"sleep": None}).invoke(examples())
    assert mine.invoke("Hi").content == "I am loop-1:sampler"


@both
async def test_a_handle_goes_through_json_and_does_all_that_its_engine_can(
    engines, server, sdk, settings
):
    job = FineTune(**settings).submit(examples())
    read = Job.model_validate_json(job.model_dump_json())
    assert read == job
    assert (read.engine, read.base_model) == (settings["engine"], settings["model"])
    assert read.status().job_id == job.job_id
    assert (await read.astatus()).status != "queued_for_ever"
    news: Heard = []
    assert read.wait(on_progress=news.append).status == "succeeded"
    events = read.events()
    assert [one.event_id for one in news if one.event_id] == [event.id for event in events]
    assert await read.aevents() == events
    assert len(events) >= 3
    later = FineTune(**settings).from_job_id(job.job_id)
    assert later == job
    with pytest.raises(FineTuningError, match="is at the engine"):
        FineTune(model="m", engine="local").attach(read)


@both
def test_a_cancelled_job_is_told_and_another_is_made(engines, server, sdk, settings):
    step = FineTune(**settings)
    job = step.submit(examples())
    assert job.cancel().status == "cancelled"
    with pytest.raises(JobCancelledError, match=job.job_id):
        job.wait()
    assert step.submit(examples()) != job


@both
async def test_what_an_engine_can_not_do_is_one_clear_error(engines, settings):
    job = FineTune(**settings).submit(examples())
    name = settings["engine"]
    with pytest.raises(EngineError, match=f"Engine '{name}' cannot pause jobs"):
        job.pause()
    with pytest.raises(EngineError, match=f"Engine '{name}' cannot list a job's checkpoints"):
        await job.acheckpoints()
    assert job.status().job_id == job.job_id


def test_metrics_of_a_loop_are_those_of_its_events(engines):
    job = FineTune(**LOOP).submit(examples())
    job.wait()
    assert job.metrics()[:2] == [
        {"step": 1.0, "train_loss": 1.0},
        {"step": 2.0, "train_loss": 0.5},
    ]


def test_a_job_whose_answer_is_lost_is_found_at_both(engines, server, sdk, monkeypatch):
    sdk.faults.append(LoopError("lost"))  # The list, before anything is made.
    sdk.faults.append(LoopError("lost"))
    job = FineTune(**LOOP).submit(examples())
    assert list(sdk.sessions) == [job.job_id]
    assert sdk.calls.count("start") == 1

    server.now, lost = time.time(), []

    def losing(request):
        answer = server(request)
        if request.method == "POST" and request.url.path.endswith("/jobs") and not lost:
            lost.append(answer)
            return refusal(500, "lost")
        return answer

    with served(app_of(losing)) as url:
        monkeypatch.setitem(ENGINES, "acme", acme(url))
        FineTune(**ACME).submit(examples())
    assert len(server.jobs) == len(lost) == 1


def test_the_loop_that_starts_but_never_says_so_is_not_started_twice(engines, sdk):
    class Lost(list):
        def pop(self, _):
            return LoopError("lost")

        def __bool__(self):
            return sdk.calls[-1] == "start"

    sdk.faults = Lost()
    job = FineTune(**LOOP).submit(examples())
    assert list(sdk.sessions) == [job.job_id]


def test_what_is_not_known_is_said_and_looked_up_by_the_next_run(engines, sdk):
    class Down(list):
        def pop(self, _):
            return LoopError("down")

        def __bool__(self):
            return "start" in sdk.calls

    sdk.faults = Down()
    with pytest.raises(EngineError, match="The loop broke: down"):
        FineTune(**LOOP).submit(examples())
    [name] = sdk.sessions
    sdk.faults = []
    assert FineTune(**LOOP).submit(examples()).job_id == name
    assert sdk.calls.count("start") == 1


def test_a_definite_refusal_leaves_nothing_behind(engines, server, monkeypatch):
    def refusing(request):
        if request.method == "POST" and request.url.path.endswith("/jobs"):
            return refusal(400, "No such base.")
        return server(request)

    with served(app_of(refusing)) as url:
        monkeypatch.setitem(ENGINES, "acme", acme(url))
        with pytest.raises(JobSubmissionError, match="No such base"):
            FineTune(**ACME).submit(examples())
    assert server.files == server.jobs == {}


def test_keys_and_addresses_are_the_engines_own(engines, monkeypatch):
    monkeypatch.delenv("ACME_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", "not for others")
    with pytest.raises(EngineAuthenticationError, match="set ACME_API_KEY"):
        FineTune(**ACME).submit(examples())
    with pytest.raises(InvalidArgumentError, match="finds its address and key by itself"):
        FineTune(**LOOP, base_url="http://127.0.0.1:1/v1")


def test_a_name_that_no_engine_has_is_refused_with_those_that_there_are():
    with pytest.raises(InvalidArgumentError, match="no engine 'acme'; there are openai, azure, "):
        FineTune(**ACME)
    with pytest.raises(InvalidArgumentError, match="no engine 'acme'"):
        Job(job_id="j", engine="acme", base_model="m")
    with pytest.raises(InvalidArgumentError, match="no engine 'acme'"):
        Convert(rules="acme")
    with pytest.raises(FineTuningError, match="no engine 'acme'"):
        engine_of("acme")


def test_rules_prices_limits_and_lines_are_the_engines(engines, tmp_path):
    call = {"id": "c", "name": "add", "args": {}}
    ends_with_call = {"messages": [HumanMessage("Add"), AIMessage("", tool_calls=[call])]}
    sessions = [*chats(), {**ends_with_call, "tools": []}]
    assert len(list(Convert(rules="openai").invoke(sessions))) == 13
    strict = Convert(rules="acme").invoke(sessions)
    assert len(list(strict)) == 12
    assert list(strict.rejected_by_reason()) == ["call_last"]
    path = write_chats(tmp_path / "train.jsonl")
    assert check_file(path, rules="acme").ok
    report = examples().report(engine="acme", model="acme-7b")
    assert report.estimates[0].price.source == "Acme's price list"
    assert ("loop", "tiny") in {(each.engine, each.model) for each in report.estimates}
    with pytest.raises(InvalidArgumentError, match="A suffix at engine='acme' must not hold '/'"):
        FineTune(**ACME, suffix="a/b")
    with pytest.raises(FineTuningError, match="trains on supervised lines, not on preference"):
        FineTune(**ACME).submit(Convert(method="preference").invoke([]))


REGISTERED = """
import contextlib, io, json, sys
from langchain_finetune.engines import ENGINES
from langchain_finetune.engines.base import Pace
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine
url, *commands = map(json.loads, sys.argv[1:])
ENGINES["acme"] = OpenAICompatibleEngine(
    name="acme", summary="Acme, a toy", base_url=url, pace=Pace(poll_s=(0.01, 0.01))
)
from langchain_finetune.cli import main
ran = []
for command in commands:
    sys.argv = ["langchain-finetune", *command]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    ran.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(ran))
"""


def test_the_command_line_lists_the_engines_of_the_table_and_runs_them(server, tmp_path):
    data = str(write_chats(tmp_path / "chats.jsonl"))
    run = ["run", "--file", data, "--model", "m", "--engine", "acme", "--timeout", "60", "--json"]
    commands = [
        ["run", "--help"],
        ["check", "--rules", "acme", data],
        [*run, "--deployment", "d"],
        run,
        ["jobs", "list", "--engine", "acme", "--json"],
    ]
    environment = {"COLUMNS": "300", "PATH": "", "OPENAI_API_KEY": "k"}
    environment[HOME_VARIABLE] = str(tmp_path / "home")
    with served(app_of(server)) as url:
        process = subprocess.run(
            [sys.executable, "-c", REGISTERED, *map(json.dumps, [f"{url}/v1", *commands])],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
    told, checked, refused, ran, listed = json.loads(process.stdout)
    assert all(name in told[1] for name in ENGINES)
    assert "acme: Acme, a toy" in told[1]
    assert "--azure-sku" in told[1]
    assert checked[0] == 0, checked
    assert refused[0] == 2
    assert "--deployment is not for --engine acme" in refused[2]
    [job] = server.jobs.values()
    assert json.loads(ran[1])["model"] == job["fine_tuned_model"], ran
    [row] = json.loads(listed[1])
    assert (row["engine"], row["status"]) == ("acme", "succeeded")


def test_each_engine_is_named_by_its_module_and_its_line_in_the_table_alone():
    for name in ("azure", "nebius"):
        naming = {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if name in path.read_text()
        }
        assert naming >= {f"engines/{name}.py", "engines/__init__.py"}
        if name == "nebius":
            assert len(naming) == 2


def test_every_engine_describes_itself():
    for engine in all_engines():
        assert engine.name in ENGINES
        assert engine.summary
        assert engine.key_variable
