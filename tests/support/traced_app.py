"""One app, traced to several stores at the same time, and what their tracers keep of it."""

import copy
import json
import warnings
from contextlib import contextmanager

import pytest
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from openai import BadRequestError

from e2e.test_fidelity import ASK, CASES, Book, invoke
from langchain_finetune import Convert
from support.model_server import ModelServer, text
from support.servers import served

APP = CASES | {
    "json schema": (
        lambda m: m.with_structured_output(Book, method="json_schema"),
        [ASK],
        text('{"guests": 2.0, "place": "here"}'),
        invoke,
    ),
}


def ask_all(callbacks):
    """Make the calls of the app, one of which fails."""
    server = ModelServer([answer for _, _, answer, _ in APP.values()] + [None])
    with served(server.app) as url:
        model = ChatOpenAI(
            model="m", base_url=f"{url}/v1", api_key="x", temperature=0, max_retries=0
        )
        for name, (build, messages, _, ask) in APP.items():
            config = {"callbacks": callbacks, "tags": [name], "metadata": {"thread_id": "t-1"}}
            ask(build(model), messages, config)
        with pytest.raises(BadRequestError):
            model.invoke([ASK], {"callbacks": callbacks})


def mlflow_tracer():
    """MLflow's tracer of LangChain."""
    with warnings.catch_warnings():  # Its own, and those of langchain-community.
        warnings.simplefilter("ignore")
        from mlflow.langchain.langchain_tracer import MlflowLangchainTracer
    return MlflowLangchainTracer()


@contextmanager
def openinference(exporter):
    """Trace LangChain with OpenInference while it is entered."""
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(resource=Resource({"openinference.project.name": "app"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        provider.shutdown()


@contextmanager
def langsmiths_spans(store, project):
    """LangSmith's tracer that sends runs as spans to a run store; all are there at the end."""
    from langsmith import Client
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    exporter = OTLPSpanExporter(
        f"{store.api_url}/otel/v1/traces", headers={"Langsmith-Project": project}
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = Client(
        api_url=store.api_url, api_key="any", tracing_mode="otel", otel_tracer_provider=provider
    )
    yield LangChainTracer(project_name=project, client=client)
    provider.shutdown()


def examples(loader):
    return (loader | Convert()).invoke({})


def without(line, *changes):
    """A line with some messages or settings changed."""
    changed = copy.deepcopy(line)
    for change in changes:
        change(changed)
    return changed


def rewritten(line):
    """A line whose calls have their arguments as LangChain writes them."""
    for message in line["messages"]:
        for call in message.get("tool_calls", ()):
            function = call["function"]
            function["arguments"] = json.dumps(
                json.loads(function["arguments"]), ensure_ascii=False
            )


def nameless(line):
    for message in line["messages"]:
        message.pop("name", None)


def as_system(line):
    for message in line["messages"]:
        message["role"] = message["role"].replace("developer", "system")


def not_parallel(line):
    line.pop("parallel_tool_calls", None)


KEPT = {
    "recorder": [],
    "langfuse": [rewritten, nameless, not_parallel],
    "mlflow": [rewritten, nameless, as_system],
    "phoenix": [],
    "otlp": [],
}
"""What the tracers of stores do not keep of a request."""


def expected_of(store, traced):
    """The lines that a store gives, of those that LangSmith's tracer gives."""
    lines = [without(line, *KEPT[store]) for line in traced]
    # The tools of 2023, which neither Langfuse nor MLflow keeps, nor LangSmith's exporter.
    whole = store in ("recorder", "phoenix")
    return [line for line in lines if whole or "functions" not in line]
