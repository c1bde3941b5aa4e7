"""The playground: as a form without a script, and what its script asks for."""

import asyncio
import datetime as dt
import html
import json
import uuid
from functools import partial
from urllib.parse import unquote

import httpx
import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers
from langsmith import tracing_context
from pydantic import SecretStr

from langchain_finetune.local.app import create_app
from langchain_finetune.local.page.routes import playground as routes
from support.dialects import RUNS
from support.page_data import shop_agent
from support.runs import constructor, run
from support.servers import served
from tests.local.fake_engine import FakeChat

PATH = "/ui/playground"
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find_room", "arguments": '{"beds": 2}'},
}
CALLED = [
    {"role": "user", "content": "A room?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
]
TOOLS = [{"type": "function", "function": {"name": "find_room", "parameters": {}}}]


@pytest.fixture
def turn(engine, visitor):
    """What the page's script gets for a turn."""

    def turn(**form):
        answer = visitor._client.post(f"{PATH}/turn", data=form, headers={"Sec-Fetch-Mode": "cors"})
        return answer.status_code, answer.json()

    return turn


def conversations(page):
    """The conversations that the page carries along."""
    found = []
    for part in page.html.split('<textarea name="conversation"')[1:]:
        text = part.partition(">")[2].partition("<")[0]
        text = text.replace("&#34;", '"').replace("&#39;", "'").replace("&amp;", "&")
        text = text.replace("&lt;", "<").replace("&gt;", ">")
        found.append(json.loads(text or "[]"))
    return found


def chosen(page):
    """The models that are chosen."""
    names = page.html.split('name="model"')[1:]
    picked = []
    for part in names:
        options = part.partition("</select>")[0].split("<option")[1:]
        selected = [each for each in options if " selected" in each.partition(">")[0]]
        picked.append(selected[0].partition(">")[2].partition("<")[0] if selected else "")
    return picked


def test_it_opens_with_the_base_beside_what_was_asked_for(visitor, create, ended):
    tuned = ended(create().id).fine_tuned_model
    assert chosen(visitor.get(PATH))[0] == "nano"
    assert chosen(visitor.get(PATH, model=["nano", tuned])) == ["nano", tuned, ""]
    assert chosen(visitor.get(PATH, model=["nano", tuned, "gpt-3.5-turbo", "more"])) == [
        *("nano", tuned, "gpt-3.5-turbo"),
    ]


def test_models_answer_a_plain_form_side_by_side(visitor, create, ended):
    tuned = ended(create().id).fine_tuned_model
    page = visitor.post(PATH, model=["nano", tuned, ""], message="Hi", system="Be <b>kind</b>.")
    assert page.status == 200
    base, ours, third = conversations(page)
    assert [each["role"] for each in base] == ["user", "assistant"]
    assert '"method": "supervised"' in ours[1]["content"]
    assert third == []
    # The next turn goes on with what the form carries.
    page = visitor.post(
        PATH,
        model=["nano", tuned],
        message="And?",
        conversation=list(map(json.dumps, [base, ours])),
    )
    assert [each["content"] for each in conversations(page)[0]][::2] == ["Hi", "And?"]


def test_an_error_of_the_engine_is_told_beside_its_model(visitor):
    page = visitor.post(PATH, model=["nano", "no-such"], message="Hi")
    assert page.status == 400
    assert "No such model." in page.text
    base, unknown = conversations(page)[:2]
    assert len(base) == 2
    assert unknown == [{"role": "user", "content": "Hi"}]
    # Asked again without a new message, since the conversation waits for an answer.
    page = visitor.post(PATH, model=["", "nano"], conversation=["", json.dumps(unknown)])
    assert len(conversations(page)[1]) == 2


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"message": ""}, "Write a message first."),
        ({"model": ""}, "Choose a model."),
        ({"tools": "[{]"}, "This is not valid JSON:"),
        ({"tools": "[{]"}, "line 1 column 3"),
        ({"tools": '["\\ud800"]'}, "This is not valid JSON:"),
        ({"tools": '{"type": "function"}'}, "Enter a JSON list of tools"),
        ({"tools": "[" * 100_000}, "This is not valid JSON:"),
        ({"temperature": "nan"}, "Enter a number."),
        ({"seed": "9" * 400}, "Enter a whole number."),
        ({"conversation": '[{"role": "user", "content": "\\ud800"}]'}, "JSON list of messages"),
        ({"temperature": "hot"}, "Enter a number."),
        ({"max_tokens": "1.5"}, "Enter a whole number."),
        ({"seed": "x"}, "Enter a whole number."),
        ({"conversation": "[1]"}, "must be a JSON list of messages"),
        ({"conversation": "[" * 100_000}, "must be a JSON list of messages"),
        ({"conversation": '[{"role": "assistant", "tool_calls": [1]}]'}, "JSON list of messages"),
    ],
)
def test_what_is_wrong_is_told(visitor, turn, form, sentence):
    given = {"model": "nano", "message": "Hi"} | form
    page = visitor.post(PATH, **given)
    assert page.status == 400
    assert sentence in page.text
    # The script is told the same, and asks no model.
    status, body = turn(**given)
    if status == 200:
        assert (body["requests"], sentence in body["html"]) == ([], True)
    else:
        assert sentence in body["error"]["message"]


def test_a_number_that_only_the_page_itself_sends_may_be_any(visitor):
    for history in ("9" * 5_000, "²", "-1"):
        assert visitor.post(PATH, model="nano", message="Hi", history=history).status == 200


def test_a_tool_call_waits_for_its_result(turn):
    given = {"model": ["nano"], "conversation": [json.dumps(CALLED)], "action": "submit"}
    status, body = turn(**given)
    assert status == 200
    assert "find_room" in body["html"]
    assert "Result of find_room" in body["html"]
    assert "Write a message first." in body["html"]
    status, body = turn(**given, message="Next question")
    assert "Enter the result of find_room." in body["html"]
    assert "Next question" in body["html"]

    status, body = turn(
        **given, **{"result-0": "[3]"}, tools=json.dumps(TOOLS), system="Be brief.",
        temperature="0", max_tokens="9", seed="1",
    )  # fmt: skip
    result = {"role": "tool", "tool_call_id": "call_1", "content": "[3]"}
    [request] = body["requests"]
    sent = [{name: value for name, value in each.items() if value is not None} for each in CALLED]
    assert request == {
        "column": 0,
        "body": {
            "model": "nano",
            "messages": [{"role": "system", "content": "Be brief."}, *sent, result],
            "tools": TOOLS,
            "temperature": 0.0,
            "max_completion_tokens": 9,
            "seed": 1,
        },
    }


def test_start_over_keeps_the_settings(turn):
    status, body = turn(
        model="nano", conversation=json.dumps(CALLED), system="Be brief.", action="clear"
    )
    assert (status, body["requests"]) == (200, [])
    assert "A room?" not in body["html"]
    assert "Be brief." in body["html"]


def test_a_run_fills_it(visitor, trace):
    extra = {"invocation_params": {"tools": TOOLS}}
    run_id = trace(run(), extra=extra)
    page = visitor.get(PATH, run=run_id, model=["nano", "gpt-3.5-turbo"])
    assert page.status == 200
    assert "A room with two beds?" in page.text
    assert "find_room" in page.text
    assert chosen(page)[:2] == ["nano", "gpt-3.5-turbo"]


def test_a_trace_stands_for_its_last_call_of_a_model(visitor, trace, langsmith):
    parent = str(uuid.uuid4())
    begun = dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
    order = f"{begun:%Y%m%dT%H%M%S%f}Z{parent}"
    langsmith.create_run(
        id=parent, trace_id=parent, dotted_order=order, name="chain", run_type="chain",
        inputs={"input": "x"}, outputs={"output": "y"}, start_time=begun, project_name="chains",
    )  # fmt: skip
    child = str(uuid.uuid4())
    data = run()
    langsmith.create_run(
        id=child, trace_id=parent, parent_run_id=parent, name="ChatOpenAI", run_type="llm",
        dotted_order=f"{order}.{begun:%Y%m%dT%H%M%S%f}Z{child}", start_time=begun,
        inputs=data["inputs"], outputs=data["outputs"], project_name="chains",
    )  # fmt: skip
    assert "A room with two beds?" in visitor.get(PATH, run=parent).text
    link = {"href": f"{PATH}?run={parent}"}
    assert visitor.get(f"/ui/runs/{parent}").all("a", **link) != []


def test_a_run_amid_a_tool_call_can_be_answered(visitor, trace, turn):
    sent = [
        constructor("HumanMessage", content="A room?", type="human"),
        constructor(
            "AIMessage",
            content="",
            type="ai",
            tool_calls=[{"name": "find_room", "args": {"beds": 2}, "id": "call_1"}],
        ),
        constructor("ToolMessage", content="[3]", type="tool", tool_call_id="call_1"),
    ]
    data = run() | {"inputs": {"messages": [sent]}}
    first = conversations(visitor.get(PATH, run=trace(data), model="nano"))[0]
    assert [each["role"] for each in first] == ["user", "assistant", "tool"]
    _, body = turn(model="nano", conversation=json.dumps(first))
    assert body["requests"][0]["body"]["messages"][-1]["content"] == "[3]"


@pytest.mark.parametrize("name", ["wrap_openai, Responses with items", "completion by LangChain"])
def test_runs_of_every_shape_fill_it(visitor, trace, name):
    page = visitor.get(PATH, run=trace(RUNS[name][0]), model="nano")
    assert page.status == 200
    assert "A room with two beds?" in page.text


def test_what_failed_can_be_asked_again(visitor, trace):
    page = visitor.get(PATH, run=trace(error="TimeoutError", outputs={}), model="nano")
    assert page.status == 200
    assert "A room with two beds?" in page.text


def test_a_run_without_a_chat_or_none_is_told(visitor, trace):
    tool = trace({"run_type": "tool", "name": "find", "inputs": {"x": 1}, "outputs": {}})
    page = visitor.get(PATH, run=tool)
    assert (page.status, "(not_an_llm_run)" in page.text) == (400, True)
    for unknown in ("00000000-0000-0000-0000-000000000000", "x"):
        assert visitor.get(PATH, run=unknown).status == 404


def test_what_models_and_people_write_is_text(visitor):
    markup = "</textarea><script>alert(1)</script>"
    told = [{"role": markup, "content": markup}, {"role": "assistant", "content": markup}]
    page = visitor.post(
        PATH, model=[f'nano"{markup}', ""], conversation=json.dumps(told), message=markup,
        system=markup, tools=markup, temperature=markup,
    )  # fmt: skip
    assert all("src" in each for each in page.all("script"))
    assert markup not in page.html


def test_scripts_of_other_sites_get_no_answer(ask, cookie):
    headers = {"Cookie": cookie, "Origin": "http://evil.example"}
    for path in (PATH, f"{PATH}/turn", "/v1/chat/completions"):
        assert ask("POST", path, headers, {"model": "nano", "message": "Hi"})[0] == 403


def textarea(page, name):
    text = page.html.partition(f'name="{name}"')[2].partition(">")[2].partition("</textarea>")[0]
    return html.unescape(text).removeprefix("\n")


def trained_on(create, upload, ended, *lines):
    content = "\n".join(map(json.dumps, lines * 12)).encode()
    return ended(create(training_file=upload(content)).id).fine_tuned_model


def test_try_it_opens_with_what_the_model_was_trained_with(visitor, create, upload, ended):
    tool = {"type": "function", "function": {"name": "find_room", "parameters": {"type": "object"}}}
    schema = {"name": "room", "schema": {"type": "object", "properties": {}}}
    line = {
        "messages": [
            {"role": "system", "content": "You run a <b>hotel</b>."},
            {"role": "user", "content": "A room?"},
            {"role": "assistant", "content": "{}"},
        ],
        "tools": [tool],
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    tuned = trained_on(create, upload, ended, line)
    links = [
        each["href"]
        for each in visitor.get("/ui/models").all("a")
        if tuned in unquote(each["href"])
    ]
    page = visitor.get(next(each for each in links if each.startswith(PATH)))
    assert chosen(page) == ["nano", tuned, ""]
    assert textarea(page, "system") == "You run a <b>hotel</b>."
    assert json.loads(textarea(page, "tools")) == [tool]
    assert json.loads(textarea(page, "response_format")) == line["response_format"]
    assert f"those that {tuned} was trained with" in page.text


def test_what_may_be_large_is_read_beside_the_event_loop(tmp_path, monkeypatch):
    on_loop = []

    def noted(read, *arguments, **options):
        on_loop.append(asyncio._get_running_loop() is not None)
        return read(*arguments, **options)

    for name in ("playground_of_run", "_as_trained"):
        monkeypatch.setattr(routes, name, partial(noted, getattr(routes, name)))
    asked, key = run(), "k" * 30
    app = create_app(tmp_path / "home", SecretStr(key), chat=FakeChat)
    with served(app) as url, httpx.Client(base_url=url, headers={"Origin": url}) as client:
        assert client.post("/runs", json=asked, headers={"x-api-key": key}).is_success
        client.post("/ui/sign-in", data={"api_key": key})
        for params in ({"run": asked["id"]}, {}):
            assert client.get(PATH, params=params).status_code == 200
    assert on_loop == [False, False]


def test_a_preferences_request_is_what_it_was_trained_with(visitor, create, upload, ended):
    sent = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A?"}]
    sides = {
        side: [{"role": "assistant", "content": side}]
        for side in ("preferred_output", "non_preferred_output")
    }
    content = "\n".join([json.dumps({"input": {"messages": sent}, **sides})] * 12).encode()
    job = create(training_file=upload(content), method={"type": "dpo"})
    tuned = ended(job.id).fine_tuned_model
    assert textarea(visitor.get(PATH, model=["nano", tuned]), "system") == "Be kind."


def test_a_model_whose_file_is_gone_opens_without(visitor, create, ended, client):
    job = ended(create().id)
    client.files.delete(job.training_file)
    page = visitor.get(PATH, model=["nano", job.fine_tuned_model])
    assert page.status == 200
    assert textarea(page, "system") == ""


def test_a_response_format_is_sent(turn):
    status, body = turn(model="nano", message="Hi", response_format='{"type": "json_object"}')
    assert status == 200
    assert body["requests"][0]["body"]["response_format"] == {"type": "json_object"}
    _, body = turn(model="nano", message="Hi", response_format="[]")
    assert "Enter a JSON object" in body["html"]
    assert body["requests"] == []


def test_asking_others_the_same_opens_at_the_question_beside_the_answer(
    visitor, langsmith, project, own_runs
):
    agent, questions = shop_agent(3)
    config = {"configurable": {"thread_id": "t"}}
    with tracing_context(enabled=True, client=langsmith, project_name=project):
        for question in questions:
            agent.invoke({"messages": [("user", question)]}, config)
    wait_for_all_tracers()
    langsmith.flush()
    links = [each.get("href", "") for each in visitor.get(own_runs()).all("a")]
    last, first = (each for each in links if each.startswith("/ui/runs/"))
    [link] = [
        each
        for each in visitor.get(first).all("a")
        if PATH in each["href"] and "run=" in each["href"]
    ]
    page = visitor.get(link["href"] + "&model=nano")
    assert textarea(page, "message") == questions[0]
    assert conversations(page)[0] == []
    # What the agent did from the question on is beside: the call, its result, the answer.
    original = json.loads(textarea(page, "original"))
    assert [each["role"] for each in original] == ["assistant", "tool", "assistant"]
    beside = page.html.partition('id="original"')[2]
    assert "Your tyre (order 4714) has been shipped" in beside
    assert "<h3>tool <code>find_order</code></h3>" in beside
    assert any("autofocus" in each for each in page.all("textarea", id="message"))

    page = visitor.get(PATH, run=last.partition("?")[0].rpartition("/")[2], model="nano")
    assert textarea(page, "message") == questions[1]
    assert "4 earlier messages" in page.text
    # It stays beside when the others have answered.
    page = visitor.post(
        PATH,
        model="nano",
        message=questions[1],
        conversation=textarea(page, "conversation"),
        original=textarea(page, "original"),
        history="4",
    )
    assert page.status == 200
    assert "You're welcome, enjoy the tyre!" in html.unescape(
        page.html.partition('id="original"')[2]
    )
    assert conversations(page)[0][-2]["content"] == questions[1]
    assert "4 earlier messages" in page.text


def test_a_model_calls_own_request_stays_as_it_was(visitor, trace):
    sent = [
        constructor("HumanMessage", content="A room?", type="human"),
        constructor("AIMessage", content="", type="ai", additional_kwargs={"tool_calls": [CALL]}),
        constructor("ToolMessage", content="7", type="tool", tool_call_id="call_1"),
    ]
    run_id = trace(run(sent, constructor("AIMessage", content="Room 7.", type="ai")))
    page = visitor.get(PATH, run=run_id, model="nano")
    assert [each["role"] for each in conversations(page)[0]] == ["user", "assistant", "tool"]
    assert textarea(page, "message") == ""
    assert [each["content"] for each in json.loads(textarea(page, "original"))] == ["Room 7."]
