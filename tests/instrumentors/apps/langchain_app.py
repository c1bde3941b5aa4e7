"""LangChain's chat models of Gemini and Mistral, and ChatOpenAI traced by OTLP (`otel`)."""

import asyncio
import os

from common import PROVIDER, STUB, Sum, calculator, each_case

if PROVIDER == "otel":
    os.environ["LANGSMITH_OTEL_ONLY"] = os.environ["LANGSMITH_OTEL_ENABLED"] = "true"

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers.langchain import wait_for_all_tracers


def model():
    if PROVIDER == "gemini":
        from langchain_google_genai import ChatGoogleGenerativeAI

        return ChatGoogleGenerativeAI(
            model="gemini-2.5-pro", api_key="x", base_url=STUB, temperature=0.2
        )
    if PROVIDER == "mistral":
        from langchain_mistralai import ChatMistralAI

        return ChatMistralAI(
            model="mistral-large", api_key="x", endpoint=f"{STUB}/v1", temperature=0.2
        )
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-4.1", api_key="x", base_url=f"{STUB}/v1", temperature=0.2)


async def ask(case):
    messages = [HumanMessage(case["question"])]
    if "system" in case:
        messages.insert(0, SystemMessage(case["system"]))
    if "tool" in case:
        bound = model().bind_tools([tool(calculator)])
        said = await bound.ainvoke(messages)
        result = ToolMessage("8", tool_call_id=said.tool_calls[0]["id"], name="calculator")
        await bound.ainvoke([*messages, said, result])
    elif "structured" in case:
        await model().with_structured_output(Sum).ainvoke(messages)
    elif "stream" in case:
        async for _ in model().astream(messages):
            pass
    else:
        await model().ainvoke(messages)


asyncio.run(each_case(ask))
wait_for_all_tracers()
if PROVIDER == "otel":
    from opentelemetry import trace

    trace.get_tracer_provider().shutdown()
