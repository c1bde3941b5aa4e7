"""An upstream that is not there, is another's, breaks off, or is left by the client."""

import asyncio
import gzip
import json
import threading

import httpx2
import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from pydantic import SecretStr
from starlette.responses import Response

from langchain_finetune.local.app import create_app
from langchain_finetune.local.serving import read_settings, relay, upstream
from tests.local.conftest import until
from tests.support.servers import free_port, served

ASK = [{"role": "user", "content": "my secret question"}]
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}],
}
EVENT = f"data: {json.dumps(CHUNK)}\n\n"
COMPLETION = CHUNK | {
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop",
        }
    ],
}


class StandIn:
    """A server whose chat route does what a test says; it remembers what it was asked."""

    def __init__(self):
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.reset()

    def reset(self):
        self.asked = []
        self.answer = lambda: JSONResponse(COMPLETION)

    async def chat(self, request: Request):
        self.asked.append((request.headers, json.loads(await request.body())))
        answer = self.answer()
        return await answer if asyncio.iscoroutine(answer) else answer


@pytest.fixture(scope="module")
def same_stand_in():
    return StandIn()


@pytest.fixture
def stand_in(same_stand_in):
    same_stand_in.reset()
    return same_stand_in


@pytest.fixture(scope="module")
def front(same_stand_in, tmp_path_factory):
    with served(same_stand_in.app) as url, engine(tmp_path_factory.mktemp("front"), url) as client:
        yield client


def engine(home, url, key=None):
    """An engine in this process, as a client of it."""
    environment = {"LCFT_UPSTREAM_API_KEY": key} if key else {}
    settings = read_settings(environment, upstream=url)
    return _Client(create_app(home / "home", SecretStr("key"), serving=settings))


class _Client:
    def __init__(self, app):
        self._served = served(app)

    def __enter__(self):
        url = self._served.__enter__()
        return openai.OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)

    def __exit__(self, *error):
        return self._served.__exit__(*error)


def ask(client, **options):
    return client.chat.completions.create(model="m", messages=ASK, **options)


def refused(client, **options):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **options)
    assert "secret" not in caught.value.message
    return caught.value


def test_the_engines_key_goes_there_and_the_clients_does_not(stand_in, tmp_path):
    with served(stand_in.app) as url, engine(tmp_path, f"{url}/v1/", key="theirs") as client:
        assert ask(client).choices[0].message.content == "hi"
    [(headers, body)] = stand_in.asked
    assert headers["authorization"] == "Bearer theirs"
    assert body == {"model": "m", "messages": ASK}


def test_no_key_is_sent_where_there_is_none(stand_in, front):
    ask(front)
    assert "authorization" not in stand_in.asked[0][0]


def test_a_refused_key(stand_in, front):
    stand_in.answer = lambda: JSONResponse({"error": {"message": "Unauthorized"}}, 401)
    error = refused(front)
    assert (error.status_code, error.code) == (502, "upstream_key_refused")
    assert "LCFT_UPSTREAM_API_KEY" in error.message


def test_a_connection_that_carried_a_stream_is_not_used_again(tmp_path):
    """llama.cpp's server closes it without having said so (findings/)."""

    async def answer(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            streamed = b'"stream": true' in await reader.readexactly(length)
            kind, body = (
                ("text/event-stream", EVENT + "data: [DONE]\n\n")
                if streamed
                else ("application/json", json.dumps(COMPLETION))
            )
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}".encode()
            )
            await writer.drain()
            if streamed:
                # The next request on it, if there is one, is lost.
                await reader.read(1)
                break
        writer.close()

    port = free_port()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with engine(tmp_path, f"http://127.0.0.1:{port}/v1") as client:
            for _ in range(3):
                assert [each.choices[0].delta.content for each in ask(client, stream=True)] == [
                    "hi"
                ]
                assert ask(client).choices[0].message.content == "hi"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()


def test_nobody_there(tmp_path):
    with engine(tmp_path, f"http://127.0.0.1:{free_port()}/v1") as client:
        error = refused(client)
        assert (error.status_code, error.code) == (503, "upstream_unreachable")
        assert "--upstream" in error.message
        with pytest.raises(openai.InternalServerError):
            ask(client, stream=True)
        # All that does not need it goes on.
        assert [model.id for model in client.models.list()] == ["nano"]


@pytest.mark.parametrize("answer", [HTMLResponse("<h1>Hi</h1>"), RedirectResponse("/other"), [1]])
def test_a_server_of_another_kind(stand_in, front, answer):
    stand_in.answer = lambda: JSONResponse(answer) if isinstance(answer, list) else answer
    error = refused(front)
    assert (error.status_code, error.code) == (502, "upstream_failed")
    assert "<h1>" not in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "Too long.", "code": "c", "param": "p", "type": "t"}}, "Too long."),
        ({"object": "error", "message": "Too long.", "code": 400}, "Too long."),
        ({"detail": "Too long."}, "Too long."),
        ({"error": "Too long."}, "Too long."),
        ({"detail": [{"loc": ["body"]}]}, "The upstream answered 418."),
        (["Too long."], "The upstream answered 418."),
        ({"message": "x" * 10_000}, "x" * 500),
    ],
)
def test_errors_of_all_kinds(stand_in, front, body, message):
    stand_in.answer = lambda: JSONResponse(body, 418)
    error = refused(front)
    assert error.status_code == 418
    assert error.body["message"] == message
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        assert error.body == body["error"]


def test_the_time_to_wait_is_handed_on(stand_in, front):
    headers = {"retry-after": "7", "set-cookie": "a=b", "x-request-id": "req-1"}
    stand_in.answer = lambda: JSONResponse({"error": {"message": "Busy"}}, 429, headers=headers)
    error = refused(front)
    assert error.response.headers["retry-after"] == "7"
    assert error.request_id == "req-1"
    assert "set-cookie" not in error.response.headers


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_too_large(stand_in, front, monkeypatch, stream):
    monkeypatch.setattr(relay, "MAX_ANSWER_BYTES", 10_000)

    def answer():
        if not stream:
            return JSONResponse(COMPLETION | {"filler": "x" * 20_000})
        return StreamingResponse(iter([EVENT, *["x" * 1000] * 20]), media_type="text/event-stream")

    stand_in.answer = answer
    with pytest.raises(openai.APIError, match="larger"):
        list(ask(front, stream=stream))


def test_many_small_events_are_not_too_large(stand_in, front, monkeypatch):
    monkeypatch.setattr(relay, "MAX_ANSWER_BYTES", 1000)
    # They come in pieces that are no events, and with other ends of lines.
    text = EVENT * 20 + EVENT.replace("\n", "\r\n") * 20 + "data: [DONE]\n\n"
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    stand_in.answer = lambda: StreamingResponse(iter(pieces), media_type="text/event-stream")
    assert len(list(ask(front, stream=True))) == 40


def test_a_packed_answer_is_unpacked(stand_in, front):
    packed = gzip.compress(json.dumps(COMPLETION).encode())
    headers = {"content-encoding": "gzip"}
    stand_in.answer = lambda: Response(packed, 200, headers, "application/json")
    assert ask(front).choices[0].message.content == "hi"


def test_a_stream_that_breaks_off(stand_in, front):
    async def half():
        yield EVENT
        yield EVENT[:20]
        raise ConnectionAbortedError

    stand_in.answer = lambda: StreamingResponse(half(), media_type="text/event-stream")
    chunks = []
    with pytest.raises(openai.APIError, match="connection to the upstream broke"):
        chunks.extend(ask(front, stream=True))


def test_an_upstream_that_is_too_slow(stand_in, front, monkeypatch, tmp_path):
    async def slow():
        await asyncio.sleep(2)

    monkeypatch.setattr(relay, "_TIMEOUT", httpx2.Timeout(0.2))
    stand_in.answer = slow
    with served(stand_in.app) as url, engine(tmp_path / "other", url) as client:
        error = refused(client)
    assert (error.status_code, error.code) == (504, "upstream_timeout")


def test_models_beside_an_upstream_that_hangs(stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr(upstream, "SOON", httpx2.Timeout(0.2))

    @stand_in.app.get("/hanging/models")
    async def hang(request: Request):
        await request.body()
        assert (await request.receive())["type"] == "http.disconnect"

    with served(stand_in.app) as url, engine(tmp_path, f"{url}/hanging") as client:
        assert [model.id for model in client.models.list()] == ["nano"]


async def test_more_at_once_than_a_client_connects_by_default(stand_in, tmp_path):
    number, there, all_there = 110, [], asyncio.Event()

    async def together():
        there.append(1)
        if len(there) == number:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 40)
        return JSONResponse(COMPLETION)

    stand_in.answer = together
    with served(stand_in.app) as url, engine(tmp_path, url) as client:
        async with openai.AsyncOpenAI(
            base_url=client.base_url, api_key="key", max_retries=0
        ) as many:
            asked = [many.chat.completions.create(model="m", messages=ASK) for _ in range(number)]
            answers = await asyncio.gather(*asked)
    assert len(answers) == number


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_upstreams_work(stand_in, front, stream):
    gone = []

    async def forever():
        try:
            yield EVENT
            await asyncio.sleep(60)
        finally:
            gone.append(True)

    class Never(Response):
        async def __call__(self, scope, receive, send):
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.append(True)

    stand_in.answer = lambda: (
        StreamingResponse(forever(), media_type="text/event-stream") if stream else Never()
    )
    if stream:
        chunks = ask(front, stream=True)
        assert next(chunks).choices[0].delta.content == "hi"
        assert not gone
        chunks.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            ask(front, timeout=0.5)
    until(lambda: gone)
