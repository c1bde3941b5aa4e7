"""`rescue` and `record` against an API that answers wrongly, and on disks that others prepared."""

import asyncio
import base64
import json
import stat

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from langchain_finetune import (
    BudgetError,
    EngineError,
    FineTuningError,
    InferencePrice,
    RescueManifest,
    arecord,
    record,
    rescue,
)
from langchain_finetune.migration.archive import folder_name
from langchain_finetune.migration.journal import AnswerJournal
from langchain_finetune.tolerant_json import dumps
from support.openai_account import (
    KEY,
    OpenAIAccount,
    openai_account,
    quick_engine,
    training_line,
)
from support.servers import served

PRICE = InferencePrice(input_usd=1.0, output_usd=4.0, longest_answer=100)
HALF = "cut emoji \ud83d"


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    return quick_engine(monkeypatch, attempts=2)


@pytest.fixture
def account():
    return OpenAIAccount(models=8)


@pytest.fixture
def model(account):
    """A model with all of its files."""
    return next(name for name in account.names if files_are_there(account, name))


@pytest.fixture
def url(account):
    with openai_account(account) as address:
        yield address


@pytest.fixture
def asked_with(model, url, tmp_path):
    """The arguments of `record`, of 6 prompts."""
    path = tmp_path / "train.jsonl"
    path.write_text("".join(f"{json.dumps(training_line('supervised', 1, n))}\n" for n in range(6)))
    return {
        "model": model,
        "sources": [path],
        "out": tmp_path / "recorded",
        "base_url": url,
        "api_key": KEY,
        "engine": "quick",
        "answers": 0,
        "price": PRICE,
        "max_cost_usd": 5.0,
        "settle_s": 0.1,
    }


def files_are_there(account, name):
    job = account.job_of(name)
    ids = [job["training_file"], job["validation_file"], *job["result_files"]]
    return all(one in account.files for one in ids)


def replaced(account, path, answer):
    """Answer the GET requests of a path in another way."""
    routes = account.app.router.routes
    [old] = [each for each in routes if each.path == path and "GET" in each.methods]
    routes.remove(old)
    account.app.get(path)(answer)


def raw_json(content):
    """JSON as other writers make it: with half characters, NaN, and integers of any size."""
    return Response(json.dumps(content), media_type="application/json")


def rescued(url, out, models=None):
    return rescue(models, out=out, base_url=url, api_key=KEY, engine="quick")


# Files that are cut or wrong.


def test_a_file_that_came_cut_is_not_taken_for_whole(account, model, url, tmp_path):
    cut, whole = [True], account._content
    training = account.job_of(model)["training_file"]

    def content(file: str):
        if file != training or not cut[0]:
            return whole(file)
        half = account.contents[file][: len(account.contents[file]) // 2]
        return StreamingResponse(iter([half]), media_type="application/octet-stream")

    replaced(account, "/v1/files/{file}/content", content)
    found = rescued(url, tmp_path / "out", model)
    entry = found.models[model]
    assert "training.jsonl" not in entry.files
    assert not entry.complete
    [item] = found.failed
    assert (item.what, item.id) == ("training file", training)
    size = len(account.contents[training])
    assert item.reason == f"the file has {size} bytes, and {size // 2} came."
    cut[0] = False
    found = rescued(url, tmp_path / "out", model)
    assert not found.failed
    assert found.models[model].complete
    path = tmp_path / "out" / entry.folder / "training.jsonl"
    assert path.read_bytes() == account.contents[training]


def test_a_page_is_no_file_even_of_a_server_that_tells_no_sizes(account, model, url, tmp_path):
    for file in account.files.values():
        file["bytes"] = None
    page = Response("<html>Sign in</html>", media_type="text/html; charset=utf-8")
    replaced(account, "/v1/files/{file}/content", lambda file: page)
    found = rescued(url, tmp_path / "out", model)
    kinds = ["training file", "validation file", "result file"]
    assert [item.what for item in found.failed] == kinds
    assert not {"training.jsonl", "validation.jsonl", "result-1.csv"} & {*found.models[model].files}


def test_a_result_file_may_be_counted_before_its_encoding(account, model, url, tmp_path):
    [result] = account.job_of(model)["result_files"]

    decoded = base64.b64decode(account.contents[result])
    account.files[result]["bytes"] = len(decoded)
    entry = rescued(url, tmp_path / "out", model).models[model]
    assert entry.complete
    assert (tmp_path / "out" / entry.folder / "result-1.csv").read_bytes() == decoded


# JSON that few parsers read.


def test_half_characters_and_large_numbers_are_rescued(account, model, url, tmp_path):
    job = account.job_of(model)
    job["seed"] = 2**70
    account.events[job["id"]][0]["message"] = HALF
    account.events[job["id"]][0]["data"] = {"loss": float("nan")}
    account.files[job["training_file"]]["filename"] = HALF
    account.models[model]["owned_by"] = HALF
    account.store(
        model, [{"role": "user", "content": HALF}], {"role": "assistant", "content": HALF}, 1
    )
    stored, messages, events = account._stored, account._messages, account._of_job("events")
    replaced(account, "/v1/models", lambda: raw_json(account._all_models()))
    replaced(account, "/v1/files/{file}", lambda file: raw_json(account.files[file]))

    def raw_jobs(request: Request):
        return raw_json(account._all_jobs(request))

    def raw_events(job: str, request: Request):
        return raw_json(events(job, request))

    def raw_stored(request: Request):
        return raw_json(stored(request))

    def raw_messages(completion: str, request: Request):
        return raw_json(messages(completion, request))

    replaced(account, "/v1/fine_tuning/jobs", raw_jobs)
    replaced(account, "/v1/fine_tuning/jobs/{job}/events", raw_events)
    replaced(account, "/v1/chat/completions", raw_stored)
    replaced(account, "/v1/chat/completions/{completion}/messages", raw_messages)
    entry = rescued(url, tmp_path / "out", model).models[model]
    assert entry.complete
    folder = tmp_path / "out" / entry.folder
    assert json.loads((folder / "job.json").read_text())["seed"] == 2**70
    last = json.loads((folder / "completions.jsonl").read_text().splitlines()[-1])
    assert last["messages"][0]["content"] == "cut emoji \ufffd"
    newest = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert (newest["message"], newest["data"]) == ("cut emoji \ufffd", {"loss": None})
    again = rescued(url, tmp_path / "out", model).models[model]
    assert again.completions == entry.completions


def test_the_journal_reads_each_line_that_it_writes(tmp_path):
    journal = AnswerJournal(tmp_path / "answers.jsonl")
    odd = {"choices": [{"logprobs": float("nan"), "message": {"content": HALF}}], "n": 2**70}
    journal.add("answered", ("p", 0), completion=odd, seconds=float("inf"))
    journal.close()
    found = AnswerJournal(tmp_path / "answers.jsonl", writes=False).answered["p", 0]
    assert found.choice == {"logprobs": None, "message": {"content": "cut emoji \ufffd"}}
    assert json.loads((tmp_path / "answers.jsonl").read_text())["completion"]["n"] == 2**70


def test_json_of_any_depth_and_form_is_written():
    deep = HALF
    for _ in range(600):
        deep = [deep]
    assert json.loads(dumps(deep))
    assert dumps({HALF: [float("-inf"), "\ud83d\ude00"]}).decode() == (
        '{"cut emoji \ufffd": [null, "\U0001f600"]}'
    )


# Answers that are none.


@pytest.mark.parametrize(
    "body",
    [
        {"choices": None},
        {"choices": "no"},
        {"choices": [1]},
        {"choices": [{"message": {"role": 5, "content": {"a": 1}, "tool_calls": "x"}}]},
        {"choices": [{"message": {"role": "assistant", "tool_calls": [{}]}}]},
    ],
)
def test_an_answer_that_is_no_completion_is_not_recorded(account, asked_with, body):
    account.refuse = lambda _: JSONResponse({"id": "x", "usage": {"total_tokens": 1}, **body})
    asked_with |= {"store": False, "concurrency": 1}
    outcomes = record(**asked_with).manifest.outcomes
    assert (outcomes["answered"], outcomes["unknown"]) == (0, 6)
    account.refuse = lambda _: None
    found = record(**asked_with, ask_again=True)
    assert found.manifest.outcomes["answered"] == 6


def test_a_message_without_its_usual_fields_is_recorded(account, asked_with):
    account.refuse = lambda _: JSONResponse({"choices": [{"message": {"content": "Hi"}}]})
    found = record(**asked_with, store=False)
    lines = (found.folder / "recording.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["messages"][-1] == {"role": "assistant", "content": "Hi"}
    assert len(list(found.sessions())) == len(lines)


# Settings and costs.


@pytest.mark.parametrize("name", ["n", "model", "messages", "stream", "store", "service_tier"])
def test_settings_that_a_recording_decides_are_refused(account, asked_with, name):
    with pytest.raises(FineTuningError, match=f"settings cannot have {name}: "):
        record(**asked_with, settings={name: 20, "temperature": 0.5})
    assert not account.paid
    assert not asked_with["out"].exists()


def test_a_negative_limit_of_an_answer_does_not_lower_what_it_can_cost(account, asked_with):
    told = []
    asked_with |= {"confirm": told.append, "settings": {"max_tokens": -1_000_000}}
    with pytest.raises(BudgetError):
        record(**asked_with)
    assert told[0].at_most_usd > told[0].usd
    assert not account.paid


def test_a_server_that_asks_to_wait_for_ever_ends_it(account, asked_with):
    error = {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}
    account.refuse = lambda _: JSONResponse(error, 429, {"retry-after": "1e9"})
    with pytest.raises(EngineError, match=r"asks to wait for long \(1000000000 s in all\)"):
        record(**asked_with, store=False)


# Secrets and other hosts.


def test_secrets_of_an_address_are_in_no_file_and_no_message(account, asked_with):
    account.authorization = "Basic am9lOmh1bnRlcjI="
    address = asked_with["base_url"].replace("http://", "http://joe:hunter2@")
    found = record(**{**asked_with, "base_url": address})
    assert found.manifest.base_url == asked_with["base_url"]
    texts = [path.read_bytes() for path in found.folder.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in text for text in texts)
    wrong = address.replace("hunter2", "hunter3")
    with pytest.raises(EngineError) as refused:
        record(**{**asked_with, "base_url": wrong, "answers": 1})
    assert "hunter3" not in str(refused.value)
    with pytest.raises(EngineError) as refused:
        rescue(base_url=f"{wrong}?api_key=hunter4", out=found.folder.parent / "o", api_key=KEY)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_sent_to_another_host(asked_with, status):
    """And nothing of what it answers is recorded."""
    elsewhere, reached = FastAPI(), []

    @elsewhere.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(path: str, request: Request):
        reached.append((request.method, path, await request.body()))
        message = {"role": "assistant", "content": "wrong"}
        return {"object": "list", "data": [], "choices": [{"message": message}]}

    here, target = FastAPI(), []

    @here.api_route("/{path:path}", methods=["GET", "POST"])
    async def redirect(path: str):
        return RedirectResponse(f"{target[0]}/{path}", status)

    with served(here) as url, served(elsewhere) as other:
        target.append(other.replace("127.0.0.1", "localhost"))
        asked_with["base_url"] = f"{url}/v1"
        for store in (False, True):
            with pytest.raises(EngineError, match=rf"redirects \({status}\) to localhost, which"):
                record(**asked_with, store=store)
        with pytest.raises(EngineError, match="redirects"):
            asyncio.run(arecord(**asked_with, store=False))
        with pytest.raises(EngineError, match="redirects"):
            rescued(f"{url}/v1", asked_with["out"].parent / "out")
    assert not reached


def test_redirects_of_the_same_host_and_of_files_are_followed(account, model, url, tmp_path):
    storage = FastAPI()
    storage.get("/{file}")(account._content)
    replaced(account, "/v1/models", lambda: RedirectResponse("/v1/all"))
    account.app.get("/v1/all")(account._all_models)
    with served(storage) as place:
        moved = place.replace("127.0.0.1", "localhost")
        replaced(
            account, "/v1/files/{file}/content", lambda file: RedirectResponse(f"{moved}/{file}")
        )
        assert rescued(url, tmp_path / "out", model).models[model].complete


# Disks.


def test_what_others_left_in_the_folder_is_neither_followed_nor_kept(model, url, tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    folder = out / folder_name(model)
    folder.mkdir(parents=True, mode=0o755)
    (out / ".manifest.json.part").symlink_to(victim)
    left = folder / ".training.jsonl.part"
    left.write_text("old")
    left.chmod(0o644)
    rescued(url, out, model)
    assert victim.read_text() == "precious"
    assert RescueManifest.read(out).models[model].complete
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert not (out / "manifest.json").is_symlink()


def test_a_recording_follows_no_link_and_is_private(asked_with, tmp_path):
    out, victim = asked_with["out"], tmp_path / "victim"
    victim.write_text("precious")
    out.mkdir()
    (out / ".manifest.json.part").symlink_to(victim)
    (out / "answers.jsonl").symlink_to(victim)
    with pytest.raises(FineTuningError, match="The recording failed"):
        record(**asked_with)
    (out / "answers.jsonl").unlink()
    (out / "answers.jsonl").touch(0o644)
    record(**asked_with)
    assert victim.read_text() == "precious"
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}


def test_folders_that_the_system_refuses(asked_with, url, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for out, rescuing, recording in (
        (file / "x", "is not a folder", "is not a folder"),
        (tmp_path / ("x" * 300), "The rescue failed", "The recording failed"),
        ("/proc/none/x", "The rescue failed", "The recording failed"),
    ):
        with pytest.raises(FineTuningError, match=rescuing) as failed:
            rescued(url, out)
        assert isinstance(failed.value.__cause__, OSError)
        with pytest.raises(FineTuningError, match=recording):
            record(**{**asked_with, "out": out})
    with pytest.raises(FineTuningError, match="not the folder of a rescue"):
        RescueManifest.read(file)
    (tmp_path / "odd" / "manifest.json").mkdir(parents=True)
    with pytest.raises(FineTuningError, match="Is a directory"):
        RescueManifest.read(tmp_path / "odd")
