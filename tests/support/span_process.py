"""Sends spans into a store with OpenTelemetry's own exporter: one of several processes.

`python -m support.span_process URL PROJECT TRACES` prints the ids of its runs, one a line.
"""

import json
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def told(role, text):
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def write(url, project, traces):
    """Record traces of an agent with one model call; return trace, span and parent of each."""
    exporter = OTLPSpanExporter(
        f"{url}/otel/v1/traces",
        headers={"x-api-key": "any", "Langsmith-Project": project},
        compression=Compression.Gzip,
    )
    provider = TracerProvider()
    # Nothing may be dropped before it is sent, and a trace is spread over several requests.
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=2**20, max_export_batch_size=33)
    )
    tracer = provider.get_tracer("test")
    spans = []
    for number in range(traces):
        with tracer.start_as_current_span("app") as root:
            question = json.dumps([told("user", f"Question {number}")])
            with tracer.start_as_current_span("chat") as child:
                answer = f"{child.get_span_context().span_id:016x}"
                child.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.input.messages": question,
                        "gen_ai.output.messages": json.dumps([told("assistant", answer)]),
                    }
                )
        spans += [root.get_span_context(), child.get_span_context()]
    # Whatever is left 30 seconds after a shutdown, the SDK drops without a word.
    provider.force_flush()
    provider.shutdown()
    return [(f"{span.trace_id:032x}", f"{span.span_id:016x}") for span in spans]


if __name__ == "__main__":
    for trace_id, span_id in write(sys.argv[1], sys.argv[2], int(sys.argv[3])):
        sys.stdout.write(f"{trace_id}:{span_id}\n")
