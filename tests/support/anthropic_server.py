"""A model at Anthropic's wire: it records each request and answers from a script."""

import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

USAGE = {"input_tokens": 5, "output_tokens": 5}


class AnthropicServer:
    """Answers `/v1/messages` with the lists of content blocks in `answers`, in turn.

    `requests` holds the JSON bodies.
    """

    def __init__(self, answers):
        self.answers = list(answers)
        self.requests = []
        self.app = FastAPI()
        self.app.post("/v1/messages")(self.respond)

    async def respond(self, request: Request):
        body = json.loads(await request.body())
        self.requests.append(body)
        blocks = self.answers.pop(0)
        if body.get("stream"):
            return StreamingResponse(self.events(blocks), media_type="text/event-stream")
        return {**envelope(), "content": blocks, "stop_reason": reason(blocks)}

    def events(self, blocks):
        events = [{"type": "message_start", "message": envelope()}]
        for index, block in enumerate(blocks):
            empty, deltas = pieces(block)
            place = {"index": index}
            events.append({"type": "content_block_start", **place, "content_block": empty})
            events += [{"type": "content_block_delta", **place, "delta": d} for d in deltas]
            events.append({"type": "content_block_stop", **place})
        end = {"stop_reason": reason(blocks), "stop_sequence": None}
        events.append({"type": "message_delta", "delta": end, "usage": USAGE})
        events.append({"type": "message_stop"})
        for event in events:
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def envelope():
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    }


def pieces(block):
    """An empty block, and what fills it as it streams."""
    if block["type"] == "tool_use":
        text = json.dumps(block["input"])
        cut = [text[at : at + 4] for at in range(0, len(text), 4)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in cut]
        return {**block, "input": {}}, deltas
    if block["type"] == "thinking":
        return {**block, "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    cut = [block["text"][at : at + 4] for at in range(0, len(block["text"]), 4)]
    return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut]


def reason(blocks):
    return "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
