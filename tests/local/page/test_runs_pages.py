"""The list of runs, a run's page, and what is said of runs there."""

import json
import uuid
from urllib.parse import quote

import pytest

from langchain_finetune import LangSmithRunChatLoader, LoadError
from support.dialects import RUNS
from support.runs import constructor, run


def rows(page):
    return [each["id"].removeprefix("run-") for each in page.all("tr") if "id" in each]


@pytest.fixture
def listed(visitor, own_runs):
    """The ids that the list shows, with conditions."""

    def read(**conditions):
        page = visitor.get(own_runs(**conditions))
        assert page.status == 200
        return rows(page)

    return read


def said(text, **kwargs):
    return constructor("AIMessage", content=text, type="ai", **kwargs)


def test_a_run_is_listed_with_what_was_asked_and_answered(visitor, trace, own_runs):
    usage = {"input_tokens": 1034, "output_tokens": 22, "total_tokens": 1056}
    metadata = {"ls_model_name": "gpt-4.1-mini", "usage_metadata": usage}
    run_id = trace(run(answer=said("Room 7.")), extra={"metadata": metadata})
    page = visitor.get(own_runs())
    assert rows(page) == [run_id]
    for shown in ("A room with two beds?", "Room 7.", "gpt-4.1-mini", "1,056", "2.0 s"):
        assert shown in page.text


def test_every_condition(listed, trace, judge):
    model = {"extra": {"metadata": {"ls_model_name": "gpt-4.1-mini"}}}
    liked = trace(name="First chat", **model)
    failed = trace(error="TimeoutError", outputs={})
    pending = trace(unfinished=True, outputs={})
    tool = trace({"run_type": "tool", "name": "find", "inputs": {}, "outputs": {"output": "x"}})
    judge(liked, "user_score", score=1)
    judge(failed, "user_score", score=0)
    judge(failed, "other", score=1)
    assert listed() == [tool, pending, failed, liked]
    assert listed(kind="llm") == [pending, failed, liked]
    assert listed(kind="tool") == [tool]
    assert listed(kind="any") == [tool, pending, failed, liked]
    assert listed(name="first CHAT") == [liked]
    assert listed(name='"') == []
    assert listed(model="4.1") == listed(model="4.1", kind="llm") == [liked]
    assert listed(status="error") == [failed]
    assert listed(status="pending") == [pending]
    assert listed(feedback_key="user_score") == [failed, liked]
    assert listed(feedback_key="user_score", at_least="0.5") == [liked]
    assert listed(feedback_key="user_score", at_most="0,5") == [failed]
    assert listed(at_least="1") == [failed, liked]
    assert listed(filter='and(eq(status, "success"), search("beds"))') == [liked]
    assert listed(filter='eq(name, "find")', kind="llm") == []


def test_conditions_of_a_whole_trace(visitor, listed, langsmith, judge, project, own_runs):
    root, child = str(uuid.uuid4()), str(uuid.uuid4())
    orders = [f"20261101T100000000000Z{root}"]
    orders.append(f"{orders[0]}.20261101T100001000000Z{child}")
    shared = {"trace_id": root, "project_name": project, "end_time": "2026-11-01T10:00:05Z"}
    langsmith.create_run(
        name="agent", run_type="chain", inputs={"input": "Two beds?"}, outputs={"output": "Room 7"},
        id=root, dotted_order=orders[0], start_time="2026-11-01T10:00:00Z", **shared,
    )  # fmt: skip
    data = run(extra={"metadata": {"ls_model_name": "gpt-4.1", "usage_metadata": {
        "input_tokens": 5, "output_tokens": 6, "total_tokens": 11}}})  # fmt: skip
    langsmith.create_run(
        name="ChatOpenAI", run_type="llm", inputs=data["inputs"], outputs=data["outputs"],
        extra=data["extra"], id=child, parent_run_id=root, dotted_order=orders[1],
        start_time="2026-11-01T10:00:01Z", **shared,
    )  # fmt: skip
    judge(root, "user_score", score=1)
    assert listed() == [root]
    assert listed(model="gpt-4.1") == [root]
    assert listed(model="gpt-5") == []
    # What users say lies at the root; the call inside is found by it, too.
    assert listed(kind="llm", feedback_key="user_score", at_least="1") == [child]
    assert listed(kind="llm", feedback_key="user_score", at_most="0") == []
    line = visitor.get(own_runs(name="agent")).text
    assert "Two beds? Room 7 11" in line
    page = visitor.get(f"/ui/runs/{root}")
    assert "From the last model call of this run, ChatOpenAI" in page.text
    assert "find_room" in page.text
    links = {each["href"] for each in page.all("a")}
    assert f"/ui/runs/{child}" in links
    assert "this call; loaders select it with" in visitor.get(f"/ui/runs/{child}").text


@pytest.mark.parametrize(
    ("conditions", "field", "message"),
    [
        ({"filter": "eq(name"}, "filter", "is missing at character 8"),
        ({"filter": 'eq(nothing, "x")'}, "filter", "nothing"),
        ({"filter": "and(" * 40}, "filter", "nested deeper"),
        ({"at_least": "high"}, "at_least", "must be a number"),
        ({"at_most": "1e400"}, "at_most", "must be a number"),
        ({"at_most": "nan"}, "at_most", "must be a number"),
    ],
)
def test_a_malformed_condition_is_told_in_its_place(visitor, conditions, field, message):
    page = visitor.get("/", **conditions)
    assert page.status == 400
    assert message in page.text
    [faulty] = [each for each in page.all("input") + page.all("textarea") if "aria-invalid" in each]
    assert (faulty["id"], faulty["aria-describedby"]) == (field, f"fault-{field}")


@pytest.mark.parametrize("query", ["after=x", "project=x", "kind=x&project=%00", "after=WzEsMl0="])
def test_addresses_that_nobody_clicked(visitor, query):
    assert visitor.get(f"/?{query}").status in {200, 400}


def test_pages_follow_each_other(visitor, listed, trace, own_runs):
    ids = [trace(name=f"chat {number}") for number in range(27)]
    assert listed() == ids[:1:-1]
    page = visitor.get(own_runs(name="chat"))
    [older] = [each["href"] for each in page.all("a") if each.get("rel") == "next"]
    page = visitor.get(older)
    assert rows(page) == ids[1::-1]
    assert not [each for each in page.all("a") if each.get("rel") == "next"]
    for each in page.all("a", **{"class": "button"}):  # The newest runs, and newer ones.
        assert rows(visitor.get(each["href"])) == ids[:1:-1]


def test_votes_are_feedback_that_loaders_select_by(visitor, trace, langsmith, project):
    run_id = trace()
    liked = LangSmithRunChatLoader(
        client=langsmith, project_name=project, feedback={"key": "user_score", "above": 0}
    )
    vote = f"/ui/runs/{run_id}/vote"
    page = visitor.post(vote, came_from="/?name=x", vote="like")
    assert page.address == f"/?name=x#run-{run_id}"
    assert len(liked.load()) == 1
    assert visitor.post(vote, came_from=f"/ui/runs/{run_id}", vote="dislike").address.startswith(
        f"/ui/runs/{run_id}"
    )
    [feedback] = langsmith.list_feedback(run_ids=[run_id])
    assert (feedback.key, feedback.score, str(feedback.trace_id)) == ("user_score", 0, run_id)
    assert len(liked.load()) == 0
    pressed = visitor.get(f"/ui/runs/{run_id}").all("button", name="vote")
    # In the list, Enter in another field must not cast a vote: they have a form of their own.
    assert {each["form"] for each in visitor.get("/").all("button", name="vote")} == {"vote"}
    assert [(each["aria-pressed"], each["value"]) for each in pressed] == [
        ("false", "like"),
        ("true", ""),
    ]
    visitor.post(vote, vote="")
    visitor.post(vote, vote="")
    assert list(langsmith.list_feedback(run_ids=[run_id])) == []
    assert visitor.post(vote, vote="love").status == 400


def test_where_a_vote_was_cast_elsewhere_nobody_is_sent_there(visitor, trace, engine):
    run_id = trace()
    for referer in ("https://evil.example/", "//evil.example", "/v1/models"):
        headers = {"Referer": referer if ":" in referer else engine.url + referer}
        answer = visitor._client.post(
            f"/ui/runs/{run_id}/vote",
            data={"vote": "like"},
            headers=headers,
            follow_redirects=False,
        )
        assert answer.headers["location"] == f"/ui/runs/{run_id}#run-{run_id}"


def test_a_correction_takes_the_answers_place(visitor, trace, langsmith, project):
    run_id = trace(run(answer=said("Room 8.")))
    corrected = LangSmithRunChatLoader(
        client=langsmith,
        project_name=project,
        feedback={"key": "correction", "use_correction": True},
    )
    address = f"/ui/runs/{run_id}/correction"
    assert ">\nRoom 8.</textarea>" in visitor.get(f"/ui/runs/{run_id}").html
    page = visitor.post(address, text="Room 7.\r\nNo, 9.", calls="")
    assert "The correction was saved." in page.text
    assert ">\nRoom 7.\nNo, 9.</textarea>" in page.html
    [session] = corrected.load()
    assert session["messages"][-1].content == "Room 7.\nNo, 9."
    assert session["rejected"] == {"role": "assistant", "content": "Room 8."}
    assert "The correction was saved." not in visitor.get(f"/ui/runs/{run_id}").text
    assert "The correction was removed." in visitor.post(address, undo="true").text
    with pytest.raises(LoadError, match="No run of the project has feedback of 'correction'"):
        list(corrected.load())


def test_calls_are_corrected_too(visitor, trace, langsmith, project):
    run_id = trace()
    form = visitor.get(f"/ui/runs/{run_id}")
    assert [each["id"] for each in form.all("textarea")] == ["text", "calls"]
    calls = '[{"name": "find_room", "arguments": {"beds": 3}, "id": "call_5"}]'
    visitor.post(f"/ui/runs/{run_id}/correction", text=" ", calls=calls)
    loader = LangSmithRunChatLoader(
        client=langsmith,
        project_name=project,
        feedback={"key": "correction", "use_correction": True},
    )
    [session] = loader.load()
    [call] = session["messages"][-1].tool_calls
    assert (call["name"], call["args"], call["id"]) == ("find_room", {"beds": 3}, "call_5")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "must have text or tool calls"),
        ({"text": " \r\n"}, "must have text or tool calls"),
        ({"text": "kept text", "calls": "{nonsense"}, "are not valid JSON"),
        ({"text": "kept text", "calls": '{"name": "f"}'}, "must be a list"),
        ({"text": "kept text", "calls": '["f"]'}, "Each tool call must have a name"),
        ({"text": "kept text", "calls": "[" * 3000}, "are not valid JSON"),
    ],
)
def test_a_malformed_correction_loses_nothing_that_was_typed(visitor, trace, form, message):
    page = visitor.post(f"/ui/runs/{trace()}/correction", **form)
    assert page.status == 400
    assert message in page.text
    assert form.get("text", "").strip() in page.text
    assert form.get("calls", "")[:20] in page.html.replace("&#34;", '"')


def test_other_feedback_is_shown_and_can_be_removed(visitor, trace, langsmith, judge):
    run_id = trace()
    judge(run_id, "judge", score=0.25, comment="Too short")
    page = visitor.get(f"/ui/runs/{run_id}")
    assert "judge 0.25" in page.text
    assert "Too short" in page.text
    [remove] = [each["action"] for each in page.all("form") if each["action"].endswith("/remove")]
    assert "The feedback was removed." in visitor.post(remove).text
    assert list(langsmith.list_feedback(run_ids=[run_id])) == []
    assert visitor.post(remove).status == 404


def test_images_are_told_and_not_fetched(visitor, trace):
    shown = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4096}},
        {"type": "image_url", "image_url": "https://evil.example/pixel.png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}},
    ]
    sent = [constructor("HumanMessage", content=shown, type="human")]
    page = visitor.get(f"/ui/runs/{trace(run(sent, said('A cat')))}")
    assert "Image (image/png, 3 KiB)" in page.text
    assert "Image at https://evil.example/pixel.png" in page.text
    assert "Image (image/webp, 3 bytes)" in page.text
    assert page.all("img") == []


@pytest.mark.parametrize(
    "name", ["wrap_openai, Responses", "openai-agents", "wrap_anthropic, result"]
)
def test_other_shapes_are_shown_as_conversations(visitor, trace, name):
    page = visitor.get(f"/ui/runs/{trace(RUNS[name][0])}")
    shown = page.text
    places = [shown.index(text) for text in ("You run a hotel.", "two beds?", "find_room")]
    assert places == sorted(places)
    assert "does not contain a chat that can be displayed" not in shown
    messages = page.all("article")
    assert len(messages) >= 3
    assert not [each for each in messages if each["class"] == "message other"]


def test_runs_that_hold_no_chat_are_shown_as_they_are(visitor, trace, engine):
    for inputs, outputs in (({}, {}), ({"query": ["x"]}, {"documents": [{"page": "y"}]})):
        data = {"run_type": "retriever", "name": "find", "inputs": inputs, "outputs": outputs}
        page = visitor.get(f"/ui/runs/{trace(data)}")
        assert page.status == 200, engine.log()
        assert "does not contain a chat that can be displayed" in page.text
        for value in (*inputs, *outputs):
            assert value in page.text


@pytest.mark.parametrize("run_id", [str(uuid.UUID(int=7)), "x", quote("../x", safe=""), "%00"])
def test_runs_that_there_are_not(visitor, run_id):
    page = visitor.get(f"/ui/runs/{run_id}")
    assert page.status in {400, 404}
    assert "Something went wrong" in page.text
    assert visitor.post(f"/ui/runs/{run_id}/vote", vote="like").status in {400, 404, 405}


def test_what_people_wrote_stays_out_of_the_log(visitor, trace, engine):
    run_id = trace(run(answer=said("my secret answer")))
    visitor.get("/", filter='search("my secret filter")')
    visitor.get("/", filter="my secret fault")
    visitor.post(f"/ui/runs/{run_id}/correction", text="my secret correction", calls="{my secret")
    visitor.post(f"/ui/runs/{run_id}/correction", text="my secret correction")
    assert "my secret" not in engine.log()
    assert json.dumps(run_id) not in engine.log()


def test_a_failure_says_its_error_and_folds_the_traceback(visitor, trace):
    stored = "TimeoutError('in 7 s')Traceback (most recent call last):\n  in app.py"
    page = visitor.get(f"/ui/runs/{trace(error=stored, outputs={})}")
    assert '<pre class="notice failed">TimeoutError(&#39;in 7 s&#39;)</pre>' in page.html
    folded = page.html.partition("<summary>Traceback</summary>")[2].partition("</details>")[0]
    assert "app.py" in folded
