"""DSPy under OpenInference's instrumentation. Its models do not stream by themselves."""

import asyncio

import dspy
from common import STUB, TOOL, each_case, trace_by_otlp
from openinference.instrumentation.dspy import DSPyInstrumentor

provider = trace_by_otlp()
DSPyInstrumentor().instrument(tracer_provider=provider)
model = dspy.LM("openai/gpt-4.1", api_base=f"{STUB}/v1", api_key="x", temperature=0.2, cache=False)
dspy.configure(lm=model, adapter=dspy.JSONAdapter())


class Sum(dspy.Signature):
    """Do sums."""

    question: str = dspy.InputField()
    answer: int = dspy.OutputField()


async def ask(case):
    if "structured" in case:
        await dspy.Predict(Sum).acall(question=case["question"])
        return
    messages = [{"role": "user", "content": case["question"]}]
    if "system" in case:
        messages.insert(0, {"role": "system", "content": case["system"]})
    if "tool" not in case:
        await model.acall(messages=messages)
        return
    [said] = await model.acall(messages=messages, tools=[TOOL])
    calls = [call if isinstance(call, dict) else call.model_dump() for call in said["tool_calls"]]
    messages += [{"role": "assistant", "content": None, "tool_calls": calls}]
    messages += [{"role": "tool", "tool_call_id": calls[0]["id"], "content": "8"}]
    await model.acall(messages=messages, tools=[TOOL])


asyncio.run(each_case(ask))
provider.shutdown()
