#!/bin/sh
# langsmith 0.15.1, Client(tracing_mode="otel"): a run that fails a while after it began is exported
# as a span with the status OK. The exporter sets OK when the run begins, and OpenTelemetry's SDK
# ignores each later status, so the ERROR at its end has no effect; only the event `exception` tells
# of the failure. A run that begins and fails within one batch of the client is exported as ERROR.
#
# What one would expect: ERROR, as LangSmith's own API has it for the same run. Whoever selects spans
# by status learns from failed calls, such as half an answer of a stream that broke.
#
# Output seen, 2026-11-30:
#   at once: ERROR exception
#   later: OK exception
#
# Installs the pinned packages in a temporary folder, and fails if the behaviour changes. Needs
# Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    langsmith==0.15.1 opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
cat > "$folder/show.py" <<'PYTHON'
import time

from langsmith import Client
from langsmith.run_trees import RunTree
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
client = Client(api_url="http://127.0.0.1:9", api_key="any", tracing_mode="otel",
                otel_tracer_provider=provider)
for name, wait in (("at once", 0), ("later", 3)):
    run = RunTree(name=name, run_type="llm", inputs={"messages": []}, client=client)
    run.post()
    time.sleep(wait)
    run.end(error="the stream broke")
    run.patch()
    client.flush()
    time.sleep(3)
spans = {span.name: span for span in kept.get_finished_spans()}
for name, span in spans.items():
    print(f"{name}: {span.status.status_code.name}", *(event.name for event in span.events))
later = spans["later"]
assert later.status.status_code.name == "OK", "The status is right now."
assert [event.name for event in later.events] == ["exception"]
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
