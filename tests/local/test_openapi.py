"""The OpenAPI description: behind the key, each route once, and true of what comes back."""

import json

import pytest

from support.api import get_json


@pytest.fixture(scope="module")
def described(engine):
    status, found = get_json(engine, "/openapi.json")
    assert status == 200
    return found


def resolved(described, schema):
    name = schema.get("$ref", "").rpartition("/")[2]
    return described["components"]["schemas"][name] if name else schema


def test_it_is_behind_the_key(engine):
    for path in ("/openapi.json", "/docs", "/redoc"):
        assert get_json(engine, path, key=False)[0] == 401
    assert get_json(engine, "/docs")[0] == 404


def test_each_route_stands_there_once(described):
    paths = described["paths"]
    assert {"/v1/files", "/v1/chat/completions", "/api/v1/runs/query", "/info"} <= paths.keys()
    assert {"/api/v2/runs/query", "/api/v2/threads/query"} <= paths.keys()
    others = {"/runs/query", "/v1/runs/query", "/api/runs", "/v2/runs/query", "/v1/info"}
    assert not others & paths.keys()
    assert not [path for path in paths if path.startswith(("/v1/api", "/api/v1/v2"))]


def test_it_says_what_is_sent_and_what_comes_back(described):
    job = described["paths"]["/v1/fine_tuning/jobs"]["post"]
    [body] = job["requestBody"]["content"].values()
    schema = described["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    assert {"model", "training_file", "method"} <= schema["properties"].keys()
    assert list(job["responses"]) == ["2XX", "4XX"]
    upload = described["paths"]["/v1/files"]["post"]["requestBody"]["content"]
    assert upload["multipart/form-data"]["schema"]["required"] == ["file", "purpose"]
    chat = described["paths"]["/v1/chat/completions"]["post"]
    [body] = chat["requestBody"]["content"].values()
    assert {"messages", "tools", "stream"} <= body["schema"]["properties"].keys()
    [answer] = chat["responses"]["2XX"]["content"].values()
    assert {"choices", "usage"} <= resolved(described, answer["schema"])["properties"].keys()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert "422" not in operation["responses"], (method, path)
            assert operation.get("security") == ([] if path in {"/info", "/health"} else None)


def test_references_lead_somewhere(described):
    for part in json.dumps(described).split('"$ref": "#/')[1:]:
        found = described
        for name in part.partition('"')[0].split("/"):
            found = found[name]


def test_more_metadata_than_a_job_can_have(engine):
    asked = "&".join(f"metadata[{number}]=a" for number in range(1200))
    status, answer = get_json(engine, f"/v1/fine_tuning/jobs?{asked}")
    assert (status, answer["error"]["param"]) == (400, "metadata")
