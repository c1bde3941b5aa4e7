"""Requests and answers of other APIs in the form of OpenAI's chat API, for comparison.

Written apart from the package, so that one checks the other. Arguments of calls are parsed, since
other APIs have them as data; reasoning is left out.
"""

import json


def settled(line):
    """A training example whose calls have their arguments as data."""
    messages = json.loads(json.dumps(line["messages"]))
    for call in (call for message in messages for call in message.get("tool_calls", ())):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return {**line, "messages": messages}


def call_of(call_id, name, arguments):
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def chat_form_of_responses(request, output):
    """The example of a request to the Responses API and the items that came back."""
    given = request["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = []
    if request.get("instructions"):
        messages.append({"role": "system", "content": request["instructions"]})
    for item in [*items, *output]:
        kind = item.get("type", "message")
        if kind == "message":
            messages.append({"role": item["role"], "content": responses_content(item)})
        elif kind == "function_call":
            call = call_of(item["call_id"], item["name"], json.loads(item["arguments"]))
            if messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            result = {"role": "tool", "content": item["output"], "tool_call_id": item["call_id"]}
            messages.append(result)
        else:
            assert kind == "reasoning"
    line = {"messages": messages}
    if request.get("tools"):
        fields = ("name", "description", "parameters", "strict")
        line["tools"] = [
            {"type": "function", "function": {key: tool[key] for key in fields if key in tool}}
            for tool in request["tools"]
        ]
    if "parallel_tool_calls" in request and "tools" in line:
        line["parallel_tool_calls"] = request["parallel_tool_calls"]
    return line


def responses_content(item):
    content = item["content"]
    if isinstance(content, str):
        return content
    if item["role"] == "assistant":
        return "".join(part["text"] for part in content)
    parts = []
    for part in content:
        if part["type"] == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            parts.append({"type": "text", "text": part["text"]})
    return parts


def chat_form_of_anthropic(request, output):
    """The example of a request to Anthropic's API and the blocks that came back."""
    messages = []
    if request.get("system"):
        messages.append({"role": "system", "content": request["system"]})
    for message in [*request["messages"], {"role": "assistant", "content": output}]:
        content = message["content"]
        if isinstance(content, str):
            messages.append({"role": message["role"], "content": content})
        elif message["role"] == "assistant":
            messages.append(anthropic_answer(content))
        else:
            texts = [block for block in content if block["type"] == "text"]
            if texts:
                messages.append({"role": message["role"], "content": texts})
            for block in (each for each in content if each not in texts):
                assert block["type"] == "tool_result"
                result = {"content": block["content"], "tool_call_id": block["tool_use_id"]}
                messages.append({"role": "tool", **result})
    line = {"messages": messages}
    if request.get("tools"):
        names = {"name": "name", "description": "description", "input_schema": "parameters"}
        line["tools"] = [
            {
                "type": "function",
                "function": {names[key]: tool[key] for key in tool if key in names},
            }
            for tool in request["tools"]
        ]
    return line


def anthropic_answer(blocks):
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    uses = [block for block in blocks if block["type"] == "tool_use"]
    calls = [call_of(use["id"], use["name"], use["input"]) for use in uses]
    answer = {"role": "assistant", "content": text or None}
    return {**answer, "tool_calls": calls} if calls else answer
