"""`prepare` and `check`: training files and what is said of them, without an engine."""

import json
from pathlib import Path

import pytest

from langchain_finetune import check_file
from langchain_finetune.convert.report.conversion_report import ConversionReport
from support.command_line import runs_command, write_chats

KEY = "AKIAIOSFODNN7" + "EXAMPLE"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    return runs_command(monkeypatch, capsys)


@pytest.fixture
def chats(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 60)


def test_prepare_writes_what_run_would_send(command, chats, tmp_path):
    made = command("prepare", "--file", chats, "--out", "set", "--validation", 0.2, "--test", 0.2)
    assert made.code == 0
    assert "examples kept" in made.out
    assert str(tmp_path / "set") in made.out.replace("\n", "")
    names = {path.name for path in Path("set").iterdir()}
    parts = {"train.jsonl", "validation.jsonl", "test.jsonl"}
    assert names == parts | {"manifest.json", "sources.jsonl", "report.json", "report.html"}
    assert sum(check_file(Path("set", name)).examples for name in parts) == 60
    report = ConversionReport.model_validate_json(Path("set/report.json").read_bytes())
    assert report.kept == sum(report.parts.values()) == 60
    manifest = json.loads(Path("set/manifest.json").read_bytes())
    assert manifest["split"] == {"validation": 0.2, "test": 0.2}
    assert not Path("home").exists()


def test_what_was_held_out_is_not_trained_on_by_the_name_of_its_folder(command, chats):
    assert command("prepare", "--file", chats, "--out", "all/set", "--test", 0.3).code == 0
    for path in ("all/set/", "all", "all/set/*.jsonl"):
        for more in (("prepare", "--out", "again"), ("run", "--model", "nano")):
            refused = command(more[0], "--file", path, *more[1:])
            assert refused.code == 1
            assert "name all/set/train.jsonl." in refused.error.replace("\n", " ")
    again = command("prepare", "--file", "all/set/train.jsonl", "--out", "again", "--json").json
    lines = Path("all/set/train.jsonl").read_text().splitlines()
    assert again["files"]["train"]["examples"] == len(lines) < 60


def test_a_newer_set_takes_the_place_of_an_older_one(command, chats):
    arguments = ("prepare", "--file", chats, "--out", "new/set", "--json")
    first = command(*arguments, "--test", 0.3, "--split-seed", 7).json
    assert set(first["files"]) == {"train", "test"}
    again = command(*arguments, "--model", "nano", "--engine", "local").json
    assert again["files"]["train"]["examples"] == again["report"]["kept"] == 60
    assert again["report"]["tokens_counted"] == 1
    names = {path.name for path in Path("new/set").iterdir()}
    assert names == {
        "train.jsonl", "manifest.json", "sources.jsonl", "report.json", "report.html",
    }  # fmt: skip
    assert [path.name for path in Path("new").iterdir()] == ["set"]


def test_the_folder_may_be_the_one_that_the_user_stands_in(command, chats, monkeypatch):
    Path("here").mkdir()
    monkeypatch.chdir("here")
    assert command("prepare", "--file", chats, "--out", ".").code == 0
    assert check_file("train.jsonl").examples == 60


def test_the_options_reach_the_conversion(command, chats):
    key = {"role": "assistant", "content": f"It is {KEY}"}
    lines = chats.read_text().splitlines()
    several = json.loads(lines[0])["messages"] * 4
    lines += [json.dumps({"messages": [*several[:1], key]}), lines[0]]
    chats.write_text("\n".join([*lines, json.dumps({"messages": several})]))
    options = ("--secrets", "redact", "--duplicates", "drop_exact", "--targets", "last")
    limit = ("--model", "nano", "--max-example-tokens", 60, "--too-long", "drop_oldest")
    made = command("prepare", "--file", chats, "--out", "set", *options, *limit, "--json").json
    assert made["report"]["skipped"] == {"duplicate": 1}
    assert made["report"]["notes"]["shortened"] == 1
    assert KEY not in Path("set/train.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rules", "openai", "--max-example-tokens", 1), "gives no training example"),
        (("--test", 0.001), "No example fell into the test part"),
        (("--out", "."), "holds other files"),
        (("--out", "chats.jsonl"), "is a file: name a folder"),
        (("--method", "completion", "--strict"), "60 chats make no training example (60 chat)"),
    ],
)
def test_where_nothing_can_be_made_one_sentence_says_so(command, chats, options, sentence):
    result = command("prepare", "--file", chats, "--out", "set", *options)
    assert sentence in result.error
    assert result.out == ""
    assert [path.name for path in Path().iterdir()] == ["chats.jsonl"]


@pytest.mark.parametrize(
    "options",
    [
        ("--split-by", "thread"),
        ("--validation", 0.5, "--test", 0.5),
        ("--method", "preference", "--targets", "last"),
        ("--secrets", "hide"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(command, chats, options):
    result = command("prepare", "--file", chats, "--out", "set", *options)
    assert result.code == 2
    assert "Usage:" in result.err
    assert not Path("set").exists()


def test_check_tells_of_each_fault_and_shows_no_text(command, chats):
    good = command("check", chats)
    assert (good.code, good.err) == (0, "")
    assert good.out == f"{chats}: 60 examples, 0 with errors; 0 errors, 0 warnings.\n"
    with chats.open("a") as file:
        for content in ("SECRETWORD", "OTHERWORD"):
            file.write("\n" + json.dumps({"messages": [{"role": "user", "content": content}]}))
    bad = command("check", chats, "--rules", "azure")
    assert (bad.code, bad.err) == (1, "")
    assert f"{chats}: error: row 61: " in bad.out
    assert "2 with errors" in bad.out
    assert "WORD" not in bad.out
    [told, other] = command("check", chats, write_chats(Path("other.jsonl")), "--json").json
    assert (told["ok"], told["invalid"], sum(told["errors"].values())) == (False, 2, 2)
    assert [finding["row"] for finding in told["findings"]] == [61, 62]
    assert (other["ok"], other["findings"]) == (True, [])


def test_a_file_that_is_not_there_is_one_sentence(command):
    assert "nope.jsonl can't be read" in command("check", "nope.jsonl").error
