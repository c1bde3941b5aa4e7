"""A real server around ChatService, and models that write what a test tells them."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from openai import OpenAI

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.openai_api.answers import create_answers_router
from langchain_finetune.local.openai_api.shadows import Shadows
from langchain_finetune.local.serving import ChatService
from tests.local.conftest import until


class ChatServer:
    """Serves the folders in `models`, by name, with so many bytes of `memory`.

    `rollouts` has those of aliases; `kept` gets the runs of each shadow.
    """

    def __init__(self, *, memory=None, **models):
        self.models = models
        self.rollouts = {}
        self.kept = []
        self.service = ChatService(self.models.get, memory=memory)
        shadows = Shadows(self.kept.append, in_turn=True)

        @asynccontextmanager
        async def lifespan(_):
            shadowing = asyncio.create_task(shadows.run())
            yield
            shadowing.cancel()

        app = FastAPI(lifespan=lifespan)
        router = create_answers_router(self.service, self.rollouts.get, shadows)
        app.include_router(router, prefix="/v1")

        @app.exception_handler(ApiError)
        async def refuse(_, error):
            return JSONResponse(error.body(), error.status)

        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._server.run)
        thread.start()
        try:
            until(lambda: self._server.started)
            yield self
        finally:
            self._server.should_exit = True
            thread.join()

    @property
    def url(self):
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    def client(self):
        return OpenAI(base_url=self.url, api_key="none", max_retries=0)


class Script:
    """Stands in for what a model draws: writes `text`, and remembers how it was asked."""

    def __init__(self, close_stream):
        self.text = ""
        self.sampler = None
        self.prompt = ""
        self.control_tokens = []
        self.pause = 0
        self.stopped = threading.Event()
        self._close_stream = close_stream

    def draw(self, row, _scores):
        tokenizer = row.loaded.tokenizer
        done = len(row.sink.tokens)
        if not done:
            self.sampler = row.sampler
            self.prompt = tokenizer.decode(row.tokens)
            self.control_tokens = [
                str(tokenizer.added_tokens_decoder[token])
                for token in row.tokens
                if token in tokenizer.added_tokens_decoder
            ]
        tokens = tokenizer(self.text, add_special_tokens=False)["input_ids"]
        self.stopped.wait(self.pause)
        return [*tokens, tokenizer.eos_token_id][min(done, len(tokens))]

    def close(self, stream, error):
        """Stands in for a stream's own, and takes note."""
        self.stopped.set()
        self._close_stream(stream, error)
