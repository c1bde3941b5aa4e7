"""OpenInference's instrumentation of the providers' SDKs."""

import asyncio

from common import PROVIDER, each_case, trace_by_otlp
from sdks import client

provider = trace_by_otlp()
if PROVIDER == "anthropic":
    from openinference.instrumentation.anthropic import AnthropicInstrumentor as Instrumentor
else:
    from openinference.instrumentation.openai import OpenAIInstrumentor as Instrumentor
Instrumentor().instrument(tracer_provider=provider)
made, ask = client()


async def asked(case):
    ask(made, case)


asyncio.run(each_case(asked))
provider.shutdown()
