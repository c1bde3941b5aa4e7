"""A model at the wires of OpenAI (both APIs), Anthropic and Gemini: it records each request.

Mistral's chat API is OpenAI's here. It answers by the request: with a call of the first tool until
there is a result, with JSON where a format is asked for, and with text otherwise.
"""

import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from support.anthropic_server import AnthropicServer, envelope, reason
from support.chat_form import call_of, chat_form_of_anthropic, chat_form_of_responses
from support.model_server import USAGE, ModelServer, call, text
from support.responses_server import ResponsesServer, called, said

SCHEMAS = ("parameters", "parametersJsonSchema", "parameters_json_schema")
TEXT, JSON = "The answer is 8.", '{"answer":8}'


class ProviderStub:
    """`requests` holds the wire, the body and the answer of each request, in turn."""

    def __init__(self):
        self.requests = []
        self.app = FastAPI()
        for prefix in ("", "/v1"):
            self.app.post(f"{prefix}/chat/completions")(self.chat)
            self.app.post(f"{prefix}/responses")(self.responses)
            self.app.post(f"{prefix}/messages")(self.anthropic)
        for version in ("v1beta", "v1", "v1beta1"):
            self.app.post(f"/{version}/models/{{method:path}}")(self.gemini)

    async def chat(self, request: Request):
        body = json.loads(await request.body())
        tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
        told = any(message["role"] == "tool" for message in body["messages"])
        form = (body.get("response_format") or {}).get("type", "text") != "text"
        name, arguments = self.pick(tools, told, form)
        answer = call(name, json.dumps(arguments), self.fresh("call")) if name else text(arguments)
        self.requests.append(("chat", body, answer))
        server = ModelServer([answer])
        if body.get("stream"):
            return StreamingResponse(server.chunks(answer), media_type="text/event-stream")
        ended = "tool_calls" if name else "stop"
        choice = {"index": 0, "message": answer, "finish_reason": ended}
        return server.envelope("chat.completion", [choice]) | {"usage": USAGE}

    async def responses(self, request: Request):
        body = json.loads(await request.body())
        items = body["input"] if isinstance(body["input"], list) else []
        tools = [tool.get("name") for tool in body.get("tools") or ()]
        told = any(item.get("type") == "function_call_output" for item in items)
        form = ((body.get("text") or {}).get("format") or {}).get("type", "text") != "text"
        name, arguments = self.pick(tools, told, form)
        if name:
            output = [called(name, json.dumps(arguments), self.fresh("call"))]
        else:
            output = [said(arguments, self.fresh("msg"))]
        self.requests.append(("responses", body, output))
        # The API tells the settings of a request with its answer.
        told = (
            "instructions",
            "temperature",
            "tools",
            "tool_choice",
            "text",
            "parallel_tool_calls",
        )
        echoed = {key: body[key] for key in told if body.get(key) is not None}
        echoed["id"] = self.fresh("resp")
        server = ResponsesServer([])
        server.response = lambda *given: {**ResponsesServer.response(*given), **echoed}
        if body.get("stream"):
            return StreamingResponse(server.events(output), media_type="text/event-stream")
        return server.response(output)

    async def anthropic(self, request: Request):
        body = json.loads(await request.body())
        tools = [tool["name"] for tool in body.get("tools") or ()]
        told = "tool_result" in json.dumps(body["messages"])
        form = "output_format" in body or "format" in (body.get("output_config") or {})
        name, arguments = self.pick(tools, told, form)
        if name:
            blocks = [
                {"type": "tool_use", "id": self.fresh("toolu"), "name": name, "input": arguments}
            ]
        else:
            blocks = [{"type": "text", "text": arguments}]
        self.requests.append(("anthropic", body, blocks))
        if body.get("stream"):
            events = AnthropicServer([]).events(blocks)
            return StreamingResponse(events, media_type="text/event-stream")
        return {**envelope(), "content": blocks, "stop_reason": reason(blocks)}

    async def gemini(self, method: str, request: Request):
        body = json.loads(await request.body())
        tools = [
            function["name"]
            for tool in body.get("tools") or ()
            for function in tool.get("functionDeclarations") or ()
        ]
        told = "functionResponse" in json.dumps(body["contents"])
        settings = body.get("generationConfig") or {}
        form = settings.get("responseMimeType") == "application/json"
        name, arguments = self.pick(tools, told, form)
        part = {"functionCall": {"name": name, "args": arguments}} if name else {"text": arguments}
        self.requests.append(("gemini", body, [part]))
        answer = {
            "candidates": [
                {
                    "index": 0,
                    "finishReason": "STOP",
                    "content": {"role": "model", "parts": [part]},
                }
            ],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 5},
            "modelVersion": "gemini-test",
        }
        if "stream" in method:
            data = f"data: {json.dumps(answer)}\n\n"
            return StreamingResponse(iter([data]), media_type="text/event-stream")
        return answer

    def fresh(self, prefix):
        """An id that no other answer has; Mistral's are nine letters and digits."""
        return f"{prefix}{len(self.requests) + 1:05}"

    @staticmethod
    def pick(tools, told, form):
        """The call of a tool (its name and arguments), or None and a text."""
        if tools and not told:
            own = {"expression": "56/7"} if "calculator" in tools[0] else {"answer": 8}
            return tools[0], own
        return None, JSON if form else TEXT


def chat_form(wire, body, answer):
    """A recorded request and its answer in the chat API's form, with the settings beside it."""
    if wire == "chat":
        messages = json.loads(json.dumps([*body["messages"], answer]))
        for each in (made for message in messages for made in message.get("tool_calls") or ()):
            each["function"]["arguments"] = json.loads(each["function"]["arguments"])
        line = {"messages": messages, "tools": body.get("tools")}
        form = body.get("response_format")
    elif wire == "responses":
        line = chat_form_of_responses(body, answer)
        form = (body.get("text") or {}).get("format")
    elif wire == "anthropic":
        line = chat_form_of_anthropic(body, answer)
        form = body.get("output_format") or (body.get("output_config") or {}).get("format")
    else:
        line, body, form = chat_form_of_gemini(body, answer)
    return {
        "messages": line["messages"],
        "tools": line.get("tools") or [],
        "temperature": body.get("temperature"),
        "tool_choice": body.get("tool_choice"),
        "response_format": bool(form) and form.get("type", "text") != "text",
    }


def chat_form_of_gemini(body, answer):
    """The same of a request to Gemini's API, which gives calls no ids."""
    messages = []
    system = (body.get("systemInstruction") or {}).get("parts") or []
    if system:
        told = [{"type": "text", "text": part["text"]} for part in system]
        messages.append({"role": "system", "content": told[0]["text"] if len(told) == 1 else told})
    for content in [*body["contents"], {"role": "model", "parts": answer}]:
        for part in content["parts"]:
            if "functionCall" in part:
                made = part["functionCall"]
                calls = [call_of("?", made["name"], made.get("args") or {})]
                message = {"role": "assistant", "content": None, "tool_calls": calls}
            elif "functionResponse" in part:
                result = part["functionResponse"]["response"]
                message = {"role": "tool", "content": result, "tool_call_id": "?"}
            else:
                role = "assistant" if content.get("role") == "model" else "user"
                message = {"role": role, "content": part["text"]}
            messages.append(message)
    tools = [
        {
            "type": "function",
            "function": {
                "name": function["name"],
                "description": function.get("description"),
                "parameters": next((function[key] for key in SCHEMAS if key in function), None),
            },
        }
        for tool in body.get("tools") or ()
        for function in tool.get("functionDeclarations") or ()
    ]
    settings = body.get("generationConfig") or {}
    form = {"type": "json"} if settings.get("responseMimeType") == "application/json" else None
    return {"messages": messages, "tools": tools}, settings, form
