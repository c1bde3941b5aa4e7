"""A real engine process, with a fake trainer and a fake chat part: `fake_engine.py HOME [PORT]`."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi.responses import JSONResponse

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.server import serve


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
