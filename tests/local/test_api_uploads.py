"""The Uploads API, through the openai SDK."""

import hashlib

import openai
import pytest

DATA = b'{"a": 1}\n' * 1000


def begin(client, **changed):
    given = {"filename": "a.jsonl", "bytes": len(DATA), "mime_type": "text/plain"}
    return client.uploads.create(**(given | {"purpose": "fine-tune"} | changed))


def add(client, upload, data):
    return client.uploads.parts.create(upload.id, data=data)


def test_parts_become_a_file(client):
    upload = begin(client)
    assert (upload.object, upload.status, upload.bytes) == ("upload", "pending", len(DATA))
    assert upload.expires_at - upload.created_at == 3600
    late, early = add(client, upload, DATA[4000:]), add(client, upload, DATA[:4000])
    assert (late.object, late.upload_id) == ("upload.part", upload.id)
    done = client.uploads.complete(
        upload.id, part_ids=[early.id, late.id], md5=hashlib.md5(DATA).hexdigest()
    )
    assert done.status == "completed"
    assert done.file == client.files.retrieve(done.file.id)
    assert (done.file.filename, done.file.purpose) == ("a.jsonl", "fine-tune")
    assert client.files.content(done.file.id).content == DATA


def test_the_sdk_cuts_a_file_itself(client, engine, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_bytes(DATA)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/plain", purpose="fine-tune", part_size=1000
    )
    assert client.files.content(done.file.id).content == DATA
    assert not list((engine.home / "uploads").iterdir())


def test_a_cancelled_upload(client, engine):
    upload = begin(client)
    part = add(client, upload, DATA)
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert not (engine.home / "uploads" / upload.id).exists()
    for call in (
        lambda: add(client, upload, DATA),
        lambda: client.uploads.complete(upload.id, part_ids=[part.id]),
        lambda: client.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            call()


def test_an_upload_is_completed_once(client):
    upload = begin(client)
    part = add(client, upload, DATA)
    client.uploads.complete(upload.id, part_ids=[part.id])
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.uploads.complete(upload.id, part_ids=[part.id])


def test_parts_that_do_not_fit(client):
    upload = begin(client)
    part = add(client, upload, DATA[:-1])
    for options, param in (
        ({"part_ids": [part.id]}, "part_ids"),
        ({"part_ids": [part.id, "part-x"]}, "part_ids"),
        ({"part_ids": ["../../api_key"]}, "part_ids"),
        ({"part_ids": []}, "part_ids"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.uploads.complete(upload.id, **options)
        assert refused.value.param == param
    rest = add(client, upload, DATA[-1:])
    with pytest.raises(openai.BadRequestError) as refused:
        client.uploads.complete(upload.id, part_ids=[part.id, rest.id], md5="0" * 32)
    assert refused.value.param == "md5"
    assert client.uploads.complete(upload.id, part_ids=[part.id, rest.id]).file


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"purpose": "batch"}, "purpose"),
        ({"bytes": 0}, "bytes"),
        ({"bytes": 2**40}, "bytes"),
        ({"filename": ""}, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 3600}}, "expires_after"),
    ],
)
def test_refuses(client, changed, param):
    with pytest.raises(openai.BadRequestError) as refused:
        begin(client, **changed)
    assert refused.value.param == param


def test_an_empty_part(client):
    with pytest.raises(openai.BadRequestError) as refused:
        add(client, begin(client), b"")
    assert refused.value.param == "data"


@pytest.mark.parametrize("upload_id", ["upload-x", "..", "../files", "%00"])
def test_an_unknown_upload(client, upload_id):
    for call in (
        lambda: client.uploads.cancel(upload_id),
        lambda: client.uploads.parts.create(upload_id, data=b"x"),
        lambda: client.uploads.complete(upload_id, part_ids=["part-x"]),
    ):
        with pytest.raises((openai.NotFoundError, openai.BadRequestError, ValueError)):
            call()


async def test_what_nobody_goes_on_with_is_forgotten(tmp_path, monkeypatch):
    from langchain_finetune.local import uploads as module
    from langchain_finetune.local.api_error import ApiError
    from langchain_finetune.local.documents import open_records
    from langchain_finetune.local.files import Files

    database = open_records(tmp_path / "db")
    uploads = module.Uploads(database, tmp_path / "up", Files(database, tmp_path / "files"))
    old = uploads.create(filename="a", size=3, mime_type="")
    older = uploads.create(filename="a", size=3, mime_type="")
    later = old.expires_at + 1
    monkeypatch.setattr(module, "now", lambda: later)
    with pytest.raises(ApiError, match="expired"):
        uploads.cancel(old.id)
    fresh = uploads.create(filename="a", size=3, mime_type="")
    assert [path.name for path in (tmp_path / "up").iterdir()] == [fresh.id]
    with pytest.raises(ApiError, match="expired"):
        await uploads.complete(older.id, ["part-x"], None)
    database.close()


async def test_async_client(engine, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(DATA)
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key) as client:
        done = await client.uploads.upload_file_chunked(
            file=path, mime_type="text/plain", purpose="fine-tune", part_size=5000
        )
        assert (await client.files.content(done.file.id)).content == DATA
