"""CrewAI under OpenInference's instrumentation of it and of OpenAI's SDK."""

import asyncio
import os

os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"

from common import STUB, Sum, each_case, trace_by_otlp
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from openinference.instrumentation.crewai import CrewAIInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor

provider = trace_by_otlp()
CrewAIInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
OpenAIInstrumentor().instrument(tracer_provider=provider)


@tool("calculator")
def calculator(expression: str) -> str:
    """Does sums."""
    return "8"


def run(case):
    model = LLM(
        model="openai/gpt-4.1",
        base_url=f"{STUB}/v1",
        api_key="x",
        temperature=0.2,
        stream="stream" in case,
    )
    if not {"tool", "structured"} & set(case):
        messages = [{"role": "user", "content": case["question"]}]
        if "system" in case:
            messages.insert(0, {"role": "system", "content": case["system"]})
        model.call(messages)
        return
    agent = Agent(
        role="Clerk",
        goal=case.get("system", "Do sums."),
        backstory="You count.",
        llm=model,
        tools=[calculator] if "tool" in case else [],
    )
    task = Task(
        description=case["question"],
        expected_output="A number.",
        agent=agent,
        output_pydantic=Sum if "structured" in case else None,
    )
    Crew(agents=[agent], tasks=[task]).kickoff()


async def ask(case):
    await asyncio.to_thread(run, case)


asyncio.run(each_case(ask))
provider.shutdown()
