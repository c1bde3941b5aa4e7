"""The spool: one pass, a folder named by its content, all or nothing."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import (
    BudgetError,
    Convert,
    ConvertError,
    FineTune,
    RunFileChatLoader,
    RunQuery,
    Split,
)
from langchain_finetune.checks import OPENAI
from langchain_finetune.convert.estimate import Budget
from langchain_finetune.convert.report.conversion_report import ConversionReport
from langchain_finetune.convert.rows import Target
from langchain_finetune.engines import ENGINES, engine_of
from langchain_finetune.finetune import training_files
from langchain_finetune.finetune.training_files import spool

BESIDE = {"manifest.json", "sources.jsonl", "report.json", "report.html"}


def chats(count):
    return [
        {
            "messages": [HumanMessage(f"Question {number}"), AIMessage("Yes")],
            "source": {"run_id": f"r{number}", "trace_id": f"t{number}"},
        }
        for number in range(count)
    ]


def spooled(folder, count=40, *, budget=Budget(), **split):  # noqa: B008 - it is frozen
    examples = Convert(split=split or None).invoke(chats(count))
    return spool(examples, folder, target=Target("local", "nano"), budget=budget)


def lines(file):
    return [json.loads(line) for line in file.path.read_bytes().splitlines()]


def test_a_set_of_files_is_named_by_its_content(tmp_path):
    made = spooled(tmp_path)
    data = made.training.path.read_bytes()
    assert made.validation is made.test is None
    assert made.training.examples == 40
    assert hashlib.sha256(data).hexdigest() == made.training.sha256
    manifest = (made.folder / "manifest.json").read_bytes()
    assert made.folder == tmp_path / hashlib.sha256(manifest).hexdigest()[:16]
    assert {path.name for path in made.folder.iterdir()} == {"train.jsonl", *BESIDE}
    for path in (made.folder, *made.folder.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [made.folder]


def test_the_same_data_gives_the_same_files(tmp_path):
    first = spooled(tmp_path, validation=0.3)
    kept = {path: path.read_bytes() for path in first.folder.iterdir()}
    assert spooled(tmp_path, validation=0.3) == first
    assert {path: path.read_bytes() for path in first.folder.iterdir()} == kept
    assert list(tmp_path.iterdir()) == [first.folder]


def test_many_at_once_give_one_set(tmp_path, monkeypatch):
    together = Barrier(8)
    replace_path = Path.replace

    def replace_together(path, target):
        if path.is_dir():
            together.wait(60)
        return replace_path(path, target)

    monkeypatch.setattr(Path, "replace", replace_together)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: spooled(tmp_path, validation=0.3), range(8)))
    assert made == [made[0]] * 8
    assert list(tmp_path.iterdir()) == [made[0].folder]
    assert len(lines(made[0].training)) == made[0].training.examples


def test_parts_are_files(tmp_path):
    made = spooled(tmp_path, 200, validation=0.25, test=0.25)
    parts = [made.training, made.validation, made.test]
    assert [file.path.name for file in parts] == ["train.jsonl", "validation.jsonl", "test.jsonl"]
    assert sum(file.examples for file in parts) == 200
    said = [str(line) for file in parts for line in lines(file)]
    assert len(set(said)) == 200
    assert made.report.parts == {
        "train": made.training.examples,
        "validation": made.validation.examples,
        "test": made.test.examples,
    }


def test_sources_name_each_line_and_each_chat_left_out(tmp_path):
    unanswered = {"messages": [HumanMessage("Anybody?")], "source": {"run_id": "lost"}}
    examples = Convert(split=Split(test=0.4)).invoke([*chats(30), unanswered])
    made = spool(examples, tmp_path, target=Target())
    sources = [
        json.loads(line) for line in (made.folder / "sources.jsonl").read_bytes().splitlines()
    ]
    assert sources.pop() == {"part": None, "id": "lost", "left_out": "no_assistant_message"}
    files = {"train": lines(made.training), "test": lines(made.test)}
    for source in sources:
        line = files[source["part"]][source["line"] - 1]
        assert f"Question {source['run_id'][1:]}" == line["messages"][0]["content"]
        assert source["trace_id"] == f"t{source['id'][1:]}"


def test_the_manifest_says_what_the_files_are_made_of(tmp_path):
    runs = tmp_path / "runs.jsonl"
    line = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}
    runs.write_text("\n".join(json.dumps(line) for _ in range(12)))
    examples = (RunFileChatLoader(str(runs)) | Convert(max_tokens=10**6)).invoke({})
    made = spool(examples, tmp_path / "spool", target=Target("local", "nano"))
    said = json.loads((made.folder / "manifest.json").read_text())
    assert said["query"] == {"loader": "RunFileChatLoader", "path": str(runs)}
    assert said["convert"] == {"max_tokens": 10**6}
    assert said["target"] == {"engine": "local", "model": "nano"}
    assert said["package"].startswith("langchain-finetune ")
    assert said["kept"] == 12
    assert said["left_out"] == {}
    for name, file in said["files"].items():
        data = (made.folder / file["name"]).read_bytes()
        assert file == {
            "name": f"{name}.jsonl",
            "lines": 12,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    assert set(said["files"]) == {"train", "sources"}


_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.chats import chats
from langchain_finetune import Convert, Split
from langchain_finetune.convert.rows import Target
from langchain_finetune.finetune import training_files
from langchain_finetune.finetune.training_files import spool
examples = Convert(split=Split(validation=0.1, test=0.1)).invoke(chats(400))
spool(examples, Path(sys.argv[1]), target=Target("openai", "gpt-4.1-mini"))
"""


def test_processes_with_other_hash_seeds_give_the_same_bytes(tmp_path):
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", _PROCESS, str(folder), "tests"],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        [made] = folder.iterdir()
        found.append({path.name: path.read_bytes() for path in made.iterdir()} | {"": made.name})
    assert found[0] == found[1]
    assert set(found[0]) == {"train.jsonl", "validation.jsonl", "test.jsonl", "", *BESIDE}


def test_the_report_lies_beside_and_holds_no_text(tmp_path):
    made = spooled(tmp_path)
    text = (made.folder / "report.json").read_text()
    assert ConversionReport.model_validate_json(text) == made.report
    assert "Question" not in text + (made.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "no training example"), (1, "1 training example"), (9, "9 training examples")],
)
def test_too_few_examples_are_an_error_that_leaves_nothing(tmp_path, count, told):
    with pytest.raises(ConvertError, match=f"gives {told}; at least 10 are needed"):
        spooled(tmp_path, count)
    assert list(tmp_path.iterdir()) == []


def test_the_error_says_what_was_left_out_and_kept_apart(tmp_path):
    unanswered = [{"messages": [HumanMessage("Anybody?")]}] * 3
    examples = Convert(split=Split(test=0.9)).invoke([*chats(20), *unanswered])
    with pytest.raises(ConvertError, match=r"\d+ more were kept for test.*3 no_assistant_message"):
        spool(examples, tmp_path, target=Target())


@pytest.mark.parametrize("method", ["preference", "unpaired_preference"])
def test_without_scores_the_error_says_how_to_give_them(tmp_path, method):
    with pytest.raises(ConvertError) as refused:
        spool(Convert(method=method).invoke(chats(12)), tmp_path, target=Target())
    told = str(refused.value)
    query = RunQuery.model_validate_json(
        re.search(r"--query and a file such as (\{.*\});", told)[1]
    )
    assert query.feedback[0].use_score
    assert 'RunFileChatLoader(path, score="user_score")' in told


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_empty_part_that_was_asked_for_is_an_error(tmp_path, part):
    with pytest.raises(ConvertError, match=rf"No example fell into the {part} part"):
        spooled(tmp_path, 20, **{part: 0.0001})
    assert list(tmp_path.iterdir()) == []


def test_a_broken_budget_leaves_nothing(tmp_path):
    with pytest.raises(BudgetError, match="max_tokens=5"):
        spooled(tmp_path, budget=Budget(max_tokens=5))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    def write(_writer, _line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(training_files.JsonlWriter, "write", write)
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    step = FineTune(model="m", engine="openai", base_url="http://127.0.0.1:9/v1", api_key="k")
    for make in (
        lambda: spooled(tmp_path / "spool"),
        lambda: step.invoke(Convert().invoke(chats(20))),
    ):
        with pytest.raises(
            ConvertError, match=r"is full: nothing was sent.* Make room on it, and run"
        ):
            make()
        assert list((tmp_path / "spool").iterdir()) == []


def test_a_test_part_alone_is_no_training_data(tmp_path):
    examples = Convert(split=Split(test=0.5)).invoke(chats(100)).part("test")
    with pytest.raises(ConvertError, match="no training example"):
        spool(examples, tmp_path, target=Target())


def test_a_file_larger_than_the_engine_takes_leaves_nothing(tmp_path, monkeypatch):
    small = replace(engine_of("openai"), profile=replace(OPENAI, max_file_bytes=1000))
    monkeypatch.setitem(ENGINES, "openai", small)
    examples = Convert().invoke(chats(40))
    with pytest.raises(ConvertError, match=r"train part can't be sent \(file_too_large\)"):
        spool(examples, tmp_path, target=Target("openai"))
    assert not list(tmp_path.iterdir())
    assert spool(examples, tmp_path, target=Target("local")).training.examples == 40
