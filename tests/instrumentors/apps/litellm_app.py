"""LiteLLM under its `langsmith` callback. PROVIDER is openai, responses, anthropic, messages."""

import asyncio

import litellm
from common import PROVIDER, STUB, TOOL, Sum, each_case
from litellm.integrations.langsmith import LangsmithLogger

logger = None
MODELS = {
    "openai": ("openai/gpt-4.1", f"{STUB}/v1"),
    "responses": ("openai/gpt-4.1", f"{STUB}/v1"),
    "anthropic": ("anthropic/claude-sonnet-4-5", STUB),
    "messages": ("anthropic/claude-sonnet-4-5", STUB),
}
MODEL, BASE = MODELS[PROVIDER]
SETTINGS = {"model": MODEL, "api_base": BASE, "api_key": "x", "temperature": 0.2}


async def chat(case):
    messages = [{"role": "user", "content": case["question"]}]
    if "system" in case:
        messages.insert(0, {"role": "system", "content": case["system"]})
    more = {}
    if "tool" in case:
        more["tools"] = [TOOL]
    if "structured" in case:
        more["response_format"] = Sum
    if "stream" in case:
        async for _ in await litellm.acompletion(messages=messages, stream=True, **SETTINGS):
            pass
        return
    answer = await litellm.acompletion(messages=messages, **more, **SETTINGS)
    if "tool" in case:
        said = answer.choices[0].message
        result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "8"}
        await litellm.acompletion(
            messages=[*messages, said.model_dump(), result], **more, **SETTINGS
        )


async def responses(case):
    more = {"instructions": case["system"]} if "system" in case else {}
    if "tool" in case:
        more["tools"] = [{"type": "function", **TOOL["function"]}]
    if "structured" in case:
        more["text_format"] = Sum
    items = [{"role": "user", "content": case["question"]}]
    answer = await litellm.aresponses(input=items, stream="stream" in case, **more, **SETTINGS)
    if "stream" in case:
        async for _ in answer:
            pass
    if "tool" in case:
        call = answer.output[0]
        given = {"type": "function_call", "name": call.name, "arguments": call.arguments}
        items += [{**given, "call_id": call.call_id}]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "8"}]
        await litellm.aresponses(input=items, **more, **SETTINGS)


async def messages(case):
    if "stream" in case:
        return  # Needs what LiteLLM's proxy needs.
    more = {"system": case["system"]} if "system" in case else {}
    if "tool" in case or "structured" in case:
        function = TOOL["function"]
        more["tools"] = [
            {
                "name": function["name"],
                "description": function["description"],
                "input_schema": function["parameters"],
            }
        ]
    if "structured" in case:
        more["tool_choice"] = {"type": "tool", "name": "calculator"}
    sent = [{"role": "user", "content": case["question"]}]
    options = {"max_tokens": 500, **more, **SETTINGS}
    answer = await litellm.anthropic.messages.acreate(messages=sent, **options)
    if "tool" in case:
        use = answer["content"][0]
        sent += [{"role": "assistant", "content": answer["content"]}]
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "8"}
        sent += [{"role": "user", "content": [result]}]
        await litellm.anthropic.messages.acreate(messages=sent, **options)


async def main():
    logger = LangsmithLogger()
    litellm.callbacks = [logger]
    await each_case({"responses": responses, "messages": messages}.get(PROVIDER, chat))
    await asyncio.sleep(2)
    await logger.async_send_batch()


asyncio.run(main())
