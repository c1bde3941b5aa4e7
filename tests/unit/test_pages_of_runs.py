"""A page of runs from LangSmith is read whole, whatever one of its runs contains."""

import json

import pytest
from langsmith import Client

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.sessions import EncodedChat
from support.dialects import RUNS, TOLD, wrapped
from support.runs import TOOL, WIRE_ANSWER, WIRE_SENT, run
from support.servers import served

PROJECT = "00000000-0000-4000-8000-000000000007"
INTERNAL = run(extra={"invocation_params": {}, "metadata": {"lc_internal_call": "summarization"}})
WHOLE = {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}


def langsmith(runs, version="0.12.0"):
    """An app that answers each query with the runs, as JSON with escapes."""
    project = {"id": PROJECT, "tenant_id": PROJECT, "name": "app", "reference_dataset_id": None}
    answers = {
        "/info": {"version": version},
        "/sessions": [{**project, "start_time": "2026-11-01T10:00:00+00:00"}],
        "/runs/query": {"runs": runs, "cursors": {}},
        "/api/v2/runs/query": {"items": runs},
    }

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        body = json.dumps(answers[scope["path"]]).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize("calls", ["all", "last"])
def test_half_a_character_costs_one_run_of_a_page(calls):
    half = {"role": "user", "content": "half \ud83d"}
    runs = [run(), wrapped({"messages": [half]}, TOLD), run()]
    with served(langsmith(runs)) as url:
        client = Client(api_url=url, api_key="any", auto_batch_tracing=False)
        loader = LangSmithRunChatLoader(project_name="app", client=client, calls=calls)
        sessions = loader.invoke({})
        examples = Convert().invoke(sessions)
        assert list(examples) == [WHOLE, WHOLE]
        assert examples.rejected_by_reason() == {"invalid_unicode": 1}
        [_, fixed, _] = Convert(fix=True).invoke(sessions)
        assert fixed["messages"][0]["content"] == "half \ufffd"


@pytest.mark.parametrize("version", ["0.12.0", "0.16.0"])
def test_runs_read_as_they_are_make_the_lines_of_those_that_are_parsed(version):
    runs = [run(), *(each for each, _ in RUNS.values() if "id" in each), run(), INTERNAL]
    with served(langsmith(runs, version)) as url:
        client = Client(api_url=url, api_key="any", auto_batch_tracing=False)
        sessions = LangSmithRunChatLoader(project_name="app", client=client).invoke({})
        as_they_are = [each for each in sessions.encoded() if isinstance(each, EncodedChat)]
        assert len(as_they_are) > 2
        skipped = sessions.skipped
        made, parsed = Convert().invoke(sessions), Convert().invoke(list(sessions))
        assert list(made) == list(parsed)
        assert [each.source for each in made.rows()] == [each.source for each in parsed.rows()]
        assert skipped == sessions.skipped
        assert skipped[-1].code == "internal_call"
