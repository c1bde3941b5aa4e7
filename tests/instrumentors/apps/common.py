"""What the apps share: the cases, a tool, a form, and a loop that names what failed."""

import asyncio
import json
import os
import sys
from pathlib import Path

from pydantic import BaseModel

STUB, PROVIDER = os.environ["STUB"], os.environ["PROVIDER"]
CASES = json.loads(Path(os.environ["CASES"]).read_text())
TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Does sums.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}


class Sum(BaseModel):
    """A sum."""

    answer: int


def calculator(expression: str) -> str:
    """Does sums."""
    return "8"


async def each_case(ask):
    """Ask each case; print what one raises, which the test then shows."""
    for name, case in CASES.items():
        [raised] = await asyncio.gather(ask(case), return_exceptions=True)
        if raised is not None:
            sys.stdout.write(f"{name}: {type(raised).__name__} {str(raised)[:300]}\n")


def trace_by_otlp():
    """Send spans where the environment says, in batches; returns the provider to shut down."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
