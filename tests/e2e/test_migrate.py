"""`Migration`: a hosted model (the stand-in of OpenAI's API) goes dark, `nano` takes over."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openai import NotFoundError, OpenAI

from langchain_finetune import (
    BudgetError,
    CompareError,
    EngineError,
    FineTune,
    FineTuningError,
    InferencePrice,
    Migration,
    ModelRecording,
    amigrate,
    length_ratio,
    migrate,
)
from langchain_finetune.engines.local import ensure_engine, find_engine, stop_engine
from langchain_finetune.evaluation.contamination import training_file
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.migration import swap
from langchain_finetune.migration.asking import METADATA
from langchain_finetune.migration.folders import locked_folder
from langchain_finetune.migration.swap import alias_of
from support import migration_process
from support.command_line import runs_command
from support.openai_account import KEY, OpenAIAccount, openai_account, quick_engine, refusal
from support.servers import free_port
from support.settings import forget_langsmith_settings
from support.warm_process import WarmProcess

COUNT = 140
"""Prompts; half of them are held out, which is enough to pass by the default rule."""

PRICE = InferencePrice(input_usd=1.0, output_usd=1.0)
TO = {
    "model": "nano",
    "engine": "local",
    "suffix": "own",
    "hyperparameters": {"n_epochs": 4},
}
STEPS = ["rescue", "record", "train", "compare", "swap"]


def training_lines(count=COUNT):
    for number in range(count):
        asked = {"role": "user", "content": f"Is {number} a number?"}
        yield {"messages": [asked, {"role": "assistant", "content": "Yes"}]}


def encoded(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Shop:
    """An account whose models always answer Yes, and the app's prompts in its files.

    Attributes:
        kept: A model whose training file is there.
        gone: A model whose training file is gone; its validation file has the prompts.
    """

    def __init__(self, url, account):
        self.url, self.account = url, account
        *_, self.gone, self.kept = account.names
        account.reply = lambda *_: {"role": "assistant", "content": "Yes", "refusal": None}
        lines = encoded(training_lines())
        self.training_id = account.job_of(self.kept)["training_file"]
        account.replace_file(self.training_id, lines)
        account.replace_file(account.job_of(self.gone)["validation_file"], lines)
        account.completions.clear()

    @property
    def paid(self):
        return len(self.account.paid)


@contextmanager
def new_shop():
    account = OpenAIAccount(models=2)
    with openai_account(account) as url:
        yield Shop(url, account)


@pytest.fixture
def shop(home):
    with new_shop() as shop:
        yield shop
    if engine := find_engine(home):
        with OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value()) as client:
            for name in (shop.kept, shop.gone):
                with suppress(NotFoundError):
                    client.delete(f"/aliases/{name}", cast_to=object)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """One engine, and one job: each migration here has the same data."""
    path = tmp_path_factory.mktemp("migrate-home")
    with pytest.MonkeyPatch.context() as patch:
        forget_langsmith_settings(patch)
        patch.setenv(HOME_VARIABLE, str(path))
        patch.setenv("TQDM_DISABLE", "1")
        yield path
    stop_engine(path, timeout_s=60)


@pytest.fixture
def settings(shop, tmp_path):
    """Settings of a migration of the model whose files are there."""

    def made(**changes):
        given = {"model": shop.kept, "to": FineTune(**TO), "out": tmp_path / "out"}
        given |= {"base_url": shop.url, "api_key": KEY, "answers": 0, "held_out": 0.5}
        return given | {"price": PRICE, "max_cost_usd": 5, **changes}

    return made


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory):
    """The folder of a migration of the model whose files are gone, which passed, not swapped."""
    out = tmp_path_factory.mktemp("finished") / "out"
    with new_shop() as shop:
        result = migrate(
            shop.gone, FineTune(**TO), out=out, base_url=shop.url, api_key=KEY, answers=0,
            held_out=0.5, price=PRICE, max_cost_usd=5, swap=False,
        )  # fmt: skip
    return out, result


@pytest.fixture
def copied(finished, tmp_path, settings, shop):
    """A copy of that folder, and the settings to go on with it."""
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    manifest = out / "recorded" / "manifest.json"
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**fields, "base_url": shop.url}))
    state = out / "migration.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "base_url": shop.url}))
    return lambda **changes: settings(model=shop.gone, out=out, **changes)


def answered_by(home, name):
    """What the engine says of an alias, or None."""
    engine = ensure_engine(home)
    key = engine.api_key.get_secret_value()
    with OpenAI(base_url=engine.base_url, api_key=key) as client:
        aliases = client.get("/aliases", cast_to=object)["data"]
    return next((each["target"] for each in aliases if each["id"] == name), None)


def jobs_of(home, suffix):
    engine = ensure_engine(home)
    key = engine.api_key.get_secret_value()
    with OpenAI(base_url=engine.base_url, api_key=key) as client:
        names = [job.fine_tuned_model or "" for job in client.fine_tuning.jobs.list()]
    return [name for name in names if f":{suffix}:" in name]


def requests(lines):
    return {json.dumps(line["messages"][:-1]) for line in lines}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def no_file_holds(text, folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return all(text.encode() not in path.read_bytes() for path in files)


@pytest.mark.train
def test_where_files_are_gone_the_recording_is_trained_on_and_the_report_says_so(finished, home):
    out, result = finished
    assert result.verdict == "pass"
    assert list(result.steps) == STEPS
    why = "the recorded answers (its training file is gone)"
    assert f"trained on {COUNT // 2} examples of {why}" in result.steps["train"].summary
    report = result.report.read_text()
    assert why in report
    assert "missing: training file (gone)" in report
    recorded = ModelRecording.read(out / "recorded")
    trained = lines_of(training_file(result.chat.metadata, home))
    held_out = {
        json.dumps(each.request["messages"]) for each in recorded.prompts() if each.held_out
    }
    assert len(held_out) == COUNT // 2
    assert len(trained) == COUNT // 2
    assert requests(trained).isdisjoint(held_out)
    assert {case.group for case in result.comparison.cases}
    assert len(result.comparison.cases) == COUNT // 2
    assert result.comparison.refused == []
    assert result.chat.temperature == 0


@pytest.mark.train
def test_where_files_are_there_they_are_trained_on_and_a_pass_swaps(settings, shop, home, caplog):
    caplog.set_level("DEBUG")
    result = Migration(**settings()).run()
    assert result.verdict == "pass", str(result)
    assert "of the rescued training file; left out: 70 held_out" in result.steps["train"].summary
    assert shop.paid == COUNT
    recorded = ModelRecording.read(result.folder / "recorded")
    held_out = {
        json.dumps(each.request["messages"]) for each in recorded.prompts() if each.held_out
    }
    trained = lines_of(training_file(result.chat.metadata, home))
    assert requests(trained).isdisjoint(held_out)
    assert len(held_out) + len(trained) == COUNT
    # The app's code as it was.
    engine = ensure_engine(home)
    app = ChatOpenAI(model=shop.kept, base_url=engine.base_url, api_key=engine.api_key)
    assert app.invoke("Is 7 a number?").content == "Yes"
    assert answered_by(home, shop.kept) == result.new_model
    # Again: nothing is left to do, and what was taken back stays so.
    again = Migration(**settings()).run()
    assert (shop.paid, again.new_model) == (COUNT, result.new_model)
    assert again.comparison.id == result.comparison.id
    key = engine.api_key.get_secret_value()
    with OpenAI(base_url=engine.base_url, api_key=key) as client:
        client.delete(f"/aliases/{shop.kept}", cast_to=object)
    back = Migration(**settings()).run()
    assert answered_by(home, shop.kept) is None
    assert "taken back since" in back.steps["swap"].summary
    assert no_file_holds(KEY, result.folder)
    assert no_file_holds(KEY, home)
    assert KEY not in caplog.text
    assert "Is 7 a number?" not in caplog.text
    assert (result.folder.stat().st_mode & 0o777, result.report.stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


@contextmanager
def opened_in_this_thread(folder):
    """The names of the files of a folder that this thread opens meanwhile, in a list."""
    opened, here, listening = [], threading.get_ident(), [True]

    def hear(event, arguments):
        if event == "open" and listening and threading.get_ident() == here:
            path = Path(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else None
            if path and path.is_relative_to(folder):
                opened.append(path.name)

    sys.addaudithook(hear)  # There is no way to remove it.
    yield opened
    listening.clear()


@pytest.mark.train
async def test_the_async_twin_does_the_same(settings, shop, home, finished):
    told = []

    async def hear(news):
        told.append(news.step)

    given = settings(model=shop.gone, swap=False)
    model, to = given.pop("model"), given.pop("to")
    with opened_in_this_thread(given["out"]) as opened:
        result = await amigrate(model, to, **given, on_progress=hear)
    # The event loop waits for no file; downloads are written as they come.
    assert set(opened) <= {".lock", ".validation.jsonl.part", ".result-1.original.part"}
    assert result.verdict == "pass"
    assert set(told) == {"rescue", "record"}
    assert shop.paid == COUNT
    assert result.new_model == finished[1].new_model
    plan = await Migration(**settings(model=shop.gone, swap=False)).aplan()
    assert [step.done for step in plan.steps] == [True] * 5
    assert [step.what for step in plan.steps][1:4] == [
        f"{result.steps['record'].summary}, for $0.0014",
        *(result.steps[name].summary for name in ("train", "compare")),
    ]
    for changes, done in (
        ({}, 4),
        ({"evaluators": [length_ratio]}, 3),
        ({"to": FineTune(**{**TO, "hyperparameters": {"n_epochs": 5}})}, 2),
        ({"to": FineTune(**{**TO, "suffix": "other"})}, 2),
    ):
        plan = await Migration(**settings(model=shop.gone, **changes)).aplan()
        assert [step.done for step in plan.steps] == [True] * done + [False] * (5 - done), changes


def printed(result, start):
    """The command of a line of advice."""
    [line] = [line for line in result.advice if line.startswith(start)]
    return line.partition(": ")[2]


def in_a_shell(command):
    """Run a command as a user would, in a shell with this package's commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    ran = subprocess.run(
        ["bash", "-ec", command], env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def ask_in_a_shell(exports, name):
    """Ask a model at the address and with the key that a shell would have."""
    url, key = in_a_shell(
        f'{exports}; printf "%s\n%s" "$OPENAI_BASE_URL" "$OPENAI_API_KEY"'
    ).split()
    return ChatOpenAI(model=name, base_url=url, api_key=key).invoke("Is 7 a number?").content


@pytest.mark.train
def test_what_is_printed_after_a_swap_works(copied, shop, home):
    result = Migration(**copied()).run()
    assert result.verdict == "pass"
    # Another engine will have another port: only the line for now names it.
    url = find_engine(home).url
    assert str(result).count(url) == result.report.read_text().count(url) == 1
    assert result.comparison.id in str(result)
    exports = printed(result, "For the app")
    assert ask_in_a_shell(exports, shop.gone) == "Yes"
    # The background engine of the migration is in the way.
    port = str(free_port())
    serve = printed(result, "To serve it").replace("8123", port)
    in_a_shell(f"({serve}) >/dev/null 2>&1 & disown")
    deadline = time.monotonic() + 120
    while (engine := find_engine(home)) is None or not engine.url.endswith(f":{port}"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    then = printed(result, "Then, for the app").replace("8123", port)
    assert ask_in_a_shell(f"{exports}; {then}", shop.gone) == "Yes"
    again = Migration(**copied()).run()
    assert again.steps["swap"] == result.steps["swap"]
    # As of a run whose rules the model fails, after it was swapped.
    failed = Migration(**copied(better={"normalized_text": 0.5})).run()
    assert failed.advice[0].startswith("Warning")
    assert printed(failed, "To go back") == printed(result, "To go back")
    in_a_shell(printed(result, "To go back"))
    assert answered_by(home, shop.gone) is None
    back = Migration(**copied()).run()
    assert answered_by(home, shop.gone) is None
    assert "taken back since" in back.advice[0]
    in_a_shell(printed_command(back))
    assert answered_by(home, shop.gone) == result.new_model


def printed_command(result):
    """The command at the end of advice of one line."""
    [line] = result.advice
    return line[line.index("langchain-finetune ") :]


@pytest.mark.train
def test_what_somebody_has_decided_about_the_name_stays(copied, shop, home):
    engine = ensure_engine(home)
    key = engine.api_key.get_secret_value()
    with OpenAI(base_url=engine.base_url, api_key=key) as client:

        def step(**body):
            return client.post(f"/aliases/{shop.gone}", cast_to=object, body=body)

        step(action="promote", model="nano")
        other = Migration(**copied()).run()
        assert "not swapped (nano answers to that name)" in other.advice[0]
        new = other.new_model
        step(action="canary", model=new, share=0.1)
        tried = Migration(**copied()).run()
        assert f"a canary of {new} is running" in tried.steps["swap"].summary
        assert client.get(f"/aliases/{shop.gone}", cast_to=object)["mode"] == "canary"
        in_a_shell(printed_command(tried))
        assert answered_by(home, shop.gone) == new
        promoted = Migration(**copied()).run()
        assert printed(promoted, "To go back") == f"langchain-finetune rollback {shop.gone}"
        in_a_shell(printed(promoted, "To go back"))
        assert answered_by(home, shop.gone) == "nano"
        # Also where this migration swapped another model in between.
        state = copied()["out"] / "migration.json"
        known = json.loads(state.read_text())
        known["steps"]["swap"]["facts"]["swaps"].append("ft:nano:local:other:1")
        state.write_text(json.dumps(known))
        again = Migration(**copied()).run()
        assert answered_by(home, shop.gone) == "nano"
        assert "taken back since" in again.advice[0]


@pytest.mark.train
def test_a_decision_that_is_made_meanwhile_stays(copied, shop, home, monkeypatch):
    """Between reading the alias and swapping, another process promotes another model."""
    engine = ensure_engine(home)
    key = engine.api_key.get_secret_value()
    reads = []

    def read(name):
        found = alias_of(name)
        reads.append(found)
        if len(reads) == 1:
            with OpenAI(base_url=engine.base_url, api_key=key) as client:
                body = {"action": "promote", "model": "nano"}
                client.post(f"/aliases/{name}", cast_to=object, body=body)
        return found

    monkeypatch.setattr(swap, "alias_of", read)
    result = Migration(**copied()).run()
    assert answered_by(home, shop.gone) == "nano"
    assert "not swapped (nano answers to that name)" in result.advice[0]


@pytest.mark.train
def test_only_a_pass_swaps(copied, shop, home):
    failed = Migration(**copied(better={"exact_match": 0.5}, evaluators=None)).run
    with pytest.raises(FineTuningError, match="exact_match"):
        failed()
    worse = Migration(**copied(better={"normalized_text": 0.5})).run()
    assert worse.verdict == "fail"
    assert "Not swapped" in worse.advice[0]
    few = Migration(**copied(at_least={"normalized_text": -0.001})).run()
    assert few.verdict == "too_few"
    assert answered_by(home, shop.gone) is None
    kept = Migration(**copied(swap=False)).run()
    assert (kept.verdict, answered_by(home, shop.gone)) == ("pass", None)
    assert f"langchain-finetune promote {shop.gone} {kept.new_model}" in kept.advice[0]
    assert shop.paid == 0
    assert len({each.comparison.id for each in (worse, few, kept)}) == 1


@pytest.mark.train
def test_a_chain_that_asks_something_else_does_not_pass(copied, shop):
    """The recording has no answer of the old model to it: that is no failure of the old one."""
    other = ChatPromptTemplate([("system", "Be short."), ("user", "{input}")])
    with pytest.raises(CompareError, match=f"None of the {COUNT // 2} requests .* same prompt"):
        Migration(**copied(chain=lambda model: other | model)).run()
    sorry = RunnableLambda(lambda _: AIMessage("Sorry, try again later."))
    with pytest.raises(CompareError, match=f"None of the {COUNT // 2} requests"):
        Migration(**copied(chain=lambda model: (other | model).with_fallbacks([sorry]))).run()
    assert shop.paid == 0
    same = ChatPromptTemplate([("user", "{input}")])
    found = Migration(**copied(chain=lambda model: same | model)).run()
    assert found.comparison.refused == []

    def some(model):
        """A chain that sometimes asks something else, and has an answer of its own to errors."""
        asks = (lambda case: case["input"] + " " * case["input"].startswith("Is 1")) | model
        return asks.with_fallbacks([RunnableLambda(lambda _: AIMessage("Sorry, try again."))])

    fewer = Migration(**copied(chain=some)).run()
    assert 0 < len(fewer.comparison.refused) < COUNT // 2
    assert len(fewer.comparison.cases) + len(fewer.comparison.refused) == COUNT // 2
    assert any("cases were left out" in note for note in fewer.comparison.notes)


KILLS = [
    *[("rescue", 1), ("record", 40), ("train", 2), ("old", 3), ("new", 3)],
    ("state", 1),  # The comparison is on the disk, and not noted as done.
    ("state", 2),  # It is swapped, and not noted as done.
]


@pytest.mark.train
def test_killed_at_each_step_it_goes_on_and_nothing_is_paid_for_twice(shop, tmp_path, home):
    out = tmp_path / "out"
    settings = {
        "model": shop.kept, "out": str(out), "base_url": shop.url, "api_key": KEY, "answers": 0,
        "held_out": 0.5, "to": {**TO, "suffix": "killed", "hyperparameters": {"n_epochs": 1}},
        "at_least": {"normalized_text": -0.99}, "limit": 60, "settle_s": 1.0,
    }  # fmt: skip
    for place, (news, times) in enumerate(KILLS):
        env = {**os.environ, "TWIN": "async" if place % 2 else "sync"}
        env["PAUSE"] = str(times if news == "state" else 0)
        with WarmProcess(migration_process.__file__, json.dumps(settings), env=env) as process:
            heard = Counter()
            for line in process.stdout:
                heard[line.strip()] += 1
                assert line != "done\n", news
                if heard[news] >= times:
                    break
            else:
                pytest.fail(f"{news}: {process.stderr.read()}")
            os.kill(process.pid, signal.SIGKILL)
        assert bool(answered_by(home, shop.kept)) is (place == len(KILLS) - 1)
    to = FineTune(**settings.pop("to"))
    last = Migration(**settings, to=to, confirm=lambda _: True, price=PRICE)
    result = last.run()
    assert result.verdict == "pass"
    assert answered_by(home, shop.kept) == result.new_model
    assert len(jobs_of(home, "killed")) == 1
    marks = Counter(body["metadata"][METADATA] for body in shop.account.paid)
    assert len(marks) == 60
    assert set(marks.values()) == {1}


def test_a_plan_asks_for_nothing_and_fixes_nothing(settings, shop):
    migration = Migration(**settings(max_cost_usd=None))
    plan = migration.plan()
    assert [step.name for step in plan.steps] == STEPS
    assert [step.done for step in plan.steps] == [True, False, False, False, False]
    assert f"{COUNT} answers to {COUNT} prompts" in str(plan)
    assert f"{COUNT // 2} examples of the rescued training file" in str(plan)
    assert "to show that a swap loses at most 5 points" in str(plan)
    assert f"Prompts: {COUNT} of training.jsonl." in str(plan)
    assert plan.steps[1].usd > 0
    free = InferencePrice(input_usd=0.0, output_usd=0.0)
    assert asyncio.run(Migration(**settings(price=free)).aplan()).steps[1].usd == 0
    assert shop.paid == 0
    assert {path.name for path in migration.out.iterdir()} == {
        ".lock", "migration.json", "rescued",
    }  # fmt: skip
    fewer = Migration(**settings(limit=20)).plan()
    assert "20 answers to 20 prompts" in str(fewer)
    with pytest.raises(BudgetError, match="Nothing was sent"):
        Migration(**settings(max_cost_usd=0.0)).run()
    assert shop.paid == 0


def test_a_rescue_that_is_not_complete_ends_it_before_anything_is_paid(settings, shop, monkeypatch):
    """Otherwise the recording would be trained on, and the file in the next run: two jobs."""
    quick_engine(monkeypatch, "openai")
    content = shop.account.contents[shop.training_id]
    shop.account.contents[shop.training_id] = lambda: iter([content[:10]])
    with pytest.raises(FineTuningError, match="training file"):
        Migration(**settings()).run()
    assert shop.paid == 0
    shop.account.contents[shop.training_id] = content
    assert Migration(**settings()).plan().steps[0].done


def test_what_a_key_was_not_given_is_fetched_with_another_one(settings, shop):
    """A key of another project sees no model, and a restricted one no file."""
    jobs, models = shop.account.jobs, shop.account.models
    shop.account.jobs, shop.account.models = {}, {"gpt-4o": models["gpt-4o-2024-08-06"]}
    with pytest.raises(FineTuningError, match="run the same with the key of that one"):
        Migration(**settings()).plan()
    shop.account.jobs, shop.account.models = jobs, models
    shop.account.closed = ("/v1/files",)
    with pytest.raises(FineTuningError, match="There are no prompts"):
        Migration(**settings()).plan()
    authorization, shop.account.authorization = shop.account.authorization, "none"
    with pytest.raises(FineTuningError, match="There are no prompts"):
        Migration(**settings()).plan()
    shop.account.authorization = authorization
    shop.account.closed = ()
    plan = Migration(**settings()).plan()
    assert plan.steps[0].done
    assert "of the rescued training file" in str(plan)


def test_a_rescued_file_that_was_changed_is_fetched_again_or_told_of(settings, shop):
    Migration(**settings()).plan()
    [path] = (settings()["out"] / "rescued").glob("*/training.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 4])
    assert f"{COUNT // 2} examples of the rescued training file" in str(
        Migration(**settings()).plan()
    )
    assert path.read_bytes() == whole
    path.unlink()
    shop.account.delete_file(shop.training_id)
    with pytest.raises(FineTuningError, match="changed or removed after it was rescued"):
        Migration(**settings()).plan()
    assert shop.paid == 0


def test_a_refusal_of_access_is_no_model_that_went_dark(settings, shop):
    """Another project's key gets the answer of a model that is gone."""

    def refuse(body):
        if shop.paid < COUNT // 2:
            return None
        return refusal(404, f"The model `{body['model']}` does not exist.", "model_not_found")

    shop.account.refuse = refuse
    with pytest.raises(EngineError, match="does not say that it was deleted"):
        Migration(**settings()).run()
    state = json.loads((settings()["out"] / "migration.json").read_text())
    assert "train" not in state["steps"]
    del shop.account.models[shop.kept]
    to = FineTune(**{**TO, "model": "no/such-base"})
    with pytest.raises(FineTuningError, match="holds another migration"):
        Migration(**settings(to=to)).run()
    with pytest.raises(BudgetError):
        Migration(**settings(to=FineTune(**TO, max_tokens=1))).run()
    state = json.loads((settings()["out"] / "migration.json").read_text())
    assert "the model does not answer any more" in state["steps"]["record"]["summary"]


def test_a_folder_that_the_system_refuses(settings):
    with pytest.raises(FineTuningError, match=r"The migration failed: .* remove the cause"):
        Migration(**settings(out="/proc/none")).plan()


def test_a_model_that_the_account_does_not_list_needs_other_prompts(settings, shop, tmp_path):
    given = settings(model="gpt-4o-mini-2024-07-18")
    with pytest.raises(FineTuningError, match=r"no prompts .* Give sources"):
        Migration(**given).run()
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(encoded(training_lines(20)))
    plan = Migration(**{**given, "sources": [path]}).plan()
    assert "nothing: The account has no fine-tuned model" in str(plan)
    assert "the account lists no training file of it" in str(plan)


def test_a_checkpoint_has_the_files_of_its_job(settings, shop):
    plan = Migration(**settings(model=f"{shop.kept}:ckpt-step-10")).plan()
    assert "of the rescued training file" in str(plan)
    assert f"{COUNT} answers" in str(plan)
    job = shop.account.job_of(shop.kept)["id"]
    with pytest.raises(FineTuningError, match="is the name of a job"):
        Migration(**settings(model=job, out=settings()["out"] / "job")).plan()


def test_without_a_held_out_answer_nothing_is_trained(settings, shop, tmp_path):
    with pytest.raises(FineTuningError, match="no answer to a held-out request"):
        Migration(**settings(limit=1)).run()
    assert shop.paid == 1
    shop.account.refuse = lambda _: refusal(400, "No.", "refused")
    with pytest.raises(FineTuningError, match="no answer to a held-out request"):
        Migration(**settings(limit=20, out=tmp_path / "refused")).run()


def test_one_process_at_a_time_and_one_migration_in_a_folder(settings, tmp_path):
    given = settings()
    with (
        locked_folder(given["out"], "migrating in"),
        pytest.raises(FineTuningError, match="Another process is migrating"),
    ):
        Migration(**given).run()
    Migration(**given).plan()
    with pytest.raises(
        FineTuningError, match=r"to nano at local\. Choose another folder for .* tiny"
    ):
        Migration(**{**given, "to": FineTune(model="tiny", engine="local")}).run()
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(FineTuningError, match="is not a folder"):
        Migration(**settings(out=file)).plan()
    with pytest.raises(FineTuningError, match="inside is not a folder: choose another one"):
        Migration(**settings(out=file / "inside")).plan()
    with pytest.raises(FineTuningError, match="reuse=False"):
        Migration(**settings(to=FineTune(**TO, reuse=False)))


def test_the_folder_may_be_in_the_home(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Migration(**settings(out="~/moved")).out == tmp_path / "moved"
    address = "http://user:pass-word@127.0.0.1:9/v1"
    with pytest.raises(FineTuningError):
        Migration(**settings(base_url=address)).plan()
    assert no_file_holds("pass-word", tmp_path) if any(tmp_path.rglob("*.json")) else True


@pytest.mark.train
def test_a_model_that_went_dark_is_compared_by_what_was_recorded(copied, shop):
    del shop.account.models[shop.gone]
    result = Migration(**copied(answers=2, swap=False, store=False)).run()
    assert result.verdict == "pass"
    assert "the model does not answer any more" in result.steps["record"].summary
    assert f"{2 * COUNT} missing" in result.steps["record"].summary


@pytest.mark.train
def test_the_command(copied, shop, home, monkeypatch, capsys):
    run = runs_command(monkeypatch, capsys)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    given = [
        "migrate", shop.gone, "--to", "nano", "--out", copied()["out"], "--old-base-url", shop.url,
        "--held-out", 0.5, "--answers", 0, "--suffix", "own", "--epochs", 4, "--yes",
    ]  # fmt: skip
    ran = run(*given, "--plan")
    assert ran.code == 0, ran.err
    assert ran.out.count("[done]") == 4
    ran = run(*given, "--no-swap")
    assert ran.code == 0, ran.err
    assert "compare: 70 cases" in ran.out
    assert run(*given, "--no-swap", "--better", "normalized_text=0.5").code == 1
    ran = run(*given, "--at-least", "normalized_text=-0.001", "--json")
    assert (ran.code, ran.json["verdict"]) == (4, "too_few")
    assert "Is 7 a number?" not in ran.out + ran.err
    assert answered_by(home, shop.gone) is None
    assert shop.paid == 0
