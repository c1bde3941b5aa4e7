"""Bodies that would grow without end, sent to a whole engine: cut, while memory stays flat."""

import gzip
import http.client
import json
import socket
from pathlib import Path

import pytest
import zstandard

GIB = 2**30
FLAT = 6 * 64 * 2**20
"""What a body of the largest size takes, in its parts and all of its copies."""

TINY = b'--x\r\nContent-Disposition: form-data; name="attachment.a.b"\r\n\r\n1\r\n'
BOMBS = {
    # Frames of one gigabyte each, the last in one frame; gzip's members likewise.
    "zstd": ("zstd", zstandard.compress(bytes(2**26)) * 64),
    "one zstd": ("zstd", None),
    "gzip": ("gzip", gzip.compress(bytes(2**26)) * 32),
    "plain": ("", b"[" + b"[]," * 20_000_000 + b"[]]"),
    "deep": ("", b"[" * 60_000_000),
    "parts": ("", TINY * 800_000 + b"--x--"),
}


@pytest.fixture(scope="module")
def one_frame():
    """A single frame of zstd that unpacks to four gigabytes."""
    packer = zstandard.ZstdCompressor().compressobj()
    chunks = [packer.compress(bytes(2**26)) for _ in range(64)]
    return b"".join([*chunks, packer.flush()])


def post(engine, path, body, **headers):
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=120)
    headers = {name.replace("_", "-"): value for name, value in headers.items() if value}
    try:
        connection.request("POST", path, body, {"X-API-Key": engine.key, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["error"]["message"]
    finally:
        connection.close()


def memory(engine, name):
    """Bytes that the engine holds (`VmRSS`), or held at most (`VmHWM`)."""
    lines = Path(f"/proc/{engine.process.pid}/status").read_text().splitlines()
    [found] = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("path", ["/runs/multipart", "/runs/batch", "/v1/files", "/v1/responses"])
def test_a_bomb_leaves_memory_flat(engine, one_frame, path, name):
    encoding, body = BOMBS[name]
    before = memory(engine, "VmRSS")
    # Forgets the peak (Linux, proc(5)).
    Path(f"/proc/{engine.process.pid}/clear_refs").write_text("5")
    kind = "application/json"
    if path in {"/runs/multipart", "/v1/files"}:
        kind = "multipart/form-data; boundary=x"
    status, message = post(
        engine, path, body or one_frame, Content_Encoding=encoding, Content_Type=kind
    )
    assert status in {400, 413}, message
    assert memory(engine, "VmHWM") - before < FLAT
    assert post(engine, "/runs", b"")[0] == 400


def test_clients_that_go_away_are_no_faults(engine):
    """Half a request, then nothing: on every kind of route."""
    address = engine.url.removeprefix("http://").split(":")
    for path in ("/runs/batch", "/runs/multipart", "/v1/files", "/v1/responses", "/v1/uploads"):
        for body in (
            b"",
            b"{",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"',
        ):
            with socket.create_connection(address) as connection:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {engine.key}\r\n"
                kind = (
                    "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n"
                )
                connection.sendall((head + kind).encode() + body)
    assert post(engine, "/runs", b"")[0] == 400
    assert "Traceback" not in engine.log()
    assert "Exception" not in engine.log()
    assert "broke" not in engine.log()
