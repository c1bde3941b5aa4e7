"""Choosing runs: LangSmith's own client and tracer, the real store, real sockets."""

import datetime as dt

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import LangChainTracer

from langchain_finetune import (
    Convert,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    LoadError,
    RunQuery,
)
from support.store import NOON, SECOND, record, say, store_client

# langsmith 0.15 advises another method; apps of today call this one.
pytestmark = pytest.mark.filterwarnings("ignore:.*annotation_queue.*deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def langsmith(tmp_path_factory):
    with store_client(tmp_path_factory.mktemp("store") / "runs.db") as client:
        fill(client)
        yield client


def fill(client):
    """Six traces; what is asked in each says what it is."""
    tokens = {"usage_metadata": {"input_tokens": 50, "output_tokens": 50, "total_tokens": 100}}
    gpt = {"extra": {"metadata": {"ls_model_name": "gpt-4.1", "user": 'a "quoted" one', "n": 3}}}
    said = {
        "liked": record(client, "liked", "yes", tags=["prod", "a,b"], **gpt),
        "disliked": record(client, "disliked", "no", at=10, tags=["prod"]),
        "slow": record(client, "slow", "yes", at=20, seconds=30, extra={"metadata": tokens}),
        "named": record(client, "named", "yes", at=30, name="answer"),
        "parse": record(client, "parse", "yes", at=40, trace_error="ParseError"),
        "failed": record(client, "failed", "-", at=50, error="Timeout", trace_error="Timeout"),
    }
    client.flush()
    for key, run, score in [
        ("user_score", "liked", 1),
        ("user_score", "disliked", 0),
        ("other", "disliked", 1),
        ("user_score", "slow", 1),
        ("other", "slow", 1),
        ("user_score", "parse", 1),
    ]:
        say(client, said[run][0], key, score=score)
    say(client, said["named"][1], "judge", value="good")
    say(client, said["named"][1], "judge2", correction={"output": "better"})
    say(client, said["slow"][0], "fix", correction={"output": "fixed"})
    queue = client.create_annotation_queue(name="to check")
    keys = [
        {"run_id": run.id, "session_id": run.session_id, "start_time": run.start_time}
        for run in (said["slow"][0], said["named"][1])
    ]
    project = client.read_project(project_name="app").id
    client.add_runs_to_annotation_queue(queue.id, runs=[{**k, "session_id": project} for k in keys])
    client.flush()


def asked(langsmith, **settings):
    """What the users of the selected runs asked, oldest first."""
    loader = LangSmithRunChatLoader(project_name="app", client=langsmith, **settings)
    return [session["messages"][0].content for session in loader.lazy_load()][::-1]


def answers(langsmith, **settings):
    loader = LangSmithRunChatLoader(project_name="app", client=langsmith, **settings)
    return {s["messages"][0].content: s["messages"][-1].content for s in loader.lazy_load()}


ALL = ["liked", "disliked", "slow", "named", "parse"]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, ALL),
        ({"run_name": "answer"}, ["named"]),
        ({"run_name": ["answer", "ChatOpenAI"]}, ALL),
        ({"model": "gpt-4.1"}, ["liked"]),
        ({"model": ["other", "gpt-4.1"]}, ["liked"]),
        ({"tags": "prod"}, ["liked", "disliked"]),
        ({"tags": ["prod", "a,b"]}, ["liked"]),
        ({"metadata": {"user": 'a "quoted" one'}}, ["liked"]),
        ({"metadata": {"user": 'a "quoted" one', "n": 3}}, ["liked"]),
        ({"metadata": {"user": "3"}}, []),
        ({"start_time": NOON + 20 * SECOND}, ["slow", "named", "parse"]),
        ({"start_time": NOON + 10 * SECOND, "end_time": NOON + 30 * SECOND}, ["disliked", "slow"]),
        ({"min_latency": 10}, ["slow"]),
        ({"max_latency": 10}, ["liked", "disliked", "named", "parse"]),
        ({"min_tokens": 100}, ["slow"]),
        ({"max_tokens": 99}, []),
        ({"error": False}, ALL),
        ({"trace_error": False}, ["liked", "disliked", "slow", "named"]),
        ({"trace_error": True}, ["parse"]),
        ({"feedback": {"key": "user_score"}}, ["liked", "disliked", "slow", "parse"]),
        ({"feedback": {"key": "user_score", "above": 0}}, ["liked", "slow", "parse"]),
        (
            {"feedback": {"key": "user_score", "at_least": 1}, "trace_error": False},
            ["liked", "slow"],
        ),
        ({"feedback": {"key": "user_score", "below": 1}}, ["disliked"]),
        ({"feedback": {"key": "user_score", "at_most": 0}}, ["disliked"]),
        # The other feedback's score does not make up for this one's.
        ({"feedback": [{"key": "user_score", "above": 0}, {"key": "other"}]}, ["slow"]),
        ({"feedback": [{"key": "user_score"}, {"key": "other"}]}, ["disliked", "slow"]),
        ({"feedback": {"key": "judge", "value": "good", "on": "run"}}, ["named"]),
        ({"feedback": {"key": "judge", "value": "good"}}, []),
        ({"annotation_queue": "to check"}, ["named", "slow"][::-1]),
        ({"annotation_queue": "to check", "max_latency": 10}, ["named"]),
        ({"annotation_queue": "to check", "annotation_status": "completed"}, []),
        ({"limit": 2}, ["parse"]),
        ({"limit": 2, "error": False}, ["named", "parse"]),
        ({"where": lambda run: run["session_id"] and "ed" in str(run["inputs"])},
         ["liked", "disliked", "named"]),
        ({"where": lambda run: run["error"] is None, "limit": 2}, ["named", "parse"]),
        ({"where": lambda run: run["total_tokens"] == 100}, ["slow"]),
        ({"sample": 1e-9}, []),
        ({"sample": 1.0, "limit": 1, "error": False}, ["parse"]),
    ],
)  # fmt: skip
def test_conditions_select(langsmith, conditions, found):
    assert asked(langsmith, **conditions) == found


def test_a_query_is_the_chains_input_as_an_object_or_as_json(langsmith):
    chain = LangSmithRunChatLoader(client=langsmith) | Convert()
    query = RunQuery(project_name="app", tags="prod")
    whole = list(chain.invoke(query))
    assert len(whole) == 2
    assert list(chain.invoke({"project_name": "app", "tags": ["prod"]})) == whole
    assert list(chain.invoke(RunQuery.model_validate_json(query.model_dump_json()))) == whole
    # What a query does not say stays as the loader has it.
    loader = LangSmithRunChatLoader(client=langsmith, project_name="app", limit=1)
    assert len(list(loader.invoke(RunQuery(tags="prod")))) == 1


async def test_ainvoke_gives_the_same(langsmith):
    loader = LangSmithRunChatLoader(client=langsmith, project_name="app")
    first, second = loader.invoke({}), await loader.ainvoke({})
    assert list(first) == list(second) != []
    assert first.skipped == second.skipped != []


def test_corrections_replace_answers(langsmith):
    on_run = {"key": "judge2", "on": "run", "use_correction": True}
    assert answers(langsmith, feedback=on_run) == {"named": "better"}
    assert answers(langsmith, feedback=on_run | {"use_correction": False}) == {"named": "yes"}
    on_root = {"key": "fix", "use_correction": True}
    assert answers(langsmith, feedback=on_root) == {"slow": "fixed"}
    both = answers(langsmith, feedback={"key": "user_score", "above": 0, "use_correction": True})
    assert both == {"liked": "yes", "slow": "yes", "parse": "yes"}


def test_a_correction_on_the_root_is_of_the_traces_last_answer(langsmith):
    root, _ = record(langsmith, "one", "first", project="steps")
    record(langsmith, "two", "second", project="steps", at=5, parent=root)
    langsmith.flush()
    say(langsmith, root, "fix", correction="last")
    say(langsmith, root, "fix", score=1)
    langsmith.flush()
    loader = LangSmithRunChatLoader(
        project_name="steps", client=langsmith, feedback={"key": "fix", "use_correction": True}
    )
    assert [s["messages"][-1].content for s in loader.lazy_load()] == ["last", "first"]


def test_a_strict_loader_names_what_was_left_out(langsmith, tmp_path):
    loader = LangSmithRunChatLoader(project_name="app", client=langsmith, strict=True)
    sessions = loader.invoke({})
    found = []
    with pytest.raises(
        LoadError, match=r"1 chat was skipped: 1 errored_run \(The .*\. Their ids: "
    ) as caught:
        found.extend(sessions)
    assert sessions.skipped[0].id in str(caught.value)
    assert len(list(loader.invoke({"error": False}))) == 5
    with pytest.raises(LoadError):
        (loader | Convert()).invoke({}).write_jsonl(tmp_path / "train.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_unknown_places_are_named(langsmith):
    with pytest.raises(LoadError, match="no project 'nope'"):
        LangSmithRunChatLoader(project_name="nope", client=langsmith).load()
    with pytest.raises(LoadError, match="no annotation queue 'nope'"):
        LangSmithRunChatLoader(annotation_queue="nope", client=langsmith).load()


def test_run_ids_are_found_with_and_without_their_project(langsmith):
    ids = [s["source"]["run_id"] for s in LangSmithRunChatLoader(
        project_name="app", client=langsmith).lazy_load()]  # fmt: skip
    unknown = "3f0e2a4e-0000-4000-8000-000000000000"
    for place in ({}, {"project_name": "app"}):
        sessions = LangSmithRunChatLoader([ids[2], unknown, ids[0]], langsmith, **place).invoke({})
        assert [session["source"]["run_id"] for session in sessions] == [ids[2], ids[0]]
        assert [(skip.id, skip.code) for skip in sessions.skipped] == [(unknown, "unknown_run")]
    sessions = LangSmithRunChatLoader(client=langsmith, run_ids=[unknown, ids[2]]).invoke({})
    assert [session["source"]["run_id"] for session in sessions] == [ids[2]]
    assert [(skip.id, skip.code) for skip in sessions.skipped] == [(unknown, "unknown_run")]


@pytest.mark.parametrize(
    "chosen", [{"run_ids": []}, {"start_time": "2026-12-01", "end_time": "2026-11-01"}]
)
def test_a_wrong_choice_is_refused_and_never_taken_for_all(langsmith, chosen):
    with pytest.raises(LoadError, match=r"^The run query is invalid( at 'run_ids')?: \w") as raised:
        LangSmithRunChatLoader(project_name="app", client=langsmith, **chosen)
    assert "Value error" not in str(raised.value)


def test_the_real_tracer_tells_model_tags_and_metadata(langsmith):
    tracer = LangChainTracer(project_name="traced", client=langsmith, tags=["from tracer"])
    model = GenericFakeChatModel(messages=iter([AIMessage("Yes")]), metadata={"tier": "free"})
    chain = ChatPromptTemplate.from_messages([("user", "{input}")]) | model
    chain.invoke({"input": "Hi"}, {"callbacks": [tracer], "metadata": {"user": 7}, "tags": ["x"]})
    tracer.wait_for_futures()
    langsmith.flush()
    for conditions in (
        {"metadata": {"user": 7, "tier": "free"}, "tags": ["x"]},
        {"run_name": "GenericFakeChatModel", "start_time": dt.datetime.now(dt.UTC) - 60 * SECOND},
    ):
        loader = LangSmithRunChatLoader(project_name="traced", client=langsmith, **conditions)
        [session] = loader.load()
        assert list(session["messages"]) == [HumanMessage("Hi"), AIMessage("Yes")]


def test_datasets_that_are_empty_or_hold_bad_rows(langsmith):
    langsmith.create_dataset("empty")
    assert LangSmithDatasetChatLoader(dataset_name="empty", client=langsmith).load() == []
    rows = langsmith.create_dataset("rows")
    user = {"role": "user", "content": "Hi"}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    good = {"role": "assistant", "content": "Hello"}
    for messages in (
        [user],
        [user, {**good, "tool_calls": [call]}, {"role": "tool", "content": "no id"}],
        "no list",
    ):
        langsmith.create_example(
            dataset_id=rows.id, inputs={"messages": messages}, reference_outputs={"message": good}
        )
    examples = LangSmithDatasetChatLoader(dataset_name="rows", client=langsmith) | Convert()
    found = examples.invoke({})
    assert list(found) == [{"messages": [user, good]}]
    assert set(found.rejected_by_reason()) == {"no_chat", "no_tool_call_id"}
    strict = LangSmithDatasetChatLoader(dataset_name="rows", client=langsmith, strict=True)
    with pytest.raises(LoadError, match="1 no_chat"):
        strict.load()


@pytest.mark.parametrize("kind", [LangSmithRunChatLoader, LangSmithThreadChatLoader])
def test_feedback_that_no_run_has_is_told_with_what_there_is(langsmith, kind):
    def loaded(**feedback):
        return list(kind(project_name="app", client=langsmith, feedback=feedback).lazy_load())

    with pytest.raises(LoadError, match="No run of the project has feedback of 'user_scor'; it h"):
        loaded(key="user_scor", above=0)
    with pytest.raises(LoadError, match="'fix', 'judge', 'judge2', 'other', 'user_score'"):
        loaded(key="user_scor")
    # A key that exists, without such a score, is an answer.
    assert loaded(key="user_score", above=9) == []
