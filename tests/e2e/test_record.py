"""`record` against a stand-in of OpenAI's API: each answer is paid for once, whatever happens."""

import asyncio
import io
import json
import logging
import os
import random
import resource
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from fastapi.responses import JSONResponse

from langchain_finetune import (
    BudgetError,
    Convert,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
    FineTuningError,
    InferencePrice,
    Inventory,
    ModelRecording,
    RunFileChatLoader,
    arecord,
    recent_runs,
    record,
    rescue,
)
from langchain_finetune.migration.asking import METADATA
from tests.support import recording_process
from tests.support.fault_proxy import FaultProxy
from tests.support.openai_account import (
    KEY,
    TOOLS,
    OpenAIAccount,
    openai_account,
    refusal,
    training_line,
)
from tests.support.servers import free_port
from tests.support.store import record as record_run
from tests.support.store import store_client
from tests.support.warm_process import WarmProcess

KILLS = int(os.environ.get("RECORD_KILLS", "25"))
PRICE = InferencePrice(input_usd=1.0, output_usd=4.0, longest_answer=100)


@pytest.fixture
def account():
    return OpenAIAccount(models=4)


@pytest.fixture
def model(account):
    return account.names[1]


@pytest.fixture
def url(account):
    with openai_account(account) as address:
        yield address


@pytest.fixture
def prompts(tmp_path):
    """A training file of 20 prompts."""
    path = tmp_path / "train.jsonl"
    path.write_text(
        "".join(f"{json.dumps(training_line('supervised', 1, n))}\n" for n in range(20))
    )
    return path


@pytest.fixture
def ask(quick, model, url, prompts, tmp_path):
    """Record from the account into `out`, with other settings."""

    def call(sources=None, **settings):
        given = {"out": tmp_path / "out", "base_url": url, "api_key": KEY, "settle_s": 0.3}
        given |= {"engine": quick, "confirm": lambda _: True, "concurrency": 4, **settings}
        return record(model, [prompts] if sources is None else sources, **given)

    return call


def paid_by_mark(account):
    return Counter(body["metadata"][METADATA] for body in account.paid)


def events(folder, kind):
    return [event for event in lines_of(folder / "answers.jsonl") if event["event"] == kind]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(request):
    return json.dumps([request["messages"], request.get("tools")])


def check_recording(account, recording, answers):
    """Each prompt has all its answers, each was paid for once, and what was made from them fits."""
    prompts = recording.prompts()
    found = recording.answers()
    assert recording.complete
    assert found.keys() == {prompt.id for prompt in prompts}
    assert all(
        [each.number for each in some] == list(range(answers + 1)) for some in found.values()
    )
    answered = Counter(
        (each["prompt"], each["number"]) for each in events(recording.folder, "answered")
    )
    assert set(answered.values()) == {1}
    ours = recording.manifest.id
    paid = {mark: n for mark, n in paid_by_mark(account).items() if mark.startswith(ours)}
    assert paid == {f"{ours}.{prompt}.{number}": 1 for prompt, number in answered}
    lines = lines_of(recording.folder / "recording.jsonl")
    held = lines_of(recording.folder / "held_out.jsonl")
    assert len(lines) + len(held) == len(prompts)
    assert len(held) == recording.manifest.held_out
    said = {asked(each.request): found[each.id][0].message for each in prompts}
    for line in lines + held:
        messages = line.pop("messages")
        assert said[asked({**line, "messages": messages[:-1]})] == messages[-1]


def test_each_prompt_is_asked_once_and_then_nothing_is_left_to_pay_for(account, ask):
    recording = ask(answers=2)
    assert len(account.paid) == 60
    check_recording(account, recording, 2)
    temperatures = Counter(body.get("temperature") for body in account.paid)
    assert temperatures == {0: 20, None: 40}
    assert recording.manifest.outcomes == {
        "answered": 60, "cut_off": 0, "failed": 0, "unknown": 0, "missing": 0,
    }  # fmt: skip
    assert recording.manifest.finished_at
    again = ask(answers=2, confirm=lambda _: pytest.fail("Nothing is left to confirm."))
    assert again.manifest.outcomes == recording.manifest.outcomes
    assert again.manifest.finished_at == recording.manifest.finished_at
    ask(answers=3)
    assert len(account.paid) == 80


def test_what_was_recorded_is_training_data(ask):
    recording = ask(answers=0)
    loader = RunFileChatLoader(recording.folder / "recording.jsonl")
    examples = Convert().invoke(loader.invoke({}))
    assert len(list(examples)) == 16
    assert examples.rejected == []
    lines = lines_of(recording.folder / "recording.jsonl")
    assert list(examples) == lines
    assert {"tool_calls" in line["messages"][-1] for line in lines} == {True, False}
    assert any(line.get("tools") == TOOLS for line in lines)
    sessions = recording.sessions()
    assert list(Convert().invoke(sessions)) == lines
    assert {each["source"].keys() >= {"line", "prompt_id"} for each in sessions} == {True}
    held_out = Convert().invoke(recording.sessions(held_out=True))
    assert list(held_out) == lines_of(recording.folder / "held_out.jsonl")
    assert len(list(held_out)) == 4


async def test_the_async_twin_records_the_same(account, model, url, prompts, tmp_path, ask):
    told = []

    async def hear(progress):
        told.append((progress.done, progress.total))

    recording = await arecord(
        model, [prompts], out=tmp_path / "async", base_url=url, api_key=KEY, answers=1,
        confirm=lambda _: True, concurrency=5, on_progress=hear,
    )  # fmt: skip
    check_recording(account, recording, 1)
    assert told[-1] == (40, 40)
    ours = await asyncio.to_thread(ask, answers=0)
    for name in ("recording.jsonl", "held_out.jsonl"):
        assert (ours.folder / name).read_bytes() == (recording.folder / name).read_bytes()


def test_files_are_private_and_hold_no_key(ask, tmp_path):
    recording = ask()
    assert stat.S_IMODE(recording.folder.stat().st_mode) == 0o700
    for path in recording.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert KEY not in path.read_text()
    assert {path.name for path in recording.folder.iterdir()} == {
        "prompts.jsonl", "answers.jsonl", "recording.jsonl", "held_out.jsonl", "left_out.jsonl",
        "manifest.json", ".lock",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_through_faults_each_answer_is_paid_for_once(account, model, prompts, tmp_path, seed):
    """429, 503, 502, cut and lost answers: a third of all requests meets one."""
    with openai_account(account, share=0.35, seed=seed) as url:
        recording = record(
            model, [prompts], out=tmp_path / "out", base_url=url, api_key=KEY, answers=1,
            confirm=lambda _: True, settle_s=1.0, concurrency=8,
        )  # fmt: skip
    check_recording(account, recording, 1)
    assert [each for each in events(recording.folder, "answered") if each["seconds"] is None]


def test_rate_limits_are_obeyed(account, ask):
    account.limit = (10, 0.5)
    begun = time.monotonic()
    recording = ask(answers=0, concurrency=1)
    assert time.monotonic() - begun > 0.9
    check_recording(account, recording, 0)
    assert account.impatient == 0


def test_rate_limits_are_obeyed_by_all_workers(account, ask):
    account.limit = (8, 0.5)
    recording = ask(answers=1, concurrency=8)
    check_recording(account, recording, 1)
    refused = len([one for one in account.requests if one[0] == "POST"]) - len(account.paid)
    assert refused <= 24  # Those that were on their way in each of six windows.


def test_a_prompt_that_is_refused_is_recorded_and_not_asked_again(account, ask):
    def refuse(body):
        if "What is 3 plus 4?" in json.dumps(body):
            return refusal(400, "Too many tokens.", "context_length_exceeded")
        return None

    account.refuse = refuse
    recording = ask(answers=1)
    assert recording.manifest.outcomes["failed"] == 2
    assert recording.manifest.failures == {"context_length_exceeded": 2}
    assert {each["reason"] for each in events(recording.folder, "failed")} == {"Too many tokens."}
    assert recording.complete
    before = len(account.requests)
    ask(answers=1)
    assert len(account.requests) == before
    account.refuse = lambda _body: None
    assert ask(answers=1, ask_again=True).manifest.outcomes["answered"] == 40
    assert len(account.paid) == 40


def test_a_model_that_takes_no_temperature_is_asked_as_the_app_asks_it(account, ask):
    def refuse(body):
        if body.get("temperature") == 0:
            return refusal(400, "Only 1 is supported.", "unsupported_value", param="temperature")
        return None

    account.refuse = refuse
    recording = ask(answers=1)
    assert recording.manifest.outcomes["answered"] == 40
    assert {body.get("temperature") for body in account.paid} == {None}
    check_recording(account, recording, 1)


def test_a_key_that_a_server_repeats_is_in_no_file(account, ask):
    account.refuse = lambda body: (
        refusal(400, f"Received API Key = {KEY}.", "bad") if "3 plus 4?" in str(body) else None
    )
    recording = ask(answers=0)
    [event] = events(recording.folder, "failed")
    assert event["reason"] == "Received API Key = [the key]."
    account.refuse = lambda _: refusal(403, f"Not for {KEY}.", "bad")
    with pytest.raises(EngineError, match=r"Not for \[the key\]\."):
        ask(answers=1)


def test_what_another_recording_asked_is_not_the_apps_traffic(account, ask, model, url, tmp_path):
    account.completions.clear()
    asked, said = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello"}
    account.store(model, [asked], said, 1)
    ask(answers=0)
    rescued = tmp_path / "rescued"
    found = rescue([model], out=rescued, base_url=url, api_key=KEY)
    assert found.models[model].completions == 21
    again = ask([rescued], out=tmp_path / "again", answers=1)
    assert again.manifest.origins["traffic"] == 1
    assert again.manifest.left_out["of_a_recording"] == 20
    sent = {prompt.request.get("temperature") for prompt in again.prompts()}
    assert sent == {0.7}


def test_a_prompt_on_which_the_server_breaks_does_not_stop_the_others(account, ask):
    broken = JSONResponse({"error": {"message": "Boom", "code": None, "param": None}}, 500)
    broken.headers["retry-after-ms"] = "1"
    account.refuse = lambda body: broken if "What is 3 plus 4?" in json.dumps(body) else None
    recording = ask(answers=0, settle_s=0.0)
    assert recording.manifest.failures == {"no_answer": 1}
    account.refuse = lambda _body: None
    assert ask(answers=0).manifest.outcomes["answered"] == 20
    assert len(account.paid) == 20


def test_answers_that_were_cut_off_are_kept_and_not_trained_on(account, ask):
    cut = {
        "id": "chatcmpl-cut",
        "choices": [
            {"message": {"role": "assistant", "content": "It is"}, "finish_reason": "length"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
    account.refuse = lambda body: JSONResponse(cut) if "3 plus 4?" in json.dumps(body) else None
    recording = ask(answers=0, held_out=0)
    assert recording.manifest.outcomes["answered"] == 20
    cut_off = recording.manifest.outcomes["cut_off"]
    assert cut_off >= 1
    assert len((recording.folder / "recording.jsonl").read_text().splitlines()) == 20 - cut_off
    found = [answer for some in recording.answers().values() for answer in some]
    assert Counter(each.cut_off for each in found) == {"length": cut_off, None: 20 - cut_off}


def test_a_model_that_is_gone_stops_it(account, model, ask):
    recording = ask(answers=0)
    del account.models[model]
    with pytest.raises(EngineError, match=f"has no model '{model}'"):
        ask(answers=1)
    assert ModelRecording.read(recording.folder).manifest.outcomes["answered"] == 20
    assert len(account.paid) == 20


def test_a_wrong_key_stops_it_before_anything_is_asked(account, ask):
    with pytest.raises(EngineAuthenticationError) as caught:
        ask(api_key="sk-wrong")
    assert "sk-wrong" not in str(caught.value)
    assert account.paid == []


def test_a_server_that_is_down_stops_it(account, quick, model, prompts, tmp_path):
    down = f"http://127.0.0.1:{free_port()}/v1"
    settings = {"out": tmp_path / "out", "api_key": KEY, "confirm": lambda _: True, "engine": quick}
    with pytest.raises(EngineUnreachableError):
        record(model, [prompts], base_url=down, **settings)
    with openai_account(account) as url:
        check_recording(account, record(model, [prompts], base_url=url, **settings), 1)
    with pytest.raises(FineTuningError, match="holds the recording of"):
        record(model, [prompts], base_url=down, **settings)


def test_quota_that_is_spent_stops_it(account, ask):
    account.refuse = lambda _: refusal(429, "You exceeded your quota.", "insufficient_quota")
    with pytest.raises(EngineError, match="exceeded your quota"):
        ask()
    assert account.paid == []


def test_sources_without_prompts_are_an_error(ask, tmp_path):
    with pytest.raises(FineTuningError, match="There are no prompts to ask"):
        ask([[]])
    with pytest.raises(FineTuningError, match="give the sources"):
        record("m", out=tmp_path / "new", base_url="http://127.0.0.1:1/v1", api_key=KEY)


def test_one_process_records_into_a_folder(ask):
    entered, leave = threading.Event(), threading.Event()

    def hold(_):
        entered.set()
        assert leave.wait(60)
        return True

    other = threading.Thread(target=lambda: ask(confirm=hold))
    other.start()
    assert entered.wait(60)
    with pytest.raises(FineTuningError, match="Another process is recording into"):
        ask()
    leave.set()
    other.join()


# Which prompts.


def test_nothing_is_fixed_before_the_first_request(account, ask, tmp_path, model, url, prompts):
    out = tmp_path / "out"
    with pytest.raises(BudgetError, match="Not confirmed"):
        ask(limit=2, confirm=lambda _: False)
    with pytest.raises(BudgetError, match="price is not known"):
        ask(limit=3, confirm=None, max_cost_usd=1)
    with pytest.raises(BudgetError, match="would exceed"):
        ask(limit=4, confirm=None, max_cost_usd=1e-6, price=PRICE)
    with pytest.raises(EngineAuthenticationError):
        ask(limit=5, api_key="sk-wrong")
    with pytest.raises(BudgetError, match="Not confirmed"):
        asyncio.run(
            arecord(model, [prompts], out=out, base_url=url, api_key=KEY, confirm=lambda _: False)
        )
    assert not out.exists()
    out.mkdir()
    with pytest.raises(BudgetError, match="Not confirmed"):
        ask(confirm=lambda _: False)
    assert list(out.iterdir()) == []
    recording = ask(limit=10, seed=7, held_out=0.5)
    assert (recording.manifest.prompts, recording.manifest.held_out) == (10, 5)
    check_recording(account, recording, 1)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_higher_limit_adds_prompts_and_keeps_the_others(account, ask, tmp_path, answers):
    before = ask(limit=5, answers=answers).prompts()
    with pytest.raises(BudgetError, match="Not confirmed"):
        ask(limit=12, answers=answers, confirm=lambda _: False)
    assert ModelRecording.read(tmp_path / "out").prompts() == before
    assert ModelRecording.read(tmp_path / "out").complete
    recording = ask(limit=12, answers=answers)
    assert recording.prompts()[:5] == before
    assert recording.manifest.prompts == 12
    check_recording(account, recording, answers)
    assert len(account.paid) == 12 * (answers + 1)
    resumed = ask(limit=12, answers=answers, confirm=lambda _: pytest.fail("Nothing is left."))
    assert resumed.prompts() == recording.prompts()


def test_further_sources_add_prompts(account, ask, prompts, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text("".join(f"{json.dumps(training_line('supervised', 2, n))}\n" for n in range(5)))
    first = ask(answers=0).prompts()
    recording = ask([prompts, more], answers=0)
    assert recording.prompts()[:20] == first
    check_recording(account, recording, 0)
    assert recording.manifest.prompts > 20


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"limit": 4}, r"limit=5 \(now 4\)"),
        ({"seed": 1}, r"seed=0 \(now 1\)"),
        ({"held_out": 0.5}, r"held_out=0\.2 \(now 0\.5\)"),
        ({"settings": {"temperature": 1}}, r"settings=None \(now "),
    ],
)
def test_another_selection_than_the_recorded_one_is_refused(account, ask, changed, told):
    ask(limit=5, answers=0)
    with pytest.raises(FineTuningError, match=f"{told}.* record into another folder"):
        ask(**{"limit": 5, "answers": 0, **changed})
    assert len(account.paid) == 5


def test_without_sources_it_goes_on_and_a_given_limit_is_not_ignored(
    model, url, tmp_path, ask, account
):
    ask(limit=5, answers=0)
    given = {"base_url": url, "api_key": KEY, "confirm": lambda _: True, "engine": "quick"}
    assert record(model, out=tmp_path / "out", **given).manifest.prompts == 5
    with pytest.raises(FineTuningError, match=r"limit=5 \(now 7\)"):
        record(model, out=tmp_path / "out", limit=7, **given)


# Money.


def test_cost_is_told_and_limited_before_anything_is_asked(account, ask):
    told = []
    with pytest.raises(
        BudgetError, match=r"can't be checked for .* --price PROMPT ANSWER .*own address it is"
    ):
        ask(confirm=None, max_cost_usd=1)
    with pytest.raises(BudgetError, match="Give max_cost_usd, or confirm"):
        ask(confirm=None, price=PRICE)
    with pytest.raises(BudgetError, match=r"would exceed max_cost_usd=0\.000001"):
        ask(confirm=None, max_cost_usd=1e-6, price=PRICE)
    assert account.paid == []
    recording = ask(confirm=lambda estimate: told.append(estimate) or True, price=PRICE)
    [estimate] = told
    assert (estimate.requests, estimate.prompts) == (40, 20)
    assert estimate.usd < estimate.at_most_usd
    usage = recording.manifest.usage
    words = sum(len(str(m["content"]).split()) for body in account.paid for m in body["messages"])
    assert usage.prompt_tokens == words
    assert recording.manifest.usd == pytest.approx(
        (usage.prompt_tokens + 4 * usage.completion_tokens) / 1e6
    )


def test_the_limit_is_not_exceeded_and_a_higher_one_goes_on(account, ask, tmp_path):
    long = {
        "id": "chatcmpl-long",
        "choices": [
            {"message": {"role": "assistant", "content": "So..."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 90},
    }
    account.refuse = lambda _body: JSONResponse(long)
    limits = {"confirm": None, "price": PRICE, "answers": 0}
    with pytest.raises(BudgetError, match=r"Stopped before max_cost_usd=0\.0025 is exceeded"):
        ask(max_cost_usd=0.0025, **limits)
    recording = ModelRecording.read(tmp_path / "out")
    # Each costs 0.00037, and one more could cost up to 0.0007.
    assert 5 <= recording.manifest.outcomes["answered"] <= 6
    assert 0.0018 <= recording.manifest.usd <= 0.0025
    assert lines_of(recording.folder / "recording.jsonl")
    assert ask(max_cost_usd=1, **limits).manifest.usd == pytest.approx(20 * 0.00037)


# Killed.


def start(model, file, out, url, **variables):
    env = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url, **variables}
    arguments = (model, file, out, 1)
    return WarmProcess(recording_process.__file__, *arguments, env=env)


def kill_at(process, chance):
    """Kill a process after some of its answers, or in the time before them; return if it ended."""
    wanted = chance.choice([0, 0, 1, 3, 8])
    deadline = time.monotonic() + (chance.random() if wanted == 0 else 60)
    seen = ""
    output = process.stdout.fileno()
    while time.monotonic() < deadline and seen.count(".") < max(wanted, 1):
        ready, _, _ = select.select([output], [], [], max(deadline - time.monotonic(), 0))
        part = os.read(output, 64).decode() if ready else ""
        seen += part
        if "\n" in seen or (ready and not part):
            break
    time.sleep(chance.random() * 0.01)
    process.kill()
    process.wait(60)
    return "\n" in seen


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_is_paid_for_twice(
    account, model, prompts, tmp_path, twin
):
    """Recordings are begun one after the other until their processes were killed often enough."""
    chance = random.Random(twin)
    account.pause = 0.005
    kills = folders = 0
    wanted = KILLS // 2 + (KILLS % 2 if twin == "sync" else 0)
    with openai_account(account, share=0.1, seed=1) as url:
        while kills < wanted:
            out = tmp_path / f"out-{folders}"
            folders += 1
            ended = False
            while not ended:
                with start(model, prompts, out, url, TWIN=twin) as process:
                    ended = kill_at(process, chance) if kills < wanted else process.wait(120) == 0
                kills += not ended
                assert len(account.paid) <= 40 * folders
            check_recording(account, ModelRecording.read(out), 1)
    assert len(account.paid) == 40 * folders


def test_without_stored_completions_what_was_lost_is_unknown_and_not_paid_for_twice(
    model, prompts, tmp_path
):
    account = OpenAIAccount(models=4, stored=False)
    account.pause = 0.03
    chance = random.Random(3)
    settings = {"out": tmp_path / "out", "api_key": KEY, "confirm": lambda _: True}
    with openai_account(account) as url:
        for _ in range(4):
            with start(model, prompts, tmp_path / "out", url) as process:
                kill_at(process, chance)
        recording = record(model, [prompts], base_url=url, **settings)
        outcomes = recording.manifest.outcomes
        assert outcomes["unknown"] > 0
        assert outcomes["answered"] + outcomes["unknown"] == 40
        asked = Counter(json.dumps(body, sort_keys=True) for body in account.paid)
        assert set(asked.values()) == {1}
        assert all("store" not in body and "metadata" not in body for body in account.paid)
        told = []
        again = record(
            model, [prompts], base_url=url, ask_again=True,
            **settings | {"confirm": lambda estimate: told.append(estimate) or True},
        )  # fmt: skip
    assert told[0].unknown == told[0].requests == outcomes["unknown"]
    assert again.manifest.outcomes["answered"] == 40


def test_an_account_that_stores_nothing_is_noticed_and_nothing_is_paid_for_twice(
    account, model, prompts, tmp_path
):
    """It takes `store`, and its list is there and empty: not to be found proves nothing."""
    account.store = lambda *_: None
    faults = ["lost", "cut", "dropped"]
    with openai_account(account, share=0.2, seed=5, faults=faults) as url:
        recording = record(
            model, [prompts], out=tmp_path / "out", base_url=url, api_key=KEY, answers=1,
            confirm=lambda _: True, settle_s=0.3, concurrency=4,
        )  # fmt: skip
    assert recording.manifest.stored is False
    outcomes = recording.manifest.outcomes
    assert outcomes["unknown"] > 0
    assert outcomes["answered"] + outcomes["unknown"] == 40
    bodies = [{**body, "metadata": None, "store": None} for body in account.paid]
    assert set(Counter(json.dumps(body, sort_keys=True) for body in bodies).values()) == {1}


def test_a_server_that_loses_each_request_at_first_is_given_up(
    account, quick, model, prompts, tmp_path
):
    settings = {"out": tmp_path / "out", "api_key": KEY, "confirm": lambda _: True, "engine": quick}
    with (
        openai_account(account, share=0.0) as url,
        FaultProxy(url, lambda _, line: "dropped" if "POST" in line else None) as proxy,
        pytest.raises(EngineUnreachableError),
    ):
        record(model, [prompts], base_url=f"{proxy.url}/v1", settle_s=0.1, **settings)
    assert len(events(tmp_path / "out", "asked")) == 4


def test_a_line_that_was_cut_off_is_asked_for_again_without_being_paid_for(account, ask):
    recording = ask(answers=0)
    journal = recording.folder / "answers.jsonl"
    last = journal.read_bytes().splitlines(keepends=True)[-1]
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - len(last) // 2)
    assert ModelRecording.read(recording.folder).answers()
    check_recording(account, ask(answers=0), 0)
    assert len(account.paid) == 20


def test_answers_that_were_lost_are_not_paid_for_again_unless_that_is_wanted(account, ask):
    recording = ask(answers=0)
    journal = recording.folder / "answers.jsonl"
    before = (recording.folder / "recording.jsonl").read_bytes()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    with pytest.raises(FineTuningError, match="of 20 answers that were paid for: restore"):
        ask(answers=0)
    assert (len(account.paid), (recording.folder / "recording.jsonl").read_bytes()) == (20, before)
    check = ask(answers=0, ask_again=True)
    assert check.manifest.outcomes["answered"] == 20


def test_a_damaged_journal_is_told_of(ask):
    recording = ask(answers=0)
    journal = recording.folder / "answers.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
    with pytest.raises(FineTuningError, match="damaged in line 2"):
        ask(answers=0)


async def test_cancelled_it_goes_on_and_nothing_is_paid_for_twice(
    account, quick, model, url, prompts, tmp_path
):
    account.pause = 0.02
    some = asyncio.Event()

    async def hear(progress):
        if progress.done >= 6:
            some.set()

    settings = {"out": tmp_path / "out", "base_url": url, "api_key": KEY, "engine": quick}
    settings |= {"confirm": lambda _: True, "concurrency": 4, "settle_s": 1.0}
    task = asyncio.create_task(arecord(model, [prompts], on_progress=hear, **settings))
    await asyncio.wait_for(some.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stopped = ModelRecording.read(tmp_path / "out")
    assert 6 <= stopped.manifest.outcomes["answered"] < 40
    check_recording(account, await arecord(model, **settings), 1)


def test_ctrl_c_finishes_what_is_on_its_way(account, ask, tmp_path):
    account.pause = 0.02

    def interrupt(progress):
        if progress.done == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ask(on_progress=interrupt)
    stopped = ModelRecording.read(tmp_path / "out")
    assert len(events(stopped.folder, "answered")) == len(account.paid) < 40
    assert len(lines_of(stopped.folder / "recording.jsonl")) > 0
    check_recording(account, ask(), 1)


def test_ctrl_c_of_the_command_exits_as_a_shell_expects(account, model, url, tmp_path):
    account.pause = 0.1
    source = tmp_path / "prompts.jsonl"
    lines = (json.dumps(training_line("supervised", 0, number)) for number in range(40))
    source.write_text("\n".join(lines))
    arguments = ["record", model, "--file", source, "--out", tmp_path / "out", "--yes"]
    arguments += ["--base-url", url, "--price", 1, 4]
    process = subprocess.Popen(
        [sys.executable, "-m", "langchain_finetune.cli", *map(str, arguments)],
        env={**os.environ, "OPENAI_API_KEY": KEY}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(account.paid) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Stopped. The answers so far are in")
    # Without a terminal there is no bar, and still something to see.
    assert err.startswith("reading the prompts of ")


def test_a_full_disk_stops_it_and_leaves_a_whole_journal(account, ask, tmp_path):
    """The journal may not grow any more: the request that could not be written down isn't sent."""
    recording = ask(answers=0)
    journal = tmp_path / "out" / "answers.jsonl"
    before = journal.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Half a line has room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, limits[1]))
    try:
        with pytest.raises(FineTuningError, match="File too large"):
            ask(answers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read_bytes() == before
    assert len(account.paid) == 20
    assert recording.complete
    check_recording(account, ask(answers=1), 1)


# From end to end.


def test_twenty_models_from_end_to_end_through_faults(tmp_path, caplog, quick):
    """Inventory, rescue and record; some files are gone, some models too; the key is nowhere."""
    caplog.set_level(logging.DEBUG)
    account = OpenAIAccount(models=20)
    account.limit = (40, 0.2)
    out = tmp_path / "home"
    with openai_account(account, share=0.05, seed=2) as url:
        access = {"base_url": url, "api_key": KEY, "engine": quick}
        begun = time.monotonic()
        inventory = Inventory.fetch(**access)
        rescued = rescue(account.names, out=out / "rescued", **access)
        gone = []
        for name in account.names:
            try:
                recording = record(
                    name, [out / "rescued"], out=out / name.replace(":", "-"), limit=8, answers=1,
                    confirm=lambda _: True, settle_s=0.5, **access,
                )  # fmt: skip
            except FineTuningError as error:
                gone.append(str(error))
                continue
            check_recording(account, recording, 1)
        took = time.monotonic() - begun
    assert {model.name for model in inventory.models} >= set(account.names)
    assert len(rescued.models) == 20
    assert len(gone) == 4
    assert all("has no model" in told for told in gone)
    assert took < 120
    assert KEY not in caplog.text
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 200
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_recent_runs_of_the_model_are_prompts(
    account, ask, model, url, tmp_path, monkeypatch, command
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("LANGSMITH_API_KEY", "any")
    with store_client(tmp_path / "runs.sqlite") as client:
        for number, (name, temperature) in enumerate([(model, 0.4), (model, 0.4), ("gpt-5", 1)]):
            params = {"model": name, "temperature": temperature, "_type": "openai-chat"}
            extra = {"invocation_params": params, "metadata": {"ls_model_name": name}}
            record_run(client, f"What is {number}?", "A number.", extra=extra)
        client.flush()
        runs = recent_runs(model, "app", days=10_000, client=client)
        recording = ask([runs], answers=1)
        monkeypatch.setenv("LANGSMITH_ENDPOINT", client.api_url)
        ended = command(
            "record", model, "--project", "app", "--days", 10_000, "--out", tmp_path / "command",
            "--base-url", url, "--yes", "--json",
        )  # fmt: skip
    assert recording.manifest.origins == {"traffic": 2}
    assert Counter(body["temperature"] for body in account.paid) == {0: 4, 0.4: 4}
    asked = {body["messages"][0]["content"] for body in account.paid}
    assert asked == {"What is 0?", "What is 1?"}
    assert ended.code == 0, ended.err
    again = ModelRecording.read(tmp_path / "command")
    assert again.prompts() == recording.prompts()


def test_rescued_files_are_prompts_and_the_command_line_records_them(
    account, model, url, tmp_path, monkeypatch, command
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    rescue([model], out=tmp_path / "rescued")
    options = ("--file", tmp_path / "rescued", "--out", tmp_path / "out", "--answers", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    declined = command("record", model, *options)
    assert declined.code == 1
    assert declined.err.endswith("Error: Not confirmed; nothing was sent.\n")
    assert declined.err.count("answers to") == 1
    assert "Limit it with --max-cost-usd" in declined.err
    limited = ("--price", "1", "4", "--max-cost-usd", "0.00001", "--yes")
    low = command("record", model, *options, *limited)
    assert "max_cost_usd=0.00001." in low.error
    assert account.paid == []
    done = command("record", model, *options, "--yes", "--json", "--price", "1", "4")
    assert done.code == 0, done.err
    assert done.json["outcomes"]["missing"] == 0
    assert done.json["origins"]["file"] > 0
    assert KEY not in done.out + done.err
    check_recording(account, ModelRecording.read(tmp_path / "out"), 1)
    usd = done.json["usd"]
    assert ModelRecording.read(tmp_path / "out").manifest.usd == usd > 0
    told = command("record", model, *options, "--yes")
    assert f"for ${usd:.2g}." in told.out
    assert "The training lines are in" in told.out
