"""Server-sent events, as OpenAI's streams have them."""

import json
from typing import Any

DONE = "data: [DONE]\n\n"
"""Ends a stream of chat completions or completions."""


def event(body: dict[str, Any], name: str | None = None) -> str:
    """Return an object as an event, with a name where the stream has named ones."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body)}\n\n"
