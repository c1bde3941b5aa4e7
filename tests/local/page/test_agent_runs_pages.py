"""Runs of agents on the page: what was asked and answered, and finding, picking, reviewing many."""

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.tracers.langchain import wait_for_all_tracers
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from langsmith import traceable, tracing_context
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from langchain_finetune.local.page.run_views import run_lines
from langchain_finetune.local.sqlite import Database
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_changes import run_change
from langchain_finetune.local.store.run_queries import v1_query
from support.browser import (
    WAIT_S,
    complaints,
    faults_of_access,
    is_cut_off,
    needs_browser,
    screen,
    sign_in,
)
from support.page_data import ShopModel, find_order, shop_agent
from support.runs import constructor


@pytest.fixture
def traced(langsmith, project):
    """Calls something with the tracing of LangChain's own tracer on."""

    def call(act):
        with tracing_context(enabled=True, client=langsmith, project_name=project):
            act()
        wait_for_all_tracers()
        langsmith.flush()

    return call


@pytest.fixture
def shop(traced):
    agent, questions = shop_agent(1)
    config = {"configurable": {"thread_id": "t"}, "tags": ["web"], "run_name": "Shop"}
    for question in questions:
        traced(lambda asked=question: agent.invoke({"messages": [("user", asked)]}, config))
    return questions


class Notes(MessagesState):
    notes: list[str]


def _graph(key):
    """A graph whose state holds messages in a field of any name."""

    def answer(state):
        return {key: [*state[key], AIMessage("Room 7 is free.")]}

    graph = StateGraph(Notes if key == "messages" else dict)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    return graph.compile()


def summaries(page):
    text = page.html.partition("<tbody>")[2].partition("</tbody>")[0]
    parts = text.split('<p class="question">')[1:]
    return [
        (part.partition("</p>")[0], part.partition('<p class="answer')[2].partition("</p>")[0][2:])
        for part in parts
    ]


def test_an_agents_run_shows_the_last_question_and_answer(visitor, shop, own_runs):
    first, last = shop
    shown = summaries(visitor.get(own_runs()))
    assert [question for question, _ in shown] == [last, first]
    assert shown[0][1].startswith("You&#39;re welcome")
    assert shown[1][1].startswith("Your helmet (order 4712) has been shipped")


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("messages", {"messages": [HumanMessage("A room?")], "notes": ["x"]}),
        ("messages", {"messages": ("user", "A room?"), "notes": []}),
        ("messages", {"messages": "A room?", "notes": []}),
        ("talk", {"talk": [HumanMessage("A room?")], "budget": 7}),
    ],
)
def test_any_state_with_messages_shows_them(visitor, traced, own_runs, key, given):
    traced(lambda: _graph(key).invoke(given))
    [(question, answer)] = summaries(visitor.get(own_runs()))
    assert (question, answer) == ("A room?", "Room 7 is free.")


def test_a_graph_without_a_traced_model_shows_its_conversation(visitor, traced, own_runs):
    traced(lambda: _graph("talk").invoke({"talk": [HumanMessage("A room?")]}))
    [link] = [a for a in visitor.get(own_runs()).all("a") if "/ui/runs/" in a.get("href", "")]
    page = visitor.get(link["href"])
    assert "does not contain a chat" not in page.text
    assert page.text.index("A room?") < page.text.index("Room 7 is free.")


def test_a_structured_answer_is_no_json(visitor, traced, own_runs):
    schema = {
        "title": "Room",
        "description": "A room.",
        "type": "object",
        "properties": {"number": {"type": "integer"}},
    }
    says = [AIMessage("", tool_calls=[{"name": "Room", "args": {"number": 7}, "id": "c"}])]
    agent = create_agent(ShopModel(messages=iter(says)), [find_order], response_format=schema)
    traced(lambda: agent.invoke({"messages": [HumanMessage("A room?")]}))
    [(question, answer)] = summaries(visitor.get(own_runs()))
    assert question == "A room?"
    assert answer == "Room({&#34;number&#34;: 7})"


HISTORY = [HumanMessage("When do you open?"), AIMessage("At nine.")]


def _chain(*says):
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Desk."), MessagesPlaceholder("chat_history"), ("user", "{input}")]
    )
    return prompt | ShopModel(messages=iter(map(AIMessage, says))) | StrOutputParser()


def test_a_chain_with_a_history_shows_what_was_asked_last(visitor, traced, own_runs):
    asked = {"input": "And when do you close?"}
    chain = _chain("At nine.", "At six.", "At six, too.")
    documents = RunnablePassthrough.assign(context=lambda _: [Document("Open from 9 to 18.")])
    traced(lambda: chain.invoke({"input": "When do you open?", "chat_history": []}))
    traced(lambda: chain.invoke({**asked, "chat_history": HISTORY}))
    rag = documents | RunnablePassthrough.assign(answer=chain)
    traced(lambda: rag.invoke({**asked, "chat_history": HISTORY}))
    assert summaries(visitor.get(own_runs())) == [
        ("And when do you close?", "At six, too."),
        ("And when do you close?", "At six."),
        ("When do you open?", "At nine."),
    ]


def test_a_function_with_a_history_shows_its_question(visitor, traced, own_runs):
    @traceable
    def answer_mail(mail, history):
        return "At six."

    traced(lambda: answer_mail("And when do you close?", HISTORY))
    assert summaries(visitor.get(own_runs())) == [("And when do you close?", "At six.")]


def test_an_answer_in_a_state_without_messages_is_shown(visitor, traced, own_runs):
    graph = StateGraph(dict)
    graph.add_node("answer", lambda state: {**state, "documents": ["a"], "answer": "At six."})
    graph.add_edge(START, "answer")
    traced(lambda: graph.compile().invoke({"question": "When do you close?", "user_id": 7}))
    assert summaries(visitor.get(own_runs())) == [("When do you close?", "At six.")]


def test_a_step_that_waits_for_a_person_has_not_failed(visitor, traced, own_runs):
    @tool
    def renew(title: str) -> str:
        """Renew a loan."""
        return interrupt(f"May {title} be renewed?")

    call = {"name": "renew", "args": {"title": "Momo"}, "id": "c"}
    says = [AIMessage("", tool_calls=[call])]
    model = ShopModel(messages=iter(says))
    agent = create_agent(model, [renew], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    traced(lambda: agent.invoke({"messages": [HumanMessage("Renew Momo")]}, config))
    listed = visitor.get(own_runs(kind="any"))
    assert listed.text.count("waits for a person") == 2
    links = [
        each["href"] for each in visitor.get(own_runs()).all("a") if "/ui/runs/" in each["href"]
    ]
    tree = visitor.get(links[0]).html.partition('<ol class="tree">')[2].partition("</ol>")[0]
    assert tree.count("waits for a person") == 2
    assert "failed" not in tree + listed.html.partition("<tbody>")[2].partition("</tbody>")[0]


def test_the_steps_of_an_agent_show_texts(visitor, shop, own_runs):
    shown = [answer for _, answer in summaries(visitor.get(own_runs(kind="any", size="100")))]
    assert len(shown) > 8
    assert [each for each in shown if each.startswith(("{&#34;content", "[{"))] == []
    assert "{&#34;order&#34;: 4712, &#34;state&#34;: &#34;shipped&#34;, &#34;days&#34;: 2}" in shown


def test_a_list_asks_the_store_as_often_for_many_runs_as_for_one(tmp_path, monkeypatch):
    store = RunStore(tmp_path / "runs.sqlite")
    asked = []
    for name in ("search", "page", "rows"):
        reads = getattr(Database, name)
        monkeypatch.setattr(
            Database, name, lambda *given, reads=reads: asked.append(given[1]) or reads(*given)
        )
    for number in range(20):
        for name in ("app", "model"):
            run_id = f"{number:08}-0000-4000-8000-00000000000{'2' if name == 'model' else '1'}"
            root = f"{number:08}-0000-4000-8000-000000000001"
            order = f"20261101T100000{number:06}Z{root}"
            posted = {
                "id": run_id,
                "trace_id": root,
                "name": name,
                "start_time": f"2026-11-01T10:00:00.{number:06}Z",
                "session_name": "p",
                "dotted_order": order if name == "app" else f"{order}.{order[:-1]}2",
                "run_type": "chain" if name == "app" else "llm",
                "inputs": {"input": "Hi"},
                "outputs": {"usage": {"input_tokens": 1, "output_tokens": number}},
                "extra": {"metadata": {"ls_model_name": "nano"}},
            }
            if name == "model":
                posted["parent_run_id"] = root
            store.runs.apply([run_change("post", posted)])
    project = store.projects.all(limit=1)[0]["id"]
    counts = []
    for size in (1, 20):
        query = v1_query({"session": [project], "is_root": True, "limit": size})
        found = store.runs.find(query).runs
        asked.clear()
        lines = run_lines(store, found)
        counts.append(len(asked))
    store.close()
    assert counts[0] == counts[1]
    assert [line.model for line in lines] == ["nano"] * 20
    assert [line.tokens for line in lines] == [number + 1 for number in range(20)][::-1]


def test_a_run_says_when_its_steps_began_and_whose_results_it_has(
    visitor, shop, own_runs, monkeypatch
):
    link = visitor.get(own_runs()).all("a")
    address = next(a["href"] for a in link if "/ui/runs/" in a.get("href", ""))
    page = visitor.get(address)
    assert "<h3>tool <code>find_order</code></h3>" in page.html
    tree = page.html.partition('<ol class="tree">')[2].partition("</ol>")[0]
    assert "chain, " in tree
    assert "llm, after " in tree


def test_a_result_without_a_name_gets_that_of_its_call(visitor, trace):
    call = {"id": "c1", "type": "function", "function": {"name": "find_room", "arguments": "{}"}}
    sent = [
        constructor("HumanMessage", content="A room?", type="human"),
        constructor("AIMessage", content="", type="ai", additional_kwargs={"tool_calls": [call]}),
        constructor("ToolMessage", content="7", type="tool", tool_call_id="c1"),
    ]
    answer = constructor("AIMessage", content="Room 7.", type="ai")
    run_id = trace(
        inputs={"messages": [sent]},
        outputs={"generations": [[{"text": "", "message": answer}]]},
        run_type="llm",
        extra={},
    )
    assert "<h3>tool <code>find_room</code></h3>" in visitor.get(f"/ui/runs/{run_id}").html


def test_variables_of_the_app_are_not_shown_as_metadata(visitor, traced, own_runs, monkeypatch):
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", "team-7")
    monkeypatch.setenv("LANGCHAIN_CALLBACKS_BACKGROUND", "false")
    extra = {"LANGSMITH_ENDPOINT": "http://here", "LANGCHAIN_PROJECT": "p", "tenant": "acme"}
    traced(lambda: _graph("talk").invoke({"talk": [HumanMessage("A?")]}, {"metadata": extra}))
    links = visitor.get(own_runs()).all("a")
    page = visitor.get(next(a["href"] for a in links if "/ui/runs/" in a.get("href", "")))
    assert "tenant" in page.text
    metadata = page.html.partition('id="metadata"')[2]
    assert "LANGSMITH_" not in metadata
    assert "LANGCHAIN_" not in metadata


def rows(page):
    return [each["id"].removeprefix("run-") for each in page.all("tr") if "id" in each]


def test_matches_are_counted_and_found_by_day_tag_and_text(visitor, trace, own_runs):
    ids = [trace(name=f"Run {number}", tags=["odd"] * (number % 2)) for number in range(30)]
    asked = trace(inputs={"input": 'Is "Room 9" Free?'}, outputs={"output": "No"}, run_type="chain")
    page = visitor.get(own_runs())
    assert "31 runs" in page.text
    assert rows(visitor.get(own_runs(tag="odd"))) == ids[1::2][::-1]
    assert "15 runs" in visitor.get(own_runs(tag="odd")).text
    assert rows(visitor.get(own_runs(text='"room 9" free'))) == [asked]
    assert "1 run " in visitor.get(own_runs(text='"room 9" free')).text
    assert "31 runs" in visitor.get(own_runs(since="2026-11-01", until="2026-11-01")).text
    assert rows(visitor.get(own_runs(since="2026-11-02"))) == []
    assert rows(visitor.get(own_runs(until="2026-10-31"))) == []
    wrong = visitor.get(own_runs(since="yesterday"))
    assert wrong.status == 400
    assert wrong.all("input", id="since")[0]["aria-invalid"] == "true"


def test_pages_of_any_size_go_on_and_back(visitor, trace, own_runs):
    ids = [trace() for _ in range(60)][::-1]
    assert rows(visitor.get(own_runs(size="100"))) == ids
    first = visitor.get(own_runs())
    assert rows(first) == ids[:25]
    [older] = first.all("a", rel="next")
    second = visitor.get(older["href"])
    assert rows(second) == ids[25:50]
    assert "60 runs" in second.text
    third = visitor.get(second.all("a", rel="next")[0]["href"])
    assert rows(third) == ids[50:]
    assert third.all("a", rel="next") == []
    back = visitor.get(third.all("a", rel="prev")[0]["href"])
    assert rows(back) == ids[25:50]
    begin = visitor.get(back.all("a", rel="prev")[0]["href"])
    assert rows(begin) == ids[:25]
    assert begin.all("a", rel="prev") == []


def test_reviewing_goes_from_run_to_run_of_the_list(visitor, trace, own_runs):
    ids = [trace(tags=["review"] if number != 1 else []) for number in range(4)]
    listed = visitor.get(own_runs(tag="review"))
    links = [a["href"] for a in listed.all("a") if a.get("href", "").startswith("/ui/runs/")]
    page = visitor.get(links[0])
    assert page.all("a", rel="prev") == []
    seen = [ids[3]]
    while older := page.all("a", rel="next"):
        page = visitor.get(older[0]["href"])
        seen.append(older[0]["href"].partition("?")[0].rpartition("/")[2])
    assert seen == [ids[3], ids[2], ids[0]]
    assert page.all("a", rel="prev")[0]["href"].startswith(f"/ui/runs/{ids[2]}?")
    # A correction on the way does not lose the way.
    trail = page.all("form", action=f"/ui/runs/{ids[0]}/correction")
    assert trail == []
    [form] = [f for f in page.all("form") if "/correction?" in f["action"]]
    corrected = visitor.post(form["action"], text="No.")
    assert corrected.all("a", rel="prev")
    assert visitor.get(f"/ui/runs/{ids[0]}").all("a", rel="prev") == []


@pytest.fixture
def browser(_browser, engine):
    sign_in(_browser, engine)
    complaints(_browser)
    return _browser


def until(browser, condition):
    return WebDriverWait(browser, WAIT_S).until(lambda _: condition())


def one(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_runs_are_picked_across_pages_with_the_form_in_reach(
    browser, engine, langsmith, project, trace, own_runs, width
):
    ids = [trace() for _ in range(30)][::-1]
    screen(browser, width)
    browser.get(engine.url + own_runs())
    assert one(browser, "[data-picked]").text == "0 selected"
    # The form is in sight without scrolling, and hides less than half of the list.
    place = browser.execute_script(
        "return document.querySelector('.dock').getBoundingClientRect().toJSON()"
    )
    assert place["bottom"] <= 900
    assert place["height"] < 300
    assert not is_cut_off(browser)
    assert faults_of_access(browser) == {}
    for run_id in (ids[0], ids[2]):
        box = one(browser, f"#run-{run_id} input[type=checkbox]")
        browser.execute_script("arguments[0].click()", box)
    browser.get(
        engine.url
        + browser.execute_script(
            "return new URL(document.querySelector('a[rel=next]').href)"
            ".href.slice(location.origin.length)"
        )
    )
    assert one(browser, "[data-picked]").text == "2 selected, 2 of them on other pages"
    box = one(browser, f"#run-{ids[29]} input[type=checkbox]")
    browser.execute_script("arguments[0].click()", box)
    one(browser, "#new_name").send_keys(f"picked {project} {width}", Keys.ENTER)
    until(browser, lambda: "/ui/datasets/" in browser.current_url)
    assert "Added 3 examples" in one(browser, ".notice").text
    dataset = langsmith.read_dataset(dataset_name=f"picked {project} {width}")
    examples = langsmith.list_examples(dataset_id=dataset.id)
    assert {str(each.source_run_id) for each in examples} == {ids[0], ids[2], ids[29]}
    # They are in a dataset: nothing is selected any more.
    browser.get(engine.url + own_runs())
    assert one(browser, "[data-picked]").text == "0 selected"
    assert complaints(browser) == []
