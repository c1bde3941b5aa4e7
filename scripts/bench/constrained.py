"""What it costs to keep an answer to a schema, and whether it always is.

All answers come from `nano`, in turns and in one process, and CPU time is what counts, so that
the ratio means something on a busy machine, too:

    .venv/bin/python scripts/bench/constrained.py
"""

import asyncio
import json
import statistics
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

import langchain_finetune
from langchain_finetune.local.serving import ChatService

NANO = Path(langchain_finetune.__file__).parent / "local" / "nano"
TOKENS = 150
ROUNDS = 5
ANSWERS = 80


class Person(BaseModel):
    """A form with a pattern and bounds."""

    name: str = Field(min_length=1, max_length=40)
    age: int = Field(ge=0, le=120)
    email: str = Field(pattern=r"^[a-z]+@[a-z]+\.org$")
    friends: list[str]


class Tree(BaseModel):
    """A form within itself."""

    value: float
    children: list["Tree"]


FORMS = (Person, Tree)
NUMBERS = {"type": "array", "items": {"type": "integer", "maximum": 999}, "minItems": 40}
WORDS = {"type": "array", "items": {"type": "string", "minLength": 8}, "minItems": 2}


def form(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a response format."""
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def chat(**fields: Any) -> dict[str, Any]:
    """Return a request."""
    return {"model": "nano", "messages": [{"role": "user", "content": "Name some."}]} | fields


async def per_token(call: AbstractAsyncContextManager[Response]) -> float:
    """Return the milliseconds of CPU time that an answer took for each of its tokens."""
    begin = time.process_time()
    used = (await answer(call))["usage"]["completion_tokens"]
    return (time.process_time() - begin) / int(used) * 1000


async def answer(call: AbstractAsyncContextManager[Response]) -> dict[str, Any]:
    """Return an answer."""
    async with call as response:
        return dict(json.loads(bytes(response.body)))


async def cost(service: ChatService) -> dict[str, float]:
    """Return milliseconds a token: of any text, of JSON, of JSON with hardly enough room."""
    text = {"model": "nano", "prompt": "One two", "max_tokens": TOKENS, "temperature": 0}
    roomy = chat(temperature=0, max_tokens=300, response_format=form("n", NUMBERS))
    narrow = chat(temperature=0, max_tokens=30, response_format=form("w", WORDS))
    times: dict[str, list[float]] = {"any text": [], "JSON": [], "JSON in a narrow budget": []}
    for _ in range(ROUNDS):
        times["any text"].append(await per_token(service.complete(text)))
        times["JSON"].append(await per_token(service.create(roomy)))
        times["JSON in a narrow budget"].append(await per_token(service.create(narrow)))
    return {name: statistics.median(found) for name, found in times.items()}


async def kept(service: ChatService) -> dict[str, int]:
    """Return how many answers are of their schema, how many ended early, how many are neither."""
    counts = {"of the schema": 0, "length": 0, "wrong": 0}
    for seed in range(ANSWERS // len(FORMS)):
        for model in FORMS:
            asked = chat(
                temperature=seed % 4 * 0.5,
                seed=seed,
                max_tokens=80 + seed % 3 * 40,
                response_format=form(model.__name__, model.model_json_schema()),
            )
            (choice,) = (await answer(service.create(asked)))["choices"]
            try:
                model.model_validate_json(choice["message"]["content"])
                counts["of the schema"] += 1
            except ValidationError:
                counts["length" if choice["finish_reason"] == "length" else "wrong"] += 1
    return counts


async def main() -> None:
    """Measure and tell."""
    service = ChatService({"nano": NANO}.get)
    await answer(service.create(chat(response_format=form("w", WORDS), max_tokens=30)))
    times = await cost(service)
    for name, milliseconds in times.items():
        ratio = milliseconds / times["any text"]
        print(f"{name:<24} {milliseconds:6.2f} ms of CPU a token, {ratio:.2f} x")
    print(f"of {ANSWERS} answers: {await kept(service)}")


if __name__ == "__main__":
    asyncio.run(main())
