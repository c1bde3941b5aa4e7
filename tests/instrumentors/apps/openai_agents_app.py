"""OpenAI's agents SDK under LangSmith's processor. PROVIDER is responses or chat."""

import asyncio

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_trace_processors,
)
from common import PROVIDER, STUB, Sum, calculator, each_case
from langsmith import Client
from langsmith.integrations.openai_agents_sdk import OpenAIAgentsTracingProcessor
from openai import AsyncOpenAI

client = Client()
set_trace_processors([OpenAIAgentsTracingProcessor(client)])
KIND = OpenAIResponsesModel if PROVIDER == "responses" else OpenAIChatCompletionsModel
MODEL = KIND("gpt-4.1", AsyncOpenAI(api_key="x", base_url=f"{STUB}/v1"))


async def ask(case):
    agent = Agent(
        name="sums",
        instructions=case.get("system"),
        model=MODEL,
        tools=[function_tool(calculator)] if "tool" in case else [],
        output_type=Sum if "structured" in case else None,
        model_settings=ModelSettings(temperature=0.2),
    )
    if "stream" in case:
        async for _ in Runner.run_streamed(agent, case["question"]).stream_events():
            pass
    else:
        await Runner.run(agent, case["question"])


asyncio.run(each_case(ask))
client.flush()
