"""OpenAI's, Anthropic's and Gemini's own SDKs, asked for each case. Whoever imports it traces."""

from common import PROVIDER, STUB, TOOL, Sum

FUNCTION = TOOL["function"]
FORM = {"name": "Sum", "schema": Sum.model_json_schema(), "strict": True}


def chat(client, case):
    messages = [{"role": "user", "content": case["question"]}]
    if "system" in case:
        messages.insert(0, {"role": "system", "content": case["system"]})
    more = {"model": "gpt-4.1", "temperature": 0.2}
    if "tool" in case:
        more["tools"] = [TOOL]
    if "structured" in case:
        more["response_format"] = {"type": "json_schema", "json_schema": FORM}
    if "stream" in case:
        list(client.chat.completions.create(messages=messages, stream=True, **more))
        return
    said = client.chat.completions.create(messages=messages, **more).choices[0].message
    if "tool" in case:
        made = [call.model_dump() for call in said.tool_calls]
        messages += [{"role": "assistant", "content": None, "tool_calls": made}]
        messages += [{"role": "tool", "tool_call_id": made[0]["id"], "content": "8"}]
        client.chat.completions.create(messages=messages, **more)


def responses(client, case):
    more = {"model": "gpt-4.1", "temperature": 0.2}
    if "system" in case:
        more["instructions"] = case["system"]
    if "tool" in case:
        more["tools"] = [{"type": "function", **FUNCTION}]
    if "structured" in case:
        more["text"] = {"format": {"type": "json_schema", **FORM}}
    items = [{"role": "user", "content": case["question"]}]
    if "stream" in case:
        list(client.responses.create(input=items, stream=True, **more))
        return
    answer = client.responses.create(input=items, **more)
    if "tool" in case:
        call = answer.output[0]
        made = {"type": "function_call", "name": call.name, "arguments": call.arguments}
        items += [{**made, "call_id": call.call_id}]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "8"}]
        client.responses.create(input=items, **more)


def anthropic(client, case):
    more = {"model": "claude-sonnet-4-5", "max_tokens": 500}
    if "system" in case:
        more["system"] = case["system"]
    if "tool" in case or "structured" in case:
        schema = {"input_schema": FUNCTION["parameters"]}
        more["tools"] = [
            {"name": FUNCTION["name"], "description": FUNCTION["description"], **schema}
        ]
    if "structured" in case:
        more["tool_choice"] = {"type": "tool", "name": "calculator"}
    messages = [{"role": "user", "content": case["question"]}]
    if "stream" in case:
        list(client.messages.create(messages=messages, stream=True, **more))
        return
    answer = client.messages.create(messages=messages, **more)
    if "tool" in case:
        use = answer.content[0]
        made = {"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}
        messages += [{"role": "assistant", "content": [made]}]
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "8"}
        messages += [{"role": "user", "content": [result]}]
        client.messages.create(messages=messages, **more)


def gemini(client, case):
    from google.genai import types

    config = {"temperature": 0.2}
    if "system" in case:
        config["system_instruction"] = case["system"]
    if "tool" in case:
        function = {
            "name": FUNCTION["name"],
            "description": FUNCTION["description"],
            "parameters_json_schema": FUNCTION["parameters"],
        }
        config["tools"] = [{"function_declarations": [function]}]
    if "structured" in case:
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = Sum.model_json_schema()
    options = {"model": "gemini-2.5-pro", "config": config}
    contents = [{"role": "user", "parts": [{"text": case["question"]}]}]
    if "stream" in case:
        list(client.models.generate_content_stream(contents=contents, **options))
        return
    answer = client.models.generate_content(contents=contents, **options)
    if "tool" in case:
        made = answer.candidates[0].content
        given = {"name": "calculator", "response": {"result": "8"}}
        result = types.Content(
            role="user", parts=[types.Part(function_response=types.FunctionResponse(**given))]
        )
        client.models.generate_content(contents=[*contents, made, result], **options)


def client():
    """The provider's own client, and what asks it."""
    if PROVIDER == "anthropic":
        from anthropic import Anthropic

        return Anthropic(api_key="x", base_url=STUB, max_retries=0), anthropic
    if PROVIDER == "gemini":
        from google import genai

        options = {"base_url": STUB}
        return genai.Client(api_key="x", http_options=options), gemini
    from openai import OpenAI

    found = OpenAI(api_key="x", base_url=f"{STUB}/v1", max_retries=0)
    return found, {"responses": responses}.get(PROVIDER, chat)
