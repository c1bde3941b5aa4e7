"""Chat models at OpenAI's wire that answer by rule, so that requests may come in any order."""

import asyncio
import json

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from support.model_server import USAGE, ModelServer, reason


class RuleServer:
    """Answers `/v1/chat/completions` with what `rules[model](body)` returns.

    A rule returns a wire message, or a status for an error. `requests` holds the bodies, and
    `most_at_once` the most requests that were being answered at the same time.
    """

    def __init__(self, **rules):
        self.rules = rules
        self.requests = []
        self.most_at_once = 0
        self.pause_s = 0.0
        self._now = 0
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)

    async def complete(self, request: Request):
        body = json.loads(await request.body())
        self.requests.append(body)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(self.pause_s)
        self._now -= 1
        answer = self.rules[body["model"]](body)
        if isinstance(answer, int):
            return JSONResponse({"error": {"message": "broken", "type": "server_error"}}, answer)
        choice = {"index": 0, "message": answer, "finish_reason": reason(answer)}
        made = ModelServer.envelope("chat.completion", [choice])
        return made | {"usage": USAGE, "model": body["model"]}

    def asked_of(self, model):
        return [body for body in self.requests if body["model"] == model]
