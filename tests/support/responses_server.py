"""A model at the wire of OpenAI's Responses API: it records each request, answers from a script."""

import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 10,
}


class ResponsesServer:
    """Answers `/v1/responses` with the lists of items in `answers`, in turn.

    `requests` holds the JSON bodies.
    """

    def __init__(self, answers):
        self.answers = list(answers)
        self.requests = []
        self.app = FastAPI()
        self.app.post("/v1/responses")(self.respond)

    async def respond(self, request: Request):
        body = json.loads(await request.body())
        self.requests.append(body)
        items = self.answers.pop(0)
        if body.get("stream"):
            return StreamingResponse(self.events(items), media_type="text/event-stream")
        return self.response(items)

    @staticmethod
    def response(items, status="completed"):
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "status": status,
            "output": items,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "text": {"format": {"type": "text"}},
            "usage": USAGE,
        }

    def events(self, items):
        events = [{"type": "response.created", "response": self.response([], "in_progress")}]
        for index, item in enumerate(items):
            begun = {**item, "status": "in_progress"}
            pieces = {"message": message_pieces, "function_call": call_pieces}
            emptied, inside = pieces.get(item["type"], reasoning_pieces)(begun)
            place = {"output_index": index, "item_id": item["id"]}
            events.append({"type": "response.output_item.added", **place, "item": emptied})
            events += [{**place, **event} for event in inside]
            events.append({"type": "response.output_item.done", **place, "item": item})
        events.append({"type": "response.completed", "response": self.response(items)})
        for number, event in enumerate(events):
            data = json.dumps({**event, "sequence_number": number})
            yield f"event: {event['type']}\ndata: {data}\n\n"


def message_pieces(item):
    inside = []
    for number, part in enumerate(item["content"]):
        place = {"content_index": number}
        empty = {**part, "text": ""}
        inside.append({"type": "response.content_part.added", **place, "part": empty})
        for at in range(0, len(part["text"]), 4):
            piece = {"delta": part["text"][at : at + 4], "logprobs": []}
            inside.append({"type": "response.output_text.delta", **place, **piece})
        done = {"text": part["text"], "logprobs": []}
        inside.append({"type": "response.output_text.done", **place, **done})
        inside.append({"type": "response.content_part.done", **place, "part": part})
    return {**item, "content": []}, inside


def call_pieces(item):
    text = item["arguments"]
    kind = "response.function_call_arguments"
    inside = [
        {"type": f"{kind}.delta", "delta": text[at : at + 4]} for at in range(0, len(text), 4)
    ]
    inside.append({"type": f"{kind}.done", "arguments": text, "name": item["name"]})
    return {**item, "arguments": ""}, inside


def reasoning_pieces(item):
    inside = []
    for number, part in enumerate(item["summary"]):
        place = {"summary_index": number}
        kind = "response.reasoning_summary"
        inside += [
            {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}},
            {"type": f"{kind}_text.delta", **place, "delta": part["text"]},
            {"type": f"{kind}_text.done", **place, "text": part["text"]},
            {"type": f"{kind}_part.done", **place, "part": part},
        ]
    return {**item, "summary": []}, inside


def said(text, item_id="msg_1"):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": item_id, "role": "assistant", "status": "completed"}
    return {**message, "content": [part]}


def called(name, arguments, call_id="call_1"):
    fields = {"name": name, "arguments": arguments, "call_id": call_id, "status": "completed"}
    return {"type": "function_call", "id": f"fc_{call_id}", **fields}


def thought(text, item_id="rs_1"):
    return {
        "type": "reasoning",
        "id": item_id,
        "summary": [{"type": "summary_text", "text": text}],
    }
