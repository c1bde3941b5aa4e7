"""`rescue`: everything that an account has of its fine-tuned models, whatever happens on the way.

RESCUE_KILLS=100 pytest tests/e2e/test_rescue.py -k killed
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import stat
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from langchain_finetune import (
    EngineAuthenticationError,
    EngineError,
    FineTuningError,
    RescueManifest,
    arescue,
    rescue,
)
from langchain_finetune.engines import ENGINES
from support.openai_account import KEY, OpenAIAccount, openai_account
from support.servers import served
from support.store import Gate
from support.warm_process import WarmProcess, run_warm

KILLS = int(os.environ.get("RESCUE_KILLS", "25"))
SEED = int(os.environ.get("RESCUE_SEED", "7"))


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "rescued"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check(folder, account, models=None):
    """Hold all that is on the disk against what the account has."""
    manifest = RescueManifest.read(folder)
    assert set(manifest.models) == set(models or account.names)
    expected = {folder / "manifest.json", folder / ".lock"}
    for name, model in manifest.models.items():
        here, job = folder / model.folder, account.job_of(name)
        files = {"job.json": json.dumps(job)}
        files["checkpoints.json"] = json.dumps(account.checkpoints[job["id"]])
        if name in account.models:
            files["model.json"] = json.dumps(account.models[name])
        for file, text in files.items():
            assert json.loads((here / file).read_text()) == json.loads(text), file
        assert lines_of(here / "events.jsonl") == account.events[job["id"]][::-1]
        sources = {"training.jsonl": job["training_file"]}
        sources["validation.jsonl"] = job["validation_file"]
        sources |= {
            f"result-{place}.original": file for place, file in enumerate(job["result_files"], 1)
        }
        gone = set()
        for file, file_id in sources.items():
            if file_id in account.gone:
                gone.add(file_id)
            elif file_id:
                content = account.contents[file_id]
                assert (here / file).read_bytes() == content, file
                assert model.files[file].filename == account.files[file_id]["filename"]
                files[file] = None
                if file.endswith(".original"):
                    table = content if b"," in content else base64.b64decode(content)
                    decoded = file.replace(".original", ".csv")
                    assert (here / decoded).read_bytes() == table
                    files[decoded] = None
        assert {item.id for item in model.missing} == gone
        assert {item.state for item in model.missing} <= {"gone"}
        stored = [one for one in account.completions.values() if one["model"] == name]
        if stored:
            files["completions.jsonl"] = None
            pairs = [(one, account.prompts[one["id"]]) for one in stored]
            found = lines_of(here / "completions.jsonl")
            # JSON does not order fields, and the SDK has an order of its own.
            assert [(line["completion"], line["messages"]) for line in found] == pairs
        assert model.completions == len(stored)
        assert set(model.files) == {*files, "events.jsonl"}
        for file, known in model.files.items():
            content = (here / file).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (known.sha256, known.size)
        assert model.complete
        expected |= {here, *(here / file for file in model.files)}
    assert set(folder.rglob("*")) == expected
    return manifest


def check_private(folder, *texts):
    """Only the owner can read what is there, and the key is nowhere."""
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    for text in texts:
        assert KEY not in text
        assert "You do sums" not in text
        assert "No idea" not in text


def asked(account, ending):
    """How often was a GET of such a path made?"""
    return sum(path.partition("?")[0].endswith(ending) for _, path in account.requests)


def test_all_that_the_account_has_is_on_the_disk(command, out):
    account = OpenAIAccount()
    with openai_account(account) as url:
        ran = command("rescue", "--base-url", url, "--out", out)
    assert ran.code == 0
    manifest = check(out, account)
    check_private(out, ran.out, ran.err)
    assert {method for method, _ in account.requests} == {"GET"}
    assert account.paid == []
    assert manifest.notes == manifest.failed == []
    missing = [item for model in manifest.models.values() for item in model.missing]
    assert {item.id for item in missing} == account.gone & {
        file for job in account.jobs.values() for file in files_of(job)
    }
    for item in missing:
        assert f"gone since {item.since:%Y-%m-%d %H:%M}: {item.what} {item.id} (No such" in ran.out
    assert "[19/20] ft:" in ran.err


def test_again_fetches_only_what_is_new(out, quick):
    account = OpenAIAccount(models=5)
    newest = account.names[1]
    with openai_account(account) as url:
        first = rescue(base_url=url, out=out)
        account.requests.clear()
        prompt = [{"role": "user", "content": "What is 5 plus 5?"}]
        account.store(newest, prompt, {"role": "assistant", "content": "10"}, 1_770_000_000)
        second = rescue(base_url=url, out=out)
        assert asked(account, "/content") == asked(account, "/events") == 0
        assert asked(account, "/messages") == asked(account, "/checkpoints") + 1 == 1
        check(out, account)
        kept = {name: model.files for name, model in first.models.items()}
        for name, model in second.models.items():
            changed = {file for file in model.files if model.files[file] != kept[name].get(file)}
            assert changed == ({"completions.jsonl"} if name == newest else set())
        # Since when it is gone stays, and what was damaged here is fetched again.
        since = [item.since for model in first.models.values() for item in model.missing]
        assert [item.since for model in second.models.values() for item in model.missing] == since
        damaged = out / second.models[newest].folder / "events.jsonl"
        damaged.write_bytes(b"")
        account.requests.clear()
        rescue(base_url=url, out=out)
        assert asked(account, "/events") > 0
        check(out, account)


@pytest.mark.parametrize("seed", range(3))
def test_faults_lose_nothing(out, quick, seed):
    account = OpenAIAccount(models=8)
    with openai_account(account, share=0.15, seed=seed) as url:
        if seed % 2:
            asyncio.run(arescue(engine=quick, base_url=url, out=out))
        else:
            rescue(engine=quick, base_url=url, out=out)
    check(out, account)
    check_private(out)


@pytest.mark.parametrize("retry_after", [True, False])
def test_rate_limits_are_obeyed(out, retry_after, quick):
    account = OpenAIAccount(models=3, limit=(15, 1.0), retry_after=retry_after)
    with openai_account(account) as url:
        asyncio.run(arescue(engine=quick, base_url=url, out=out))
    check(out, account)
    assert account.impatient == 0
    assert len(account.requests) > 30


@pytest.mark.timeout(300 + 10 * KILLS)
def test_killed_at_any_moment_it_goes_on_where_it_was(out, tmp_path):
    account, chance = OpenAIAccount(), random.Random(SEED)
    said, moments = "", []
    with openai_account(account) as url:
        arguments = ("langchain_finetune.cli", "rescue", "--base-url", url, "--out", out)
        for _ in range(KILLS):
            begun = len(account.requests)
            # What is read of each model that is complete, to see whether there is anything new.
            again = 5 + sum(model.complete * 4 for model in models_of(out).values())
            most = begun + chance.randint(0, again + 3000 // KILLS)
            with (tmp_path / "said").open("w+") as file:
                with WarmProcess(*arguments, stdout=file, stderr=file) as process:
                    while len(account.requests) < most and process.poll() is None:
                        time.sleep(0.0005)
                    time.sleep(chance.uniform(0, 0.01))
                    process.kill()
                file.seek(0)
                said += file.read()
            moments.append(len(account.requests) - begun)
            # No file without its whole content has its name.
            for model in models_of(out).values():
                for name, known in model.files.items():
                    path = out / model.folder / name
                    if path.exists():
                        assert hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256
        ended = run_warm(*arguments)
    assert ended.returncode == 0, ended.stderr
    check(out, account)
    check_private(out, said, ended.stdout, ended.stderr)
    assert {method for method, _ in account.requests} == {"GET"}
    # A kill costs at most the requests that it cuts off, and no file or completion is asked for
    # again once it is there. Messages are fetched eight at a time.
    there = sum(file not in account.gone for job in account.jobs.values() for file in files_of(job))
    assert asked(account, "/content") <= there + KILLS
    assert asked(account, "/messages") <= len(account.completions) + 8 * KILLS
    assert asked(account, "/checkpoints") <= len(account.names) + KILLS
    assert len({*moments}) > min(KILLS, 10) // 2


def test_what_a_killed_process_left_is_used(out):
    """At the moments that a random kill rarely meets: around a rename, and within a line."""
    account = OpenAIAccount(models=4)
    name = account.names[1]
    with openai_account(account) as url:
        rescue(base_url=url, out=out)
        here = out / RescueManifest.read(out).models[name].folder
        # Its hash is in the manifest, but it does not have its name yet.
        for file in ("events.jsonl", "training.jsonl", "result-1.csv"):
            (here / file).rename(here / f".{file}.part")
        # All lines are in the archive, but the new ones were not removed yet.
        content = (here / "completions.jsonl").read_bytes()
        (here / ".completions.jsonl.new").write_bytes(content)
        account.requests.clear()
        rescue(base_url=url, out=out)
        assert asked(account, "/events") == asked(account, "/content") == 0
        assert asked(account, "/messages") == 0
        check(out, account)
        # The archive has no line yet; three are new, and the last of them is cut off.
        (here / "completions.jsonl").unlink()
        lines = content.splitlines(keepends=True)
        (here / ".completions.jsonl.new").write_bytes(b"".join(lines[:3])[:-5])
        account.requests.clear()
        rescue(base_url=url, out=out)
        assert asked(account, "/messages") == len(lines) - 2
        check(out, account)
        # What is no line of this kind is not kept.
        (here / ".completions.jsonl.new").write_bytes(b"\0" * 9 + b"\n[]\n" + lines[0])
        rescue(base_url=url, out=out)
        check(out, account)


def models_of(out):
    return RescueManifest.read(out).models if (out / "manifest.json").exists() else {}


def files_of(job):
    named = [job["training_file"], job["validation_file"], *job["result_files"]]
    return [file for file in named if file] if job["fine_tuned_model"] else []


def test_a_large_file_takes_no_memory(out, tmp_path):
    account, size = OpenAIAccount(models=1), 200 * 2**20
    job = account.job_of(account.names[0])

    def parts():
        yield from (b"x" * 2**20 for _ in range(size // 2**20))

    job["training_file"] = account.add_file("large.jsonl", "fine-tune", parts, size)
    script = tmp_path / "peak.py"
    script.write_text(
        "import asyncio, resource, sys\n"
        "from langchain_finetune import arescue, rescue\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "way, url, out = sys.argv[1:]\n"
        "before = peak()\n"
        "settings = {'base_url': url, 'out': out}\n"
        "asyncio.run(arescue(**settings)) if way == 'async' else rescue(**settings)\n"
        "print((peak() - before) // 1024)\n"
    )
    with openai_account(account) as url:
        for way in ("sync", "async"):
            ended = run_warm(str(script), way, url, out / way)
            assert ended.returncode == 0, ended.stderr
            [model] = RescueManifest.read(out / way).models.values()
            assert model.files["training.jsonl"].size == size
            assert (out / way / model.folder / "training.jsonl").stat().st_size == size
            assert int(ended.stdout) < 60, "MB"


def test_some_models_by_name_job_or_checkpoint(out, command):
    account = OpenAIAccount(models=6)
    first, second, third, *_ = account.names
    job = account.job_of(second)["id"]
    checkpoint = account.checkpoints[account.job_of(third)["id"]][0]["fine_tuned_model_checkpoint"]
    with openai_account(account) as url:
        rescue([first, job, checkpoint], base_url=url, out=out)
        check(out, account, [first, second, third])
        ran = command("rescue", "ft:gone::1", "--base-url", url, "--out", out)
        assert "no fine-tuned model 'ft:gone::1'" in ran.error
        assert "langchain-finetune inventory" in ran.error
        shown = command("rescue", first, "--base-url", url, "--out", out, "--json")
    assert shown.json["models"][first]["complete"]
    assert shown.err == ""


def test_chats_of_checkpoints_are_fetched_too(out):
    account = OpenAIAccount(models=1)
    [name] = account.names
    kept = account.checkpoints[account.job_of(name)["id"]][0]["fine_tuned_model_checkpoint"]
    prompt = [{"role": "user", "content": "Hi"}]
    account.store(kept, prompt, {"role": "assistant", "content": "Hello"}, 1_770_000_000)
    with openai_account(account) as url:
        found = rescue(base_url=url, out=out)
    assert found.models[name].completions == 1
    [line] = lines_of(out / found.models[name].folder / "completions.jsonl")
    assert line["completion"]["model"] == kept


def test_names_are_safe(out, tmp_path):
    account = OpenAIAccount(models=3)
    names = ["ft:../../../../escape:\n/x", ".." * 300, "/etc/passwd", "ft:Ä"]
    for job, name in zip(account.jobs.values(), names, strict=False):
        job |= {"fine_tuned_model": name, "id": f"../{job['id']}"}
    account.jobs = {job["id"]: job for job in account.jobs.values()}
    before = set(tmp_path.iterdir())
    with openai_account(account) as url:
        found = rescue(base_url=url, out=out)
    assert set(names) <= set(found.models)
    assert len({model.folder for model in found.models.values()}) == len(found.models)
    assert set(tmp_path.iterdir()) - before == {out}
    written = {path.parent for path in out.rglob("*") if path.is_file()}
    assert written == {out, *(out / model.folder for model in found.models.values())}


def test_a_file_of_several_models_is_fetched_once(out):
    account = OpenAIAccount(models=3)
    shared = account.jobs["ftjob-0002"]["training_file"]
    for job in account.jobs.values():
        job["training_file"] = shared
    with openai_account(account) as url:
        rescue(base_url=url, out=out)
    assert asked(account, f"/files/{shared}/content") == 1
    check(out, account)


def test_a_server_without_stored_completions_is_told_once(out, command):
    account = OpenAIAccount(models=3, stored=False)
    account.completions.clear()
    with openai_account(account) as url:
        ran = command("rescue", "--base-url", url, "--out", out)
        assert ran.code == 0
        assert ran.err.count("does not list stored chat completions") == 1
        check(out, account)
        assert asked(account, "/chat/completions") == 1


def test_what_the_engine_does_not_answer_for_is_fetched_the_next_time(
    out, quick, command, monkeypatch
):
    monkeypatch.setitem(ENGINES, "openai", replace(ENGINES[quick], name="openai"))
    account = OpenAIAccount(models=4)
    broken = account.jobs["ftjob-0002"]["training_file"]
    path = f"/v1/files/{broken}/content"
    gate = Gate(account.app, lambda asked, _: (500, {}) if asked == path else None)
    with served(gate) as url:
        ran = command("rescue", "--base-url", f"{url}/v1", "--out", out)
        assert "did not answer for 1 of" in ran.error
        assert f"failed since {RescueManifest.read(out).failed[0].since:%Y}" in ran.out
        [item] = RescueManifest.read(out).failed
        assert (item.what, item.id) == ("training file", broken)
        gate.answers = lambda *_: None
        assert command("rescue", "--base-url", f"{url}/v1", "--out", out).code == 0
    check(out, account)


def test_messages_that_do_not_come_hold_up_no_other(out, quick):
    account = OpenAIAccount(models=4)
    name, other = account.names[1], account.names[0]
    ids = [each["id"] for each in account.completions.values() if each["model"] == name]
    wrong = {ids[0]: 500, ids[3]: 404}
    paths = {f"/v1/chat/completions/{name}/messages": status for name, status in wrong.items()}
    gate = Gate(account.app, lambda path, _: (paths[path], {}) if path in paths else None)
    with served(gate) as url:
        found = asyncio.run(arescue(engine=quick, base_url=f"{url}/v1", out=out)).models
        assert found[other].complete
        assert [item.what for item in found[name].missing] == [
            "validation file",
            "stored chat completions",
        ]
        kept = {
            line["completion"]["id"]: line["messages"]
            for line in lines_of(out / found[name].folder / "completions.jsonl")
        }
        assert kept.keys() == {*ids} - {ids[0]}
        # A completion that was deleted since it was listed has no messages.
        assert kept[ids[3]] == []
        paths.clear()
        again = rescue(engine=quick, base_url=f"{url}/v1", out=out).models[name]
    assert [item.what for item in again.missing] == ["validation file"]
    assert again.completions == len(ids)


def test_what_the_engine_refuses_is_noted(out):
    account = OpenAIAccount(models=1)
    [name] = account.names
    refused = account.job_of(name)["training_file"]
    path = f"/v1/files/{refused}/content"
    with served(Gate(account.app, lambda asked, _: (403, {}) if asked == path else None)) as url:
        found = rescue(base_url=f"{url}/v1", out=out)
    [item] = found.models[name].missing
    assert (item.state, item.id) == ("refused", refused)
    assert found.models[name].complete


def test_an_engine_that_is_down_ends_it_and_keeps_what_is_there(out, quick):
    account = OpenAIAccount(models=4)

    def down(path, _count):
        return (503, {}) if path.startswith("/v1/files") else None

    with served(Gate(account.app, down)) as url:
        with pytest.raises(EngineError, match="run the same again to go on"):
            rescue(engine=quick, base_url=f"{url}/v1", out=out)
        assert len(RescueManifest.read(out).failed) >= 2
    with openai_account(account) as url, pytest.raises(FineTuningError, match="another folder"):
        rescue(engine=quick, base_url=url, out=out)


def test_a_wrong_key_stops_at_once(out, monkeypatch):
    with openai_account(OpenAIAccount(models=1)) as url:
        with pytest.raises(EngineAuthenticationError, match="does not accept the key"):
            rescue(base_url=url, out=out, api_key="sk-wrong")
        assert rescue(base_url=url, out=out, api_key=KEY).models


def test_folders_that_cannot_be_used(out, tmp_path):
    with openai_account(OpenAIAccount(models=1)) as url:
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(FineTuningError, match="not a folder"):
            rescue(base_url=url, out=file)
        out.mkdir()
        with (
            FileLock(out / ".lock"),
            pytest.raises(FineTuningError, match="Another process is writing"),
        ):
            rescue(base_url=url, out=out)
        (out / "manifest.json").write_text("{}")
        with pytest.raises(FineTuningError, match="damaged"):
            asyncio.run(arescue(base_url=url, out=out))
        with pytest.raises(FineTuningError, match="not the folder of a rescue"):
            RescueManifest.read(tmp_path)


def test_passwords_of_an_address_are_not_kept(out):
    account = OpenAIAccount(models=1)
    account.authorization = "Basic bWU6c2VjcmV0"
    with openai_account(account) as url:
        found = rescue(base_url=url.replace("http://", "http://me:secret@"), out=out)
    assert found.base_url == url
    assert "secret" not in (out / "manifest.json").read_text()


def test_progress_is_told_without_blocking(out):
    told = []

    async def listen(progress):
        told.append(progress)

    account = OpenAIAccount(models=2)
    with openai_account(account) as url:
        asyncio.run(arescue(base_url=url, out=out, on_progress=listen))
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert (told[-1].done, told[-1].total) == (2, 2)
    check_private(out, *map(str, told))
