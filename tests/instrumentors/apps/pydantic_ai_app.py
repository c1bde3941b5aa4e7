"""pydantic-ai with its own instrumentation. PROVIDER is openai, responses, anthropic or gemini."""

import asyncio

from common import PROVIDER, STUB, Sum, calculator, each_case, trace_by_otlp
from pydantic_ai import Agent, ModelSettings
from pydantic_ai.models.instrumented import InstrumentationSettings


def model():
    if PROVIDER == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = AsyncAnthropic(api_key="x", base_url=STUB)
        return AnthropicModel(
            "claude-sonnet-4-5", provider=AnthropicProvider(anthropic_client=client)
        )
    if PROVIDER == "gemini":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel("gemini-2.5-pro", provider=GoogleProvider(api_key="x", base_url=STUB))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    kind = OpenAIResponsesModel if PROVIDER == "responses" else OpenAIChatModel
    return kind("gpt-4.1", provider=OpenAIProvider(api_key="x", base_url=f"{STUB}/v1"))


async def ask(case):
    agent = Agent(
        model(),
        system_prompt=case.get("system", ()),
        tools=[calculator] if "tool" in case else [],
        output_type=Sum if "structured" in case else str,
        model_settings=ModelSettings(temperature=0.2),
    )
    if "stream" in case:
        async with agent.run_stream(case["question"]) as answer:
            async for _ in answer.stream_text():
                pass
    else:
        await agent.run(case["question"])


provider = trace_by_otlp()
Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
asyncio.run(each_case(ask))
provider.shutdown()
