"""DSPy under LiteLLM's `langsmith` callback: DSPy asks its models through LiteLLM."""

import asyncio

import dspy
import litellm
from common import STUB, each_case
from litellm.integrations.langsmith import LangsmithLogger

MODEL = dspy.LM("openai/gpt-4.1", api_base=f"{STUB}/v1", api_key="x", temperature=0.2, cache=False)


async def ask(case):
    messages = [{"role": "user", "content": case["question"]}]
    if "system" in case:
        messages.insert(0, {"role": "system", "content": case["system"]})
    if not {"tool", "structured", "stream"}.isdisjoint(case):
        return  # DSPy writes tools and forms into its prompts.
    await MODEL.acall(messages=messages)


async def main():
    logger = LangsmithLogger()
    litellm.callbacks = [logger]
    await each_case(ask)
    await asyncio.sleep(2)
    await logger.async_send_batch()


asyncio.run(main())
