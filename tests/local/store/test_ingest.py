"""What comes in: any order, any number, and nothing that should not."""

import json
from uuid import UUID

import httpx
import pytest
import zstandard

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import bodies
from langchain_finetune.local.store.bodies import decompressed, multipart
from langchain_finetune.local.store.run_changes import run_change

RUN, ROOT = str(UUID(int=1)), str(UUID(int=2))
POST = {
    "id": RUN,
    "trace_id": RUN,
    "name": "model",
    "run_type": "llm",
    "start_time": "2026-11-01T12:00:00Z",
    "dotted_order": f"20261101T120000000000Z{RUN}",
    "session_name": "app",
    "tags": ["post"],
    "inputs": {"a": 1},
    "extra": {"metadata": {"from": "post"}},
}
PATCH = {
    "id": RUN,
    "trace_id": RUN,
    "end_time": "2026-11-01T12:00:01Z",
    "outputs": {"b": 2},
    "inputs": None,
    "tags": ["patch"],
    "extra": {"metadata": {"from": "patch"}},
}


def form(*parts, boundary="line"):
    """A multipart body of (name, JSON value) parts."""
    lines = []
    for name, value in parts:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        lines.append(head.encode() + b"Content-Type: application/json\r\n\r\n" + data + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def send(server, body, path="/runs/multipart", **headers):
    kind = {"Content-Type": "multipart/form-data; boundary=line"}
    return httpx.post(server.url + path, content=body, headers=kind | headers)


def read(server):
    answer = httpx.get(f"{server.url}/runs/{RUN}")
    return answer.json() if answer.status_code == 200 else answer.status_code


@pytest.mark.parametrize(
    "order", ["post patch", "patch post", "post patch post", "patch post patch"]
)
def test_post_and_patch_come_in_any_order(store, order):
    bodies = {"post": POST, "patch": PATCH}
    for kind in order.split():
        store.runs.apply([run_change(kind, bodies[kind])])
    row = store.runs.get(RUN).row
    assert row["status"] == "success"
    assert json.loads(row["inputs"]) == {"a": 1}
    assert json.loads(row["outputs"]) == {"b": 2}
    assert json.loads(row["tags"]) == ["patch"]
    assert json.loads(row["metadata"]) == {"from": "patch"}


def test_a_run_shows_once_its_post_has_come(server):
    assert httpx.patch(f"{server.url}/runs/{RUN}", json=PATCH).status_code == 202
    assert read(server) == 404
    assert httpx.post(f"{server.url}/runs", json=POST).status_code == 202
    assert read(server)["outputs"] == {"b": 2}


def test_multipart_parts_of_one_run_are_put_together(server):
    body = form(
        (f"post.{RUN}", {key: POST[key] for key in POST if key not in {"inputs", "extra"}}),
        (f"post.{RUN}.inputs", {"text": "--line\r\n ä"}),
        (f"post.{RUN}.events", [{"name": "new_token", "time": "2026-11-01T12:00:00.5Z"}]),
        (f"patch.{RUN}", {"end_time": "2026-11-01T12:00:02Z"}),
        (f"patch.{RUN}.error", "broken"),
        (f"attachment.{RUN}.photo", b"\x00\xff"),
        (f"feedback.{ROOT}", {"id": ROOT, "run_id": RUN, "key": "user_score", "score": 1}),
    )
    assert send(server, body).status_code == 202
    run = read(server)
    assert run["inputs"] == {"text": "--line\r\n ä"}
    assert (run["error"], run["status"]) == ("broken", "error")
    assert run["first_token_time"] == "2026-11-01T12:00:00.500000+00:00"
    assert run["feedback_stats"]["user_score"]["n"] == 1


def test_all_that_a_busy_client_has_gathered_is_taken(server):
    """LangSmith's client sends its whole buffer, and drops what is refused."""
    ids = [str(UUID(int=place + 10)) for place in range(2_000)]
    parts = []
    for each in ids:
        order = f"20261101T120000000000Z{each}"
        parts.append((f"post.{each}", POST | {"id": each, "trace_id": each, "dotted_order": order}))
        parts += [(f"post.{each}.{name}", {"a": 1}) for name in ("inputs", "outputs", "extra")]
        parts.append((f"patch.{each}", {"end_time": "2026-11-01T12:00:02Z"}))
        parts.append((f"patch.{each}.outputs", {"b": 2}))
    assert send(server, form(*parts)).status_code == 202
    for each in (ids[0], ids[-1]):
        assert httpx.get(f"{server.url}/runs/{each}").json()["outputs"] == {"b": 2}


def test_trace_and_order_are_made_where_a_client_leaves_them_out(store):
    root = {"id": ROOT, "name": "shop", "run_type": "chain", "start_time": 1_793_534_400_000}
    child = {"id": RUN, "name": "model", "run_type": "llm", "parent_run_id": ROOT}
    store.runs.apply([run_change("post", root), run_change("post", child)])
    row = store.runs.get(RUN).row
    assert row["trace_id"] == ROOT
    assert row["dotted_order"].startswith(f"20261101T120000000000Z{ROOT}.")
    assert row["dotted_order"].endswith(f"Z{RUN}")


def test_data_is_stored_and_never_revived(server):
    evil = {"lc": 1, "type": "secret", "id": ["PATH"]}
    run = POST | {"inputs": {"messages": [[evil]]}, "serialized": evil}
    assert httpx.post(f"{server.url}/runs", json=run).status_code == 202
    assert read(server)["inputs"] == {"messages": [[evil]]}
    assert read(server)["serialized"] == evil


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "id is required"),
        ({"id": "1"}, "id must be a UUID"),
        ({"name": ""}, "needs a name"),
        ({"name": 1}, "name must be"),
        ({"start_time": "noon"}, "start_time must be a time"),
        ({"tags": "web"}, "tags must be"),
        ({"inputs": "text"}, "inputs must be an object"),
        ({"events": {}}, "events must be a list"),
        ({"events": ["start"]}, "events must be a list of objects"),
        ({"start_time": "0001-01-01T00:00:00+14:00"}, "start_time must be a time"),
        ({"dotted_order": "first"}, "dotted_order must be"),
        ({"extra": {"metadata": nested(300)}}, "nested too deep"),
        ({"inputs": nested(300)}, "inputs is nested too deep"),
        ({"session_id": RUN}, "no project"),
    ],
)
def test_a_malformed_run_is_refused_with_one_sentence(server, change, message):
    answer = httpx.post(f"{server.url}/runs", json=POST | change)
    assert answer.status_code in {400, 404}
    assert message in answer.json()["error"]["message"]


def test_a_batch_is_kept_whole_or_not_at_all(server):
    body = {"post": [POST, {"id": ROOT}]}
    assert httpx.post(f"{server.url}/runs/batch", json=body).status_code == 400
    assert read(server) == 404
    assert httpx.post(f"{server.url}/runs/batch", json={"post": 1}).status_code == 400
    assert httpx.post(f"{server.url}/runs/batch", json=[]).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        form((f"post.{RUN}", b"{")),
        form((f"post.{RUN}", [])),
        form((f"post.{RUN}.inputs", b"{")),
        form((f"post.{RUN}.colour", {})),
        form(("post.x", POST)),
        form(("run", POST)),
        form(("feedback.1", b"{")),
        form((f"post.{RUN}", POST), (f"feedback.{ROOT}", {"id": ROOT})),
        form((f"post.{RUN}", POST), (f"attachment.{ROOT}.photo", b"x")),
        form((f"post.{RUN}", POST), (f"attachment.{RUN}", b"x")),
        form((f"post.{RUN}", POST))[:-10],
        form((f"post.{RUN}", POST), boundary="other"),
    ],
)
def test_a_malformed_multipart_body_is_refused(server, body):
    answer = send(server, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(".")
    assert read(server) == 404


def test_the_type_and_the_encoding_must_be_known(server):
    body = form((f"post.{RUN}", POST))
    assert send(server, body, **{"Content-Type": "application/json"}).status_code == 400
    assert send(server, body, **{"Content-Type": "multipart/form-data"}).status_code == 400
    assert send(server, body, **{"Content-Encoding": "br"}).status_code == 415
    assert send(server, body, **{"Content-Encoding": "zstd"}).status_code == 400
    packed = zstandard.compress(body)
    assert send(server, packed[:-5], **{"Content-Encoding": "zstd"}).status_code == 400
    assert send(server, packed, **{"Content-Encoding": "zstd"}).status_code == 202


def test_a_bomb_is_not_unpacked(server):
    bomb = zstandard.compress(bytes(bodies.MAX_BODY_BYTES + 1))
    assert len(bomb) < 20_000
    answer = send(server, bomb, **{"Content-Encoding": "zstd"})
    assert answer.status_code == 413
    with pytest.raises(ApiError, match="larger than"):
        decompressed(bomb * 1000, "zstd")


def test_a_large_body_is_refused(server, monkeypatch):
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 1000)
    assert send(server, bytes(1001)).status_code == 413
    for path in ("/runs", "/runs/batch", "/runs/query", "/feedback", "/examples/bulk"):
        assert httpx.post(server.url + path, content=bytes(1001)).status_code == 413


def test_frames_that_follow_each_other_are_one_body():
    assert decompressed(zstandard.compress(b"a") + zstandard.compress(b"b"), "zstd") == b"ab"


def test_many_parts_of_any_size_are_split():
    parts = [(f"part {number}", bytes(number)) for number in range(3000)]
    found = multipart(form(*parts), 'multipart/form-data; boundary="line"')
    assert [(part.name, part.data) for part in found] == parts


def test_no_run_data_is_logged(server, caplog):
    caplog.set_level("DEBUG", logger="langchain_finetune")
    secret = {f"attachment.{RUN}.x": b"tea leaves", f"post.{RUN}.colour": {"tea": "leaves"}}
    send(server, form((f"post.{RUN}", POST), *list(secret.items())[:1]))
    send(server, form((f"post.{RUN}", POST), *secret.items()))
    assert "leaves" not in caplog.text


def test_half_a_character_costs_no_more_than_itself(server):
    """`JSON.stringify` writes a cut emoji as an escape, which is no text in UTF-8."""
    runs = [
        {**POST, "id": run_id, "trace_id": run_id, "dotted_order": f"Z{run_id}", "inputs": inputs}
        for run_id, inputs in ((RUN, {"half \ud83d": ["whole \U0001f600"]}), (ROOT, {"a": 1}))
    ]
    batch = json.dumps({"post": runs, "patch": []}).encode()
    assert b"\\ud83d" in batch
    assert httpx.post(f"{server.url}/runs/batch", content=batch).status_code == 202
    assert read(server)["inputs"] == {"half \ufffd": ["whole \U0001f600"]}
    assert httpx.get(f"{server.url}/runs/{ROOT}").json()["inputs"] == {"a": 1}


def test_half_a_character_in_a_part_costs_no_more_than_itself(server):
    body = form(
        (f"post.{RUN}", {key: POST[key] for key in POST if key not in {"inputs", "extra"}}),
        (f"post.{RUN}.inputs", b'{"text": "half \\ud83d, whole \\ud83d\\ude00"}'),
        (f"patch.{RUN}", {"end_time": "2026-11-01T12:00:02Z"}),
        (f"patch.{RUN}.outputs", b'{"text": "raw half \xed\xa0\xbd"}'),
    )
    assert send(server, body).status_code == 202
    assert read(server)["inputs"] == {"text": "half \ufffd, whole \U0001f600"}
    assert read(server)["outputs"] == {"text": "raw half \ufffd"}


@pytest.mark.parametrize("data", [b'{"a": "\\ud83d"', b'"\\ud83d" NaN', b"[NaN]", b'"\xff"'])
def test_what_is_no_json_is_still_refused(server, data):
    answer = httpx.post(f"{server.url}/runs/batch", content=data)
    assert (answer.status_code, "not valid JSON" in answer.text) == (400, True)
