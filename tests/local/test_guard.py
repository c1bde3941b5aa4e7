"""Keys, sizes and malformed requests."""

import http.client
import json
import urllib.error
import urllib.request

import openai
import pytest


def send(engine, method, path, body=None, *, headers=(), key=True):
    """(status, answer) of a raw request."""
    given = {"Authorization": f"Bearer {engine.key}"} if key else {}
    given |= dict(headers)
    request = urllib.request.Request(engine.url + path, data=body, method=method, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_who_may_ask_without_a_key(engine):
    assert send(engine, "GET", "/info", key=False)[0] == 200
    status, health = send(engine, "GET", "/health", key=False)
    assert (status, health["pid"]) == (200, engine.process.pid)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic {key}"},
        {"Authorization": "{key}"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "schlüssel"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/files", "/runs", "/nowhere", "/info/", "/docs"]
)
def test_all_else_needs_the_key(engine, headers, path):
    headers = {name: value.format(key=engine.key) for name, value in headers.items()}
    headers = {name: value.encode() for name, value in headers.items()}
    for method in ("GET", "POST", "DELETE"):
        status, answer = send(engine, method, path, headers=headers, key=False)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
def test_either_header_carries_the_key(engine, name):
    value = engine.key if name == "X-API-Key" else f"bearer {engine.key}"
    assert send(engine, "GET", "/v1/models", headers={name: value}, key=False)[0] == 200


def test_the_sdk_raises_its_own_errors(engine):
    with (
        engine.client(api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "wrong" not in engine.log()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/fine_tuning/jobs", b'{"my secret', 400),
        ("POST", "/v1/fine_tuning/jobs", b"\xff\xfe", 400),
        ("POST", "/v1/fine_tuning/jobs", b"[" * 100_000, 400),
        ("POST", "/v1/fine_tuning/jobs", b'"my secret"', 400),
        ("POST", "/v1/fine_tuning/jobs", b"", 400),
        ("POST", "/v1/fine_tuning/jobs", b'{"model": {"my": "secret"}}', 400),
        ("POST", "/v1/chat/completions", b'["my secret"]', 400),
        ("POST", "/v1/files", b"my secret", 400),
        ("POST", "/v1/fine_tuning/jobs", b'{"model": "\\ud800", "training_file": "f"}', 400),
        ("POST", "/v1/fine_tuning/jobs", b'{"model": "\\u0000", "training_file": "f"}', 404),
        (
            "POST",
            "/v1/fine_tuning/jobs",
            b'{"model": "%s", "training_file": "f"}' % (b"x" * 400),
            404,
        ),
        ("POST", "/v1/chat/completions", b'{"model": "\\ud800"}', 400),
        ("POST", "/v1/chat/completions", b'{"model": "\\u0000"}', 404),
        ("GET", "/v1/fine_tuning/jobs?limit=0", None, 400),
        ("GET", "/v1/fine_tuning/jobs?limit=my%20secret", None, 400),
        ("GET", "/v1/files?order=sideways", None, 400),
        ("GET", "/v1/nowhere", None, 404),
        ("POST", "/v1/fine_tuning/jobs/ftjob-1/pause", b"{}", 404),
        ("PUT", "/v1/files", b"{}", 405),
    ],
)
def test_malformed_requests(engine, method, path, body, status):
    got, answer = send(engine, method, path, body, headers={"Content-Type": "application/json"})
    assert got == status
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert "my secret" not in json.dumps(answer)
    assert "my secret" not in engine.log()


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\nno headers",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nmy secret',
        b"--x\r\nContent-Disposition: form-data\r\n\r\nmy secret\r\n--x--\r\n",
    ],
)
def test_malformed_forms(engine, body):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = send(engine, "POST", "/v1/files", body, headers=headers)
    assert status == 400
    assert "my secret" not in json.dumps(answer)


def test_a_form_without_a_boundary(engine):
    headers = {"Content-Type": "multipart/form-data"}
    assert send(engine, "POST", "/v1/files", b"--x", headers=headers)[0] == 400


@pytest.mark.parametrize("path", ["/v1/fine_tuning/jobs", "/v1/files", "/runs/batch"])
def test_a_body_that_says_it_is_too_large(engine, path):
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Bearer {engine.key}")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]["code"]) == (413, "body_too_large")
    connection.close()


@pytest.mark.parametrize(
    ("path", "most"), [("/runs/batch", b"64 MiB"), ("/v1/fine_tuning/jobs", b"8 MiB")]
)
def test_a_body_that_turns_out_too_large(engine, path, most):
    def chunks():
        yield b'{"model": "'
        for _ in range(65):
            yield b"x" * 2**20

    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=60)
    headers = {"X-API-Key": engine.key, "Content-Type": "application/json"}
    connection.request("POST", path, chunks(), headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, most in answer.read()) == (413, True)
    connection.close()
