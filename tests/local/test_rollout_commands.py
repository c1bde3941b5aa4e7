"""The commands `promote`, `rollback`, `canary`, `shadow` and `aliases`, on a real engine."""

from pathlib import Path

import pytest

from support.command_line import runs_command
from tests.local.conftest import running_engine

ENGINE = str(Path(__file__).with_name("rollout_engine.py"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with running_engine(tmp_path_factory.mktemp("rollout") / "home", command=(ENGINE,)) as engine:
        yield engine


@pytest.fixture
def run(engine, monkeypatch, capsys):
    monkeypatch.setenv("LCFT_HOME", str(engine.home))
    monkeypatch.setenv("COLUMNS", "120")
    return runs_command(monkeypatch, capsys)


def test_out_and_back(run):
    assert "The engine has no aliases." in run("aliases").out
    assert run("promote", "app/bot", "a", "--json").json["target"] == "a"
    canary = run("canary", "app/bot", "b", "--share", "0.25", "--json").json
    assert (canary["mode"], canary["share"], canary["candidate"]) == ("canary", "0.25", "b")
    assert run("canary", "app/bot", "b", "--json").json["share"] == "0.1"
    assert "canary of 0.1" in run("aliases").out
    assert run("promote", "app/bot", "--json").json["target"] == "b"
    assert run("shadow", "app/bot", "c", "--json").json["mode"] == "shadow"
    assert "app/bot  b      c      shadow  a" in run("aliases").out
    assert run("rollback", "app/bot", "--json").json["target"] == "b"
    shown = run("rollback", "app/bot")
    assert (shown.code, "app/bot  a" in shown.out) == (0, True)
    assert [each["id"] for each in run("aliases", "--json").json] == ["app/bot"]
    told = run("aliases", "app/bot").out
    assert "History, newest first" in told
    assert "Models" not in told
    models = {each["model"]: each["alias_of"] for each in run("models", "--json").json}
    assert (models["app/bot"], models["a"]) == ("a", None)
    steps = [each["action"] for each in run("aliases", "app/bot", "--json").json["history"]]
    assert steps == ["rollback", "rollback", "shadow", "promote", "canary", "canary", "promote"]
    assert run("aliases", "app/bot", "--remove", "--json").json["deleted"] is True
    assert run("aliases", "--json").json == []


def test_what_is_wrong_is_one_sentence(run):
    assert "There is no alias 'none'" in run("rollback", "none").error
    assert "has no model 'nowhere'" in run("promote", "x", "nowhere").error
    assert "try one that it has" in run("canary", "a", "nowhere").error
    assert "share" in run("canary", "a", "b", "--share", "2").error
    assert run("aliases", "--remove").code == 2
    run("promote", "once", "a")
    assert "nothing but 'a'" in run("rollback", "once").error
    assert "aliases NAME --remove" in run("rollback", "once").error
    for command in ("canary", "shadow"):
        assert "RolloutChatModel" in run(command, "none", "a").error
