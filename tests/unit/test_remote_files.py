"""Files in an object store: read and written as those of this machine."""

import gzip
import hashlib
import json
import socket
import time

import orjson
import pytest

from langchain_finetune import Convert, LoadError, RunFileChatLoader, Split, remote_files
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.loaders import file_parts
from langchain_finetune.loaders.file_formats import find_files
from support.command_line import runs_command
from support.mixed_runs import outcome, said, write_corpus
from support.object_store import content_of, object_store, put, put_folder


@pytest.fixture(scope="module")
def store():
    with object_store() as found:
        yield found


@pytest.fixture(scope="module")
def bucket(store):
    put("s3://chats")
    return "s3://chats"


@pytest.fixture
def run(monkeypatch, capsys):
    return runs_command(monkeypatch, capsys)


def lines(count, first=0):
    rows = [said(f"Room {number} is free.", f"{number}?") for number in range(first, first + count)]
    return b"\n".join(map(orjson.dumps, rows))


@pytest.mark.parametrize("workers", [1, 2])
def test_chats_are_those_of_the_same_folder_on_a_disk(bucket, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(file_parts, "PART_BYTES", 60_000)
    folder = tmp_path / "export"
    folder.mkdir()
    write_corpus(folder)
    address = f"{bucket}/corpus{workers}"
    put_folder(folder, address)
    settings = {"duplicates": "drop_near", "split": Split(test=0.3), "workers": workers}
    found = []
    for number, source in enumerate((str(folder), address)):
        examples = (RunFileChatLoader(source) | Convert(**settings)).invoke({})
        made = outcome(examples, tmp_path / f"set{number}")
        # What tells the chats' places is compared as if these were the same.
        placed = {name: repr(made.pop(name)) for name in ("rejected", "findings")}
        for name in ("sources.jsonl", "report.json", "report.html"):
            del made[name]
            placed[name] = (tmp_path / f"set{number}" / name).read_text()
        del made["manifest.json"]  # It has the SHA-256 of the sources.
        found.append((made, {name: text.replace(source, "") for name, text in placed.items()}))
    assert found[0] == found[1]
    assert len(examples.rejected) > 5


def test_a_parquet_file_is_read_by_few_requests(store, bucket, tmp_path):
    write_corpus(tmp_path)
    put(f"{bucket}/e.parquet", (tmp_path / "e.parquet").read_bytes())
    store.requests.clear()
    assert len(list(RunFileChatLoader(f"{bucket}/e.parquet").invoke({}))) == 30
    # It has eight row groups of a dozen columns, and is read twice.
    assert len([each for each in store.requests if each.startswith("GET /chats/e.")]) < 10


def test_files_of_a_folder_are_those_that_a_disk_would_give(bucket, tmp_path):
    names = ["a.jsonl", "a-b/c.jsonl", "a/b.jsonl", "day=01/e f#1.jsonl.gz", "a/z.txt", "B.jsonl"]
    names += ["_log/x.jsonl", ".hidden.jsonl", "a/_x.json"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(lines(1)) if name.endswith("gz") else lines(1))
    put_folder(tmp_path, f"{bucket}/order")
    local = [str(file.relative_to(tmp_path)) for file in find_files([tmp_path])]
    for address in (f"{bucket}/order", f"{bucket}/order/"):
        found = [str(file).removeprefix(f"{bucket}/order/") for file in find_files([address])]
        assert found == local
        assert len(list(RunFileChatLoader(address).invoke({}))) == len(local) == 5
    # One file may have any name.
    assert len(list(RunFileChatLoader(f"{bucket}/order/a/z.txt").invoke({}))) == 1


def test_prepare_reads_and_writes_addresses(bucket, run, tmp_path):
    put(f"{bucket}/in/runs.jsonl", lines(40))
    out = f"{bucket}/sets/one"
    first = run("prepare", "--file", f"{bucket}/in/", "--out", out, "--test", 0.3, "--json")
    assert first.code == 0
    assert first.json["folder"] == out
    assert first.json["files"]["test"]["path"] == f"{out}/test.jsonl"
    made = content_of(out)
    assert set(made) == {
        *("manifest.json", "report.html", "report.json"),
        *("sources.jsonl", "test.jsonl", "train.jsonl"),
    }
    for file in json.loads(made["manifest.json"])["files"].values():
        assert hashlib.sha256(made[file["name"]]).hexdigest() == file["sha256"]
    # It takes the place of the older one, of which nothing is left.
    again = run("prepare", "--file", f"{bucket}/in/", "--out", f"{out}/")
    assert again.code == 0
    assert f"The files are in {out}; see" in again.out
    made = content_of(out)
    assert "test.jsonl" not in made
    assert json.loads(made["manifest.json"])["files"]["train"]["lines"] == 40
    # A set is not learnt from as a whole, which would train on its test part.
    refused = run("prepare", "--file", out, "--out", tmp_path / "set").error
    assert f"{out} is a set of training files" in refused
    assert f"name {out}/train.jsonl." in refused


def test_other_files_are_not_written_over_and_nothing_is_half_written(bucket, run):
    put(f"{bucket}/mine/train.jsonl", lines(1))
    put(f"{bucket}/in2/runs.jsonl", lines(40))
    refused = run("prepare", "--file", f"{bucket}/in2", "--out", f"{bucket}/mine").error
    assert f"{bucket}/mine holds other files than a set of training files" in refused
    assert set(content_of(f"{bucket}/mine")) == {"train.jsonl"}
    # A set whose writing was interrupted is written again.
    put(f"{bucket}/half/sources.jsonl", b"{}")
    assert run("prepare", "--file", f"{bucket}/in2", "--out", f"{bucket}/half").code == 0
    assert "manifest.json" in content_of(f"{bucket}/half")
    # Where too little was selected, the older set stays.
    before = content_of(f"{bucket}/half")
    put(f"{bucket}/few/runs.jsonl", lines(3))
    assert (
        "at least 10" in run("prepare", "--file", f"{bucket}/few", "--out", f"{bucket}/half").error
    )
    assert content_of(f"{bucket}/half") == before


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://chats/nothing-here", "There is no data file at s3://chats/nothing-here."),
        ("s3://no-such-bucket/runs", "There is no data file at s3://no-such-bucket/runs."),
    ],
)
def test_what_is_not_there_is_named(bucket, address, sentence):
    with pytest.raises(LoadError) as caught:
        list(RunFileChatLoader(address).invoke({}))
    assert str(caught.value).startswith(sentence)
    assert "testing-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["s3://AKIAKEY:hush@chats/runs", "s3://chats/runs?secret_key=hush", "s3:///runs"],
)
def test_addresses_with_keys_are_refused_without_telling_them(run, tmp_path, address):
    told = run("prepare", "--file", address, "--out", tmp_path / "set")
    assert "must be s3://BUCKET/NAME, without keys and settings" in told.error
    told = run("prepare", "--file", tmp_path, "--out", address)
    assert "without keys" in told.error
    assert "hush" not in told.out + told.err


def test_a_file_that_another_machine_lacks_is_named_with_it(tmp_path):
    part = file_parts.FilePart(str(tmp_path / "runs.parquet"), 1, 4, groups=[0])
    with pytest.raises(LoadError) as caught:
        list(file_parts.read_part(part))
    told = (
        f"runs.parquet is not on {socket.gethostname()}, which is to read it: use a path that all"
    )
    assert told in str(caught.value)


def test_patterns_are_refused():
    with pytest.raises(InvalidArgumentError, match="is a pattern, which only files of"):
        find_files(["s3://chats/*.jsonl"])


def test_a_damaged_file_is_named_after_what_could_be_read(bucket):
    whole = gzip.compress(lines(3000))
    put(f"{bucket}/damaged/a.jsonl.gz", whole[: len(whole) // 2])
    for workers in (1, 2):
        read = []
        with pytest.raises(LoadError, match=r"s3://chats/damaged/a.jsonl.gz is truncated"):
            read.extend(
                Convert(workers=workers).invoke(RunFileChatLoader(f"{bucket}/damaged/a.jsonl.gz"))
            )
        assert len(read) > 100


def test_a_store_that_does_not_answer_is_named_soon(store, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Nobody listens there.
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        remote_files._file_system.cache_clear()
        begun = time.monotonic()
        with pytest.raises(LoadError, match="AWS_ENDPOINT_URL"):
            list(RunFileChatLoader("s3://elsewhere/runs").invoke({}))
        assert time.monotonic() - begun < 60
    remote_files._file_system.cache_clear()
