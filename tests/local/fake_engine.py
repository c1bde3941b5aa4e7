"""A real engine process, with a fake trainer and a fake chat part: `fake_engine.py HOME [PORT]`."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi.responses import JSONResponse, StreamingResponse

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.server import serve


async def streamed(messages):
    """Say the last message again, word by word; "for ever" has no end, "break" fails."""
    asked = messages[-1]["content"]
    for word in asked.split():
        choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
        yield f"data: {json.dumps({'choices': [choice]})}\n\n"
    if asked == "for ever":
        await asyncio.sleep(3600)
    if asked == "break":
        yield f"data: {json.dumps(ApiError(500, 'The fake broke.').body())}\n\n"
    else:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield f"data: {json.dumps({'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


class FakeChat:
    def __init__(self, models, _settings):
        self._resolve = models.servable
        self._loaded = []

    @asynccontextmanager
    async def create(self, body):
        folder = self._resolve(body["model"])
        if folder is None:
            raise ApiError(404, "No such model.", code="model_not_found")
        self._loaded.append(body["model"])
        if body.get("stream"):
            yield StreamingResponse(streamed(body["messages"]), media_type="text/event-stream")
            return
        message = {"role": "assistant", "content": (folder / "config.json").read_text()}
        yield JSONResponse(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
        )

    async def warm(self):
        pass

    async def unload(self, model):
        if model in self._loaded:
            self._loaded.remove(model)

    async def cards(self):
        return []

    async def close(self):
        pass


if __name__ == "__main__":
    home = Path(sys.argv[1])
    trainer = str(Path(__file__).with_name("fake_trainer.py"))
    try:
        serve(
            home,
            port=int(sys.argv[2]) if len(sys.argv) > 2 else 0,
            aliases={"gpt-3.5-turbo": "nano"},
            trainer=[sys.executable, trainer, str(home / "trainer_record")],
            chat=FakeChat,
        )
    except FineTuningError as error:
        sys.exit(str(error))
