"""The Files API, through the openai SDK."""

import stat

import openai
import pytest


def test_round_trip(client):
    made = client.files.create(file=("ünï code.jsonl", b'{"a": 1}\n'), purpose="fine-tune")
    assert made.id.startswith("file-")
    assert (made.bytes, made.filename, made.purpose) == (9, "ünï code.jsonl", "fine-tune")
    assert made.status == "processed"
    assert client.files.wait_for_processing(made.id) == made
    assert client.files.content(made.id).content == b'{"a": 1}\n'
    assert client.files.delete(made.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


@pytest.mark.parametrize(
    "name", ["../../escaped.jsonl", "/etc/passwd", "a/b", "..", "x" * 1000, 'q"\r\nX: y']
)
def test_the_clients_file_name_never_becomes_a_path(engine, client, name):
    before = {path.name for path in engine.home.rglob("*")}
    made = client.files.create(file=(name, b"{}"), purpose="fine-tune")
    after = {path.name for path in engine.home.rglob("*")}
    assert after - before - {"engine.sqlite-wal", "engine.sqlite-shm"} == {made.id}
    assert client.files.content(made.id).content == b"{}"


@pytest.mark.parametrize("file_id", ["../engine.sqlite", "..%2Fapi_key", "file-x", "%00"])
def test_an_id_never_becomes_a_path(client, file_id):
    with pytest.raises(openai.NotFoundError):
        client.files.content(file_id)


def test_files_are_the_owners_alone(engine, upload):
    upload()
    assert stat.S_IMODE((engine.home / "files").stat().st_mode) == 0o700


def test_lists_in_pages(client, upload):
    for file in client.files.list():
        client.files.delete(file.id)
    ids = [upload() for _ in range(5)]
    assert [file.id for file in client.files.list()] == ids[::-1]
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]  # three requests
    first = client.files.list(limit=2, order="asc")
    assert ([file.id for file in first.data], first.has_more) == (ids[:2], True)
    assert [f.id for f in client.files.list(order="asc", after=ids[2])] == ids[3:]
    assert [f.id for f in client.files.list(purpose="fine-tune-results")] == []
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.list(after="file-nope")
    assert refused.value.param == "after"


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"file": ("a", b"{}"), "purpose": "batch"}, "purpose"),
        ({"file": ("a", b""), "purpose": "fine-tune"}, "file"),
        (
            {
                "file": ("a", b"{}"),
                "purpose": "fine-tune",
                "expires_after": {"anchor": "created_at", "seconds": 3600},
            },
            "expires_after",
        ),
    ],
)
def test_refuses(client, arguments, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(**arguments)
    assert refused.value.param == param


async def test_async_client(engine):
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key) as client:
        made = await client.files.create(file=("a", b"{}" * 10**6), purpose="fine-tune")
        assert made.bytes == 2 * 10**6
        content = await client.files.content(made.id)
        assert len(content.content) == made.bytes
