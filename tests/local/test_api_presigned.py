"""What may be asked of a real engine without its key: addresses that nobody can guess."""

import urllib.request
from contextlib import closing
from uuid import uuid4

import pytest
from langsmith import Client
from langsmith.run_trees import RunTree

pytestmark = pytest.mark.filterwarnings("ignore:read_run.. is deprecated")


def status(engine, path, method="GET", body=None):
    request = urllib.request.Request(engine.url + path, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def tracer(engine):
    with closing(Client(api_url=engine.url, api_key=engine.key)) as client:
        yield client


def traced(tracer):
    run = RunTree(
        name="look",
        run_type="tool",
        inputs={},
        ls_client=tracer,
        project_name="presigned",
        attachments={"photo": ("image/png", b"PNG")},
    )
    run.post()
    run.end(outputs={})
    run.patch()
    tracer.flush()
    return run


@pytest.mark.parametrize("root", ["", "/api", "/api/v1", "/v1"])
def test_attachments_are_read_back_under_each_address(engine, root):
    with closing(Client(api_url=engine.url + root, api_key=engine.key)) as client:
        run = client.read_run(traced(client).id)
    assert run.attachments["photo"]["reader"].read() == b"PNG"


def test_a_token_takes_feedback_without_the_key(engine, tracer):
    run = traced(tracer)
    token = tracer.create_presigned_feedback_token(run.id, "user_score")
    path = token.url.removeprefix(engine.url)
    assert status(engine, f"{path}?score=1") == 200
    assert status(engine, path, "POST", b'{"score": 0}') == 200
    [found] = tracer.list_feedback(run_ids=[run.id])
    assert found.score == 0


def test_all_around_them_needs_the_key(engine):
    unknown = uuid4()
    for method, path in (
        ("GET", "/feedback/tokens"),
        ("POST", "/feedback/tokens"),
        ("DELETE", f"/feedback/tokens/{unknown}"),
        ("GET", f"/feedback/tokens/{unknown}/"),
        ("GET", f"/feedback/{unknown}"),
        ("POST", f"/public/attachments/{unknown}"),
        ("GET", f"/public/attachments/{unknown}/../../runs"),
        ("GET", f"/runs/public/attachments/{unknown}"),
        ("GET", "/public/attachments"),
    ):
        assert status(engine, path, method, b"{}" if method == "POST" else None) == 401
    assert status(engine, f"/feedback/tokens/{unknown}?score=1") == 404
    assert status(engine, f"/public/attachments/{unknown}") == 400
    forged = f"/public/attachments/{unknown}?expires=9999999999&signature={'0' * 64}"
    assert status(engine, forged) == 403
