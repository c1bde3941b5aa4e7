"""Conversion on a real cluster of three nodes: the same bytes and errors as in one process."""

import importlib
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import orjson
import psutil
import pytest

from langchain_finetune import Convert, ConvertError, InvalidArgumentError, RunFileChatLoader, Split
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.workers import in_order, ray_tasks, ray_work
from langchain_finetune.convert.workers import rows as worker_rows
from langchain_finetune.errors import MissingExtraError
from langchain_finetune.loaders import file_parts
from support import worker_functions
from support.mixed_runs import outcome, said, write_corpus
from support.object_store import content_of, object_store, put, put_folder
from support.servers import free_port

pytest.importorskip("ray", reason="needs the extra ray, which has no wheel for this Python")


# Ray leaves its logs open in the process that starts it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TESTS = Path(__file__).parents[1]
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three nodes, and an object store; nothing of them is left afterwards."""
    from ray.cluster_utils import Cluster

    before = set(psutil.Process().children(recursive=True))
    # Short, as it holds sockets.
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch, object_store():
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # A token would be in the home of who tests.
        patch.setenv("NODE_MARKS", f"{folder}/marks")
        patch.setenv("PYTHONPATH", f"{TESTS}:{TESTS.parent / 'scripts'}")
        Path(folder, "marks").mkdir()
        cluster, port = Cluster(), free_port()
        cluster.add_node(**NODE, ray_client_server_port=port)
        try:
            for _ in range(2):
                cluster.add_node(**NODE)
            patch.setenv("RAY_ADDRESS", cluster.address)
            cluster.client = f"ray://127.0.0.1:{port}"
            yield cluster
        finally:
            cluster.shutdown()
    left = [each for each in psutil.Process().children(recursive=True) if each not in before]
    _, left = psutil.wait_procs(left, 20)
    for each in left:
        each.kill()
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.fixture(scope="module")
def connected(cluster):
    """This process as an app that uses Ray; the nodes' processes stay from test to test."""
    import ray

    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield ray
    ray.shutdown()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Many parts of little data, so that all nodes have some."""
    monkeypatch.setattr(file_parts, "PART_BYTES", 60_000)
    monkeypatch.setattr(worker_rows, "_ROWS", 7)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def zebulon(tmp_path):
    """A file in which one chat has a word of its own."""
    rows = [said(f"Room {number} is free. " * 60) for number in range(200)]
    rows[120] = said("It is Zebulon.")
    path = tmp_path / "chats.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


EVERYTHING = {
    "targets": "last",
    "fix": True,
    "truncated": "keep",
    "redact": worker_functions.redacted_there,
    "secrets": "redact",
    "duplicates": "drop_near",
    "contamination": "near",
    "too_long": "drop_oldest",
    "max_example_tokens": 1900,
    "split": Split(validation=0.2, test=0.2),
}


def prepare(*arguments, environment=()):
    command = [sys.executable, "-m", "langchain_finetune.cli", "prepare", *map(str, arguments)]
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **dict(environment)},
    )


def test_prepare_as_a_client_from_one_object_store_to_another(cluster, corpus):
    """The nodes read Parquet and documents themselves."""
    put("s3://ray")
    put_folder(corpus, "s3://ray/export")
    for name, on in (("one", []), ("many", ["--on", cluster.client])):
        arguments = [
            *("--file", "s3://ray/export/", "--out", f"s3://ray/{name}", "--test", 0.2),
            *("--duplicates", "drop_near", "--secrets", "redact", "--model", "nano", *on),
        ]
        ran = prepare(*arguments)
        if "Starting Ray client server failed" in ran.stderr:
            # Ray's process for a client ended as it began, in 3 of 13 runs; why is unknown.
            ran = prepare(*arguments)
        assert ran.returncode == 0, ran.stderr
    one, many = content_of("s3://ray/one"), content_of("s3://ray/many")
    assert len(one) == 6
    assert one == many


def test_a_killed_node_changes_no_byte(cluster, connected, corpus, tmp_path, monkeypatch):
    """With everything on; a node is killed while it converts, and its parts are done again."""
    lost = []
    tell = in_order.OrderedTasks.lost
    monkeypatch.setattr(
        in_order.OrderedTasks, "lost", lambda *given: lost.append(given[1:]) or tell(*given)
    )
    victim = min(cluster.worker_nodes, key=lambda node: node.unique_id)
    mark = Path(os.environ["NODE_MARKS"], victim.node_id)

    def kill():
        deadline = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        cluster.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    loader = RunFileChatLoader(corpus, where=worker_functions.wanted)
    target = Target("local", "nano")
    many = (loader | Convert(**EVERYTHING, on="ray")).invoke({})
    found = outcome(many, tmp_path / "many", target)
    killer.join()
    cluster.add_node(**NODE)
    assert mark.exists()
    assert lost
    settings = {**EVERYTHING, "redact": worker_functions.redacted}
    one = (loader | Convert(**settings)).invoke({})
    expected = outcome(one, tmp_path / "one", target)
    # The manifest names the function.
    named = (tmp_path / "many" / "manifest.json").read_text()
    told = named.replace("redacted_there", "redacted")
    assert told == (tmp_path / "one" / "manifest.json").read_text() != named
    del found["manifest.json"], expected["manifest.json"]
    assert found == expected
    assert len(expected["rejected"]) > 5


@pytest.mark.parametrize(
    ("settings", "loading"),
    [
        ({"method": "preference", "secrets": "redact"}, {"score": "user_score"}),
        ({"secrets": "redact"}, {"calls": "last"}),
    ],
    ids=["pairs", "folding"],
)
def test_what_this_process_reads_is_converted_by_nodes(
    connected, corpus, tmp_path, settings, loading
):
    loader = RunFileChatLoader(corpus, **loading)
    found = []
    for name, on in (("one", None), ("many", "ray")):
        examples = (loader | Convert(**settings, on=on)).invoke({})
        found.append(outcome(examples, tmp_path / name, Target("local", "nano")))
    one, many = found
    assert one == many


def test_an_error_names_its_chat_as_in_one_process(connected, zebulon):
    texts = []
    for on in (None, "ray"):
        with pytest.raises(ConvertError) as caught:
            list(Convert(redact=worker_functions.broken, on=on).invoke(RunFileChatLoader(zebulon)))
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert f"{zebulon}:121" in texts[1]
    assert "Zebulon" not in texts[1]


def test_rows_that_kill_each_process_are_named(connected, zebulon):
    with pytest.raises(ConvertError) as caught:
        list(Convert(redact=worker_functions.deadly, on="ray").invoke(RunFileChatLoader(zebulon)))
    told = str(caught.value)
    assert "A process of Ray ended 3 times (WorkerCrashedError) as it converted rows " in told
    first, last = re.search(r"rows (\d+) to (\d+) of ", told).groups()
    assert int(first) <= 121 <= int(last)


def test_functions_that_nodes_can_not_import_are_named(connected, zebulon, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def redact(text):\n    return text\n")
    monkeypatch.syspath_prepend(tmp_path)
    redact = importlib.import_module("only_here").redact
    with pytest.raises(ConvertError, match=r"can't import a function or a class of yours \(No mod"):
        list(Convert(redact=redact, on="ray").invoke(RunFileChatLoader(zebulon)))


def test_nodes_have_the_same_packages_and_count_alike(connected, zebulon, monkeypatch):
    loader = RunFileChatLoader(zebulon)
    monkeypatch.setattr(ray_tasks, "_DECIDE", ("langchain-finetune", "no-such-package"))
    monkeypatch.setattr(ray_tasks, "_version", lambda name: "9.9")
    with pytest.raises(ConvertError) as caught:
        list(Convert(on="ray").invoke(loader))
    told = str(caught.value)
    assert told.startswith(f"The node {socket.gethostname()} has langchain-finetune 0.")
    assert "and this machine 9.9: install the same versions on all nodes" in told
    monkeypatch.setattr(ray_tasks, "_DECIDE", ("no-such-package",))
    with pytest.raises(ConvertError, match="has no-such-package no such package"):
        list(Convert(on="ray").invoke(loader))
    monkeypatch.setattr(ray_tasks, "_DECIDE", ())
    monkeypatch.setattr("langchain_finetune.convert.workers.work._SAMPLE", {"messages": []})
    with pytest.raises(ConvertError, match="counts the tokens of nano otherwise than this machine"):
        list(Convert(model="nano", on="ray").invoke(loader))


def test_a_cluster_without_cpus_is_not_waited_for_for_ever(connected, zebulon, monkeypatch):
    monkeypatch.setattr(ray_tasks, "_cpus", lambda _: 0)
    monkeypatch.setattr(ray_tasks, "_LOOK_S", 0.2)
    monkeypatch.setattr(ray_tasks, "_WITHOUT_CPU_S", 0.5)
    with pytest.raises(ConvertError, match="has had no node with a CPU"):
        list(Convert(redact=worker_functions.slow, on="ray").invoke(RunFileChatLoader(zebulon)))


def test_who_stops_reading_leaves_no_text(connected, zebulon, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = iter(Convert(on="ray").invoke(RunFileChatLoader(zebulon)))
    next(rows)
    rows.close()
    assert [path for path in tmp_path.iterdir() if path.name != zebulon.name] == []
    assert connected.is_initialized()  # It is the app's connection.


def test_a_defect_is_told_without_its_text():
    class Work:
        def __call__(self, data):
            raise KeyError("Zebulon")

    ray_work._loaded.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_work, "_loaded", lambda _: (Work(), ""))
        data = (0).to_bytes(8)
        with pytest.raises(ConvertError) as caught:
            ray_work.made_of(b"", data, "", "The node a")
    assert "Zebulon" not in str(caught.value)


@pytest.mark.parametrize("on", ["dask", "ray:", "ray://head", "http://head:10001"])
def test_other_places_are_refused(on):
    with pytest.raises(InvalidArgumentError, match="on must be 'ray' or 'ray://HEAD:10001'"):
        Convert(on=on)
    with pytest.raises(InvalidArgumentError, match="on and workers exclude each other"):
        Convert(on="ray", workers=2)


def test_a_head_that_does_not_answer_is_named_at_once(zebulon):
    port, begun = free_port(), time.monotonic()
    with pytest.raises(ConvertError) as caught:
        list(Convert(on=f"ray://127.0.0.1:{port}").invoke(RunFileChatLoader(zebulon)))
    assert f"The head of Ray at 127.0.0.1:{port} can't be reached" in str(caught.value)
    assert time.monotonic() - begun < 15


def test_a_missing_extra_is_named(zebulon, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"Converting on ray needs ray: run pip install"):
        list(Convert(on="ray").invoke(RunFileChatLoader(zebulon)))


@pytest.mark.parametrize("how", ["good", "interrupted"])
def test_a_cluster_of_one_machine_is_started_and_ended(cluster, tmp_path, how):
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    rows = [
        said(f"Room {number} is free. " * 60) for number in range(200 if how == "good" else 60_000)
    ]
    (tmp_path / "chats.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    command = [sys.executable, "-m", "langchain_finetune.cli", "prepare", "--on", "ray"]
    command += ["--file", tmp_path / "chats.jsonl", "--out", tmp_path / "set"]
    own = {"RAY_ADDRESS": "", "RAY_TMPDIR": str(folder), "TMPDIR": str(folder)}
    with subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE) as running:
        if how == "interrupted":
            deadline = time.monotonic() + 60
            while not list(folder.glob("langchain-finetune-ray-*/*.done")):
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=90)[1].decode()
    assert running.returncode == (0 if how == "good" else 130), told
    assert "Traceback" not in told
    assert (tmp_path / "set" / "train.jsonl").exists() is (how == "good")
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(folder) in command] == []
    assert [path.name for path in folder.iterdir()] == ["ray"]  # Its logs.
    shutil.rmtree(folder)


def test_no_text_is_in_the_records_of_ray(cluster):
    """After all tests above, which have this word in most of their chats."""
    logs = [path for path in Path(os.environ["RAY_TMPDIR"]).rglob("logs/**/*") if path.is_file()]
    assert len(logs) > 5
    for path in logs:
        text = path.read_bytes()
        assert b"Zebulon" not in text, path
        assert b"harbour" not in text, path
        assert b"Room 7" not in text, path
