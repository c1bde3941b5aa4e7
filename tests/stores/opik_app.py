"""Traces an app with Opik's SDK, reads it with `OpikChatLoader`, and writes what came as JSON.

It runs in an environment of its own, with a stand-in of Opik's API: `opik_app.py FOLDER`.
"""

import gzip
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, Request, Response

from support.model_server import ModelServer, call, text
from support.servers import served


class OpikServer:
    """Keeps the traces and spans that were sent; answers as Opik's documented API does."""

    def __init__(self):
        self.kept = {"traces": {}, "spans": {}}
        self.searches = []
        self.app = FastAPI()
        self.app.post("/v1/private/{kind}/batch")(self.add)
        self.app.put("/v1/private/{kind}/feedback-scores")(self.score)
        self.app.post("/v1/private/spans/search")(self.search)
        self.app.get("/v1/private/traces/{trace_id}")(self.trace)
        self.app.get("/is-alive/ping")(self.ping)

    async def ping(self):
        return {}

    async def add(self, kind: str, request: Request):
        for each in (await body(request))[kind]:
            given = {key: value for key, value in each.items() if value is not None}
            self.kept[kind].setdefault(each["id"], {}).update(given)
        return Response(status_code=204)

    async def score(self, kind: str, request: Request):
        for each in (await body(request))["scores"]:
            scores = self.kept[kind][each["id"]].setdefault("feedback_scores", [])
            scores.append({"name": each["name"], "value": each["value"], "source": "sdk"})
        return Response(status_code=204)

    async def search(self, request: Request):
        asked = await body(request)
        self.searches.append(asked)
        found = [span for span in self.kept["spans"].values() if self.is_wanted(span, asked)]
        found.sort(key=lambda span: span["id"], reverse=True)
        lines = "".join(json.dumps(span) + "\n" for span in found[: asked["limit"]])
        return Response(lines, media_type="application/octet-stream")

    def is_wanted(self, span, asked):
        if asked.get("last_retrieved_id") and span["id"] >= asked["last_retrieved_id"]:
            return False
        compare = {"=": lambda a, b: a == b, "<": lambda a, b: a < b, ">=": lambda a, b: a >= b}
        return all(
            compare[each["operator"]](
                str(span[each["field"]]).replace("Z", "+00:00"), each["value"]
            )
            for each in asked["filters"]
        )

    def trace(self, trace_id: str):
        return self.kept["traces"][trace_id]


async def body(request):
    raw = await request.body()
    return json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)


def what_comes(loader, server, folder):
    """What the loader gives, and what an export of the same traces gives."""
    from langchain_finetune import Convert, RunFileChatLoader

    exported = Path(folder) / "export"
    exported.mkdir()
    for trace in server.kept["traces"].values():
        spans = [span for span in server.kept["spans"].values() if span["trace_id"] == trace["id"]]
        path = exported / f"trace_{trace['id']}.json"
        path.write_text(json.dumps({"trace": trace, "spans": spans}, indent=2))
    examples = (loader | Convert()).invoke({})
    sessions = loader.invoke({})
    found = {
        "lines": list(examples),
        "sources": [session["source"] for session in sessions],
        "skipped": [skip.code for skip in sessions.skipped],
        "notes": dict(sessions.notes),
        "files": list((RunFileChatLoader(exported) | Convert()).invoke({})),
        "limit": len(list(loader.invoke({"limit": 2}))),
        "tags": len(list(loader.invoke({"tags": "hotel"}))),
        "selected": {},
    }
    for name, feedback in {
        "root": {"key": "user_score", "at_least": 1, "use_score": True},
        "run": {"key": "own", "on": "run", "below": 1, "use_score": True},
        "unknown": {"key": "unknown"},
    }.items():
        found["selected"][name] = [
            [session["messages"][-1].content, session.get("score")]
            for session in loader.invoke({"feedback": feedback})
        ]
    times = sorted(span["start_time"] for span in server.kept["spans"].values())
    found["later"] = len(list(loader.invoke({"start_time": times[1]})))
    return found


def main(folder):
    booked = call("Book", '{"guests": 2}')
    answers = [text("Certainly."), text("Certainly, for two."), None, booked, booked]
    server, model_server = OpikServer(), ModelServer(answers)
    with served(server.app) as url, served(model_server.app) as model_url:
        os.environ |= {"OPIK_URL_OVERRIDE": url, "OPIK_SENTRY_ENABLE": "false"}
        import opik
        from langchain_openai import ChatOpenAI
        from openai import OpenAI, OpenAIError
        from opik.integrations.langchain import OpikTracer
        from opik.integrations.openai import track_openai

        from langchain_finetune import OpikChatLoader
        from langchain_finetune.loaders import opik as opik_loader

        tool = {"type": "function", "function": {"name": "Book", "parameters": {"type": "object"}}}
        address = {"base_url": f"{model_url}/v1", "api_key": "x", "max_retries": 0}
        tracer = OpikTracer(project_name="app", tags=["hotel"])
        model = ChatOpenAI(model="m", temperature=0, **address)
        asked = [("system", "You book tables."), ("user", "A table, please")]
        config = {"callbacks": [tracer], "metadata": {"thread_id": "t-1"}}
        model.invoke(asked, config)
        list(model.stream(asked, config))
        with suppress(OpenAIError):
            model.invoke(asked, config)
        model.bind_tools([tool]).invoke(asked, config)
        tracked = track_openai(OpenAI(**address), project_name="app")
        messages = [{"role": "user", "content": "A table, please"}]
        tracked.chat.completions.create(model="m", messages=messages, tools=[tool])
        tracer.flush()
        opik.flush_tracker()
        client = opik.Opik(project_name="app")
        client.flush()
        opik_loader._PAGE = 2  # So that there are several pages.
        loader = OpikChatLoader(project_name="app", client=client)
        for session in loader.load():
            source = session["source"]
            value = {"Certainly.": 1.0, "Certainly, for two.": 0.0}.get(
                session["messages"][-1].content
            )
            if value is not None:
                score = {"name": "user_score", "value": value}
                client.log_traces_feedback_scores([{**score, "id": source["trace_id"]}], "app")
                score["name"] = "own"
                client.log_spans_feedback_scores([{**score, "id": source["run_id"]}], "app")
        client.flush()
        found = what_comes(loader, server, folder) | {"ended": 0}
        end = opik.Opik.end

        def noted(*arguments, **options):
            found["ended"] += 1
            return end(*arguments, **options)

        opik.Opik.end = noted
        # One is abandoned half-way.
        found["own client"] = len(list(loader.invoke({"client": None})))
        next(iter(loader.invoke({"client": None, "limit": 1})))
        loader.load()
        (Path(folder) / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
