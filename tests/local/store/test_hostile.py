"""Requests of somebody who means harm: each is refused in a sentence, and nothing breaks."""

import base64
import gzip
import json
from uuid import UUID

import httpx
import pytest
import zstandard

from langchain_finetune.local import sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import bodies, example_formats
from langchain_finetune.local.store.bodies import MAX_PARTS, decompressed, multipart
from langchain_finetune.local.store.values import MAX_VALUES, loads

RUN, DATASET = str(UUID(int=1)), str(UUID(int=4))
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def nested(levels):
    return "[" * levels + "]" * levels


def ask(server, method, path, **options):
    answer = httpx.request(method, server.url + path, timeout=60, **options)
    fault = answer.json().get("error") if answer.status_code >= 400 else None
    return answer.status_code, fault and fault["message"]


def cursor(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    "given",
    [
        cursor(10**18, 1, 2),
        cursor(2**63, "x"),
        cursor(-(10**30), "x"),
        cursor(10**40, "x"),
        cursor(None, "x"),
        cursor("1", "x"),
        base64.urlsafe_b64encode(nested(100_000).encode()).decode(),
        "é",
        "=",
        "\x00",
    ],
)
def test_cursors_that_nobody_gave(server, given):
    for path, body in {
        "/runs/query": {"id": [RUN]},
        "/v2/runs/query": {"project_ids": [RUN]},
        "/v2/threads/query": {"project_id": RUN},
    }.items():
        status, message = ask(server, "POST", path, json=body | {"cursor": given})
        assert (status, message) == (400, "The cursor is not one of this server.")


def test_ids_that_are_nested_deeper_than_python_calls(server):
    for levels in (900, 1000, 1020):
        body = f'{{"id": {nested(levels)}, "name": "a", "run_type": "llm"}}'
        assert ask(server, "POST", "/runs", content=body)[0] == 400
        body = f'{{"key": "k", "run_id": {nested(levels)}}}'
        assert ask(server, "POST", "/feedback", content=body)[0] == 400


@pytest.mark.parametrize(
    "asked", [f'{{"a": {nested(400)}}}', json.dumps(dict.fromkeys(map(str, range(1500)), 1))]
)
def test_metadata_that_asks_for_too_much(server, asked):
    assert ask(server, "GET", "/datasets", params={"metadata": asked})[0] == 400
    where = {"dataset": DATASET, "metadata": asked}
    assert ask(server, "GET", "/examples", params=where)[0] == 400
    text = f"has(metadata, '{asked}')"
    assert ask(server, "POST", "/runs/query", json={"id": [RUN], "filter": text})[0] == 400


def test_scores_that_no_sum_can_hold(server):
    run = {"id": RUN, "name": "a", "run_type": "llm"}
    assert ask(server, "POST", "/runs", json=run)[0] == 202
    said = {"run_id": RUN, "key": "k"}
    for score in (1.7e308, -1.7e308, 10**200):
        status, message = ask(server, "POST", "/feedback", json=said | {"score": score})
        assert (status, message) == (400, "score must be from -1e+100 to 1e+100.")
    for score in (1e100, -1e100, 1e100):
        assert ask(server, "POST", "/feedback", json=said | {"score": score})[0] == 200
    assert ask(server, "GET", f"/runs/{RUN}")[0] == 200


def test_sql_and_paths_in_every_place_are_only_text(server, pytestconfig):
    evil = "'; DROP TABLE runs; -- \"../../api_key\x00%00"
    # A server's texts hold no null character.
    kept = evil.replace("\0", "\ufffd") if pytestconfig.getoption("--postgres") else evil
    for path in ("/sessions", "/datasets", "/annotation-queues"):
        status, _ = ask(server, "POST", path, json={"name": evil})
        assert status in {200, 409}
        found = httpx.get(server.url + path, params={"name": evil}).json()
        assert [each["name"] for each in found] == [kept]
    asked = {"id": [RUN], "filter": f"eq(name, {json.dumps(evil)})", "run_type": evil}
    assert ask(server, "POST", "/runs/query", json=asked)[0] == 200
    assert server.store._database.row("SELECT count(*) AS n FROM runs") == {"n": 0}


@pytest.mark.parametrize(
    "text",
    [
        "(" * 90_000,
        "and(" * 20_000,
        '"' * 90_000,
        'eq(name, "' + "\\" * 90_000,
        " " * 90_000 + "eq",
        "eq(name," + " " * 80_000 + "x" * 10_000,
        "eq(total_tokens, " + "9" * 80_000 + "x)",
        'gt(latency, "' + "9" * 80_000 + '")',
        'gt(latency, "5' + " " * 80_000 + 'x")',
        'eq(start_time, "' + "2" * 80_000 + '")',
    ],
    ids=range(10),
)
def test_filters_that_are_long_and_wrong_are_refused_at_once(server, text):
    status, message = ask(server, "POST", "/runs/query", json={"id": [RUN], "filter": text})
    assert status == 400
    assert len(message) < 200


def test_a_long_order_is_read_at_once(server):
    part = f"20261101T120000000000Z{RUN}"
    run = {"id": RUN, "name": "a", "run_type": "llm"}
    for order, status in ((".".join([part] * 20_000), 202), ((part + ".") * 20_000 + "x", 400)):
        assert ask(server, "POST", "/runs", json=run | {"dotted_order": order})[0] == status


def test_a_query_that_takes_long_is_given_up(server, monkeypatch):
    runs = [{"id": str(UUID(int=n)), "name": "a", "run_type": "llm"} for n in range(1, 300)]
    body = {"post": [run | {"inputs": {"text": "x" * 1000}} for run in runs]}
    assert ask(server, "POST", "/runs/batch", json=body)[0] == 202
    slow = "or(" + ", ".join(f'search("{n} is nowhere")' for n in range(150)) + ")"
    asked = {"id": [run["id"] for run in runs], "filter": slow}
    assert ask(server, "POST", "/runs/query", json=asked)[0] == 200
    monkeypatch.setattr(sqlite_readers, "MAX_SEARCH_S", 0)
    status, message = ask(server, "POST", "/runs/query", json=asked)
    assert (status, message) == (
        400,
        "The query takes longer than 0 s: narrow it, such as by time.",
    )
    monkeypatch.undo()
    assert ask(server, "POST", "/runs/query", json={"id": [RUN]})[0] == 200


def test_bodies_may_be_packed_on_every_route(server):
    body = json.dumps({"id": RUN, "name": "a", "run_type": "llm"}).encode()
    for name, packed in (("zstd", zstandard.compress(body)), ("gzip", gzip.compress(body))):
        headers = {"Content-Encoding": name}
        assert ask(server, "POST", "/runs", content=packed, headers=headers)[0] == 202
        damaged = packed[: len(packed) // 2]
        assert ask(server, "POST", "/runs", content=damaged, headers=headers)[0] == 400
        assert ask(server, "POST", "/runs", content=b"", headers=headers)[0] == 400
    status, message = ask(server, "POST", "/runs", content=body, headers={"Content-Encoding": "br"})
    assert (status, message) == (415, "Content-Encoding must be zstd or gzip, or absent.")


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_unpacking_stops_at_the_limit(monkeypatch, name):
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 2**21)
    pack = {"zstd": zstandard.compress, "gzip": gzip.compress}[name]
    assert decompressed(pack(bytes(2**21)), name) == bytes(2**21)
    for bomb in (pack(bytes(2**21 + 1)), pack(bytes(2**20)) * 1000):
        with pytest.raises(ApiError) as caught:
            decompressed(bomb, name)
        assert caught.value.status == 413


def test_a_window_that_would_take_much_memory_is_refused():
    settings = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    data = packed.compress(b"x" * 100) + packed.flush()
    with pytest.raises(ApiError) as caught:
        decompressed(data, "zstd")
    assert caught.value.status == 400


def test_small_json_that_would_take_much_memory(server):
    body = b"[" + b"[]," * MAX_VALUES + b"[]]"
    assert ask(server, "POST", "/runs/batch", content=body)[0] == 413
    with pytest.raises(ApiError):
        loads(b"[" + b"{}," * MAX_VALUES + b"{}]")
    assert loads(json.dumps("," * (MAX_VALUES - 1)).encode())


def test_many_tiny_parts(server):
    part = b'--x\r\nContent-Disposition: form-data; name="attachment.a.b"\r\n\r\n1\r\n'
    assert len(multipart(part * MAX_PARTS + b"--x--", FORM["Content-Type"])) == MAX_PARTS
    body = part * (MAX_PARTS + 1) + b"--x--"
    assert ask(server, "POST", "/runs/multipart", content=body, headers=FORM)[0] == 413


def test_a_part_with_endless_headers(server):
    for head in (b"X: " + b"y" * 10**6, b"y" * 10**6, b"X: y\r\n" * 10_000):
        body = b"--x\r\n" + head + b"\r\n\r\n1\r\n--x--"
        assert ask(server, "POST", "/runs/multipart", content=body, headers=FORM)[0] == 400


@pytest.mark.parametrize(
    ("rows", "status", "why"),
    [
        (["x" * 200_000], 400, "field larger than field limit"),
        (['"white'], 400, "unexpected end of data"),
        (["white"] * 11, 413, "more than 10 rows"),
    ],
)
def test_a_csv_file_is_refused_with_the_reason(server, monkeypatch, rows, status, why):
    monkeypatch.setattr(example_formats, "MAX_ROWS", 10)
    form = {
        "files": {"file": ("teas.csv", "\n".join(["tea", *rows]))},
        "data": {"input_keys": "tea"},
    }
    refused = httpx.post(f"{server.url}/datasets/upload", **form)
    assert refused.status_code == status
    assert why in refused.json()["error"]["message"]
