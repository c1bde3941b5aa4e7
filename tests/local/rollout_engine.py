"""A real engine process whose models say who they are: `rollout_engine.py HOME [ALIAS=MODEL...]`.

What a chat's last message begins with steers the answer: "slow" takes 30 s at `b`, "fail" is
refused by `b`.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi.responses import JSONResponse, StreamingResponse

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.server import parse_aliases, serve

MODELS = ("a", "b", "c", "ft:gpt-4o-mini-2024-07-18:acme::abc", "hub/model")


def event(body, name=None):
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(body)}\n\n"


class NamedChat:
    def __init__(self, models, _settings):
        self._own = models.servable

    async def _text(self, body, asked):
        model = body["model"]
        if model not in MODELS and not self._own(model):
            raise ApiError(404, f"No model {model}.", code="model_not_found")
        if model == "b" and asked.startswith("slow"):
            await asyncio.sleep(30)
        if model == "b" and asked.startswith("fail"):
            raise ApiError(500, "b is broken.", code="broken")
        return f"{model} answers"

    def _sent(self, body, whole, events):
        if not body.get("stream"):
            return JSONResponse(whole)
        return StreamingResponse(iter(events), media_type="text/event-stream")

    @asynccontextmanager
    async def create(self, body):
        asked = body["messages"][-1]["content"]
        text = await self._text(body, asked)
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        choice = {"index": 0, "finish_reason": "stop"}
        message = {"role": "assistant", "content": text}
        whole = head | {"object": "chat.completion", "choices": [choice | {"message": message}]}
        chunk = head | {"object": "chat.completion.chunk"}
        deltas = [{"role": "assistant", "content": ""}, *({"content": c} for c in text), {}]
        chunks = [
            chunk | {"choices": [{"index": 0, "delta": d, "finish_reason": None if d else "stop"}]}
            for d in deltas
        ]
        yield self._sent(body, whole, [*map(event, chunks), "data: [DONE]\n\n"])

    @asynccontextmanager
    async def complete(self, body):
        text = await self._text(body, body["prompt"])
        head = {"id": "cmpl-1", "created": 1, "model": body["model"], "object": "text_completion"}
        choice = {"index": 0, "finish_reason": "stop", "text": text, "logprobs": None}
        parts = [head | {"choices": [choice | {"text": c, "finish_reason": None}]} for c in text]
        last = head | {"choices": [choice | {"text": ""}]}
        events = [*map(event, [*parts, last]), "data: [DONE]\n\n"]
        yield self._sent(body, head | {"choices": [choice]}, events)

    @asynccontextmanager
    async def respond(self, body):
        text = await self._text(body, body["input"])
        content = [{"type": "output_text", "text": text, "annotations": []}]
        item = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
        whole = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": body["model"],
            "output": [item | {"status": "completed"}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        kinds = ("response.created", "response.completed")
        events = [
            event({"type": kind, "sequence_number": number, "response": whole}, kind)
            for number, kind in enumerate(kinds)
        ]
        yield self._sent(body, whole, events)

    async def warm(self):
        pass

    async def unload(self, model):
        pass

    async def cards(self):
        return [{"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in MODELS]

    async def close(self):
        pass


if __name__ == "__main__":
    *options, home = sys.argv[1:]
    trainer = str(Path(__file__).with_name("fake_trainer.py"))
    try:
        serve(
            Path(home),
            aliases=parse_aliases(options),
            trainer=[sys.executable, trainer, str(Path(home) / "trainer_record")],
            chat=NamedChat,
        )
    except FineTuningError as error:
        sys.exit(str(error))
