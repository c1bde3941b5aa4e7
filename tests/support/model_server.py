"""A chat model at OpenAI's wire: it records each request and answers from a script."""

import json

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

USAGE = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


class ModelServer:
    """Answers `/v1/chat/completions` with the messages of `answers`, in turn.

    `requests` holds the JSON bodies; `answered` the messages that were sent back.
    """

    def __init__(self, answers):
        self.answers = list(answers)
        self.requests = []
        self.answered = []
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)

    async def complete(self, request: Request):
        body = json.loads(await request.body())
        self.requests.append(body)
        answer = self.answers.pop(0)
        self.answered.append(answer)
        if answer is None:
            return JSONResponse({"error": {"message": "broken", "type": "server_error"}}, 400)
        if body.get("stream"):
            return StreamingResponse(self.chunks(answer), media_type="text/event-stream")
        choice = {"index": 0, "message": answer, "finish_reason": reason(answer)}
        return self.envelope("chat.completion", [choice]) | {"usage": USAGE}

    @staticmethod
    def envelope(kind, choices):
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m", "choices": choices}

    def chunks(self, answer):
        deltas = [{"role": "assistant", "content": ""}]
        if answer.get("content"):
            text = answer["content"]
            deltas += [{"content": text[at : at + 3]} for at in range(0, len(text), 3)]
        for index, call in enumerate(answer.get("tool_calls") or ()):
            function = call["function"]
            start = {"name": function["name"], "arguments": ""}
            deltas.append({"tool_calls": [{**call, "index": index, "function": start}]})
            for at in range(0, len(function["arguments"]), 4):
                piece = {"arguments": function["arguments"][at : at + 4]}
                deltas.append({"tool_calls": [{"index": index, "function": piece}]})
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": reason(answer)})
        for choice in choices:
            yield f"data: {json.dumps(self.envelope('chat.completion.chunk', [choice]))}\n\n"
        yield "data: [DONE]\n\n"


def reason(answer):
    if answer.get("tool_calls"):
        return "tool_calls"
    return "function_call" if answer.get("function_call") else "stop"


def text(content):
    return {"role": "assistant", "content": content}


def call(name, arguments, call_id="call_1"):
    function = {"name": name, "arguments": arguments}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def function_call(name, arguments):
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": None, "function_call": function}
