"""The page in a real browser: from an app's traces to what a model is to learn."""

import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers
from langsmith import tracing_context
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from langchain_finetune import Convert, LangSmithDatasetChatLoader, LangSmithRunChatLoader
from support.browser import (
    WAIT_S,
    complaints,
    faults_of_access,
    is_cut_off,
    needs_browser,
    screen,
    screenshot,
    sign_in,
)
from support.runs import constructor, run
from walkthrough.calculator import tools_chain
from walkthrough.questions import asked
from walkthrough.teacher import RuleBasedTeacher

pytestmark = needs_browser

ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def browser(_browser, engine):
    """A browser that a one-time link has signed in."""
    sign_in(_browser, engine)
    until(_browser, lambda: heading(_browser) == "Runs")
    complaints(_browser)
    return _browser


@pytest.fixture
def traced(langsmith, project):
    """Three questions to the walkthrough's app, traced by LangChain's own tracer."""
    questions = [question.text for question in asked()[:3]]
    chain = tools_chain(RuleBasedTeacher())
    with tracing_context(enabled=True, client=langsmith, project_name=project):
        for question in questions:
            chain.invoke({"input": question})
    wait_for_all_tracers()
    langsmith.flush()
    return questions


def until(browser, condition):
    return WebDriverWait(browser, WAIT_S).until(lambda _: condition())


def heading(browser):
    return browser.find_element(By.TAG_NAME, "h1").text


def press(browser, name, within=None):
    """Press the button of this name, as it is told to those who don't see it; wait for the page."""
    page = browser.find_element(By.TAG_NAME, "html")
    for button in (within or browser).find_elements(By.TAG_NAME, "button"):
        if button.accessible_name == name and button.is_displayed():
            button.send_keys(Keys.ENTER)
            until(browser, lambda: browser.find_element(By.TAG_NAME, "html") != page)
            until(
                browser, lambda: browser.execute_script("return document.readyState") == "complete"
            )
            return
    raise AssertionError(f"There is no button {name!r}.")


def row_of(browser, question):
    [row] = [
        row for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr") if question in row.text
    ]
    return row


def pressed(browser, question):
    """The votes that a row shows."""
    try:
        row = row_of(browser, question)
        return [each.text for each in row.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")]
    except StaleElementReferenceException:  # It is just being replaced.
        return []


def vote(browser, question, opinion):
    [button] = row_of(browser, question).find_elements(By.CSS_SELECTOR, f".{opinion.lower()}")
    name = button.accessible_name
    assert name.startswith(f"{opinion} RunnableSequence")
    button.send_keys(Keys.ENTER)
    until(browser, lambda: pressed(browser, question) == [opinion])
    # The page stays, and so does the place of who uses the keyboard.
    until(browser, lambda: browser.switch_to.active_element.accessible_name == name)


def show(browser, project):
    """Show the traces of a project, by the form."""
    options = browser.find_elements(By.CSS_SELECTOR, "#project option")
    next(option for option in options if option.text == project).click()
    press(browser, "Show")


def test_from_traces_to_examples(browser, engine, langsmith, project, traced, tmp_path):
    good, bad, corrected = traced
    browser.get(engine.url)
    show(browser, project)
    row_of(browser, bad).find_element(By.NAME, "run").click()
    for question, opinion in ((good, "Like"), (bad, "Dislike")):
        vote(browser, question, opinion)
    assert row_of(browser, bad).find_element(By.NAME, "run").is_selected()
    screenshot(browser, tmp_path / "judged.png")

    row_of(browser, corrected).find_element(By.TAG_NAME, "a").click()
    until(browser, lambda: heading(browser) == "RunnableSequence")
    assert (
        corrected in browser.find_element(By.ID, "conversation").find_element(By.XPATH, "..").text
    )
    browser.find_element(By.XPATH, "//summary[.='Correct the answer']").click()
    calls = browser.find_element(By.ID, "calls")
    assert '"name": "Calculator"' in calls.get_attribute("value")
    calls.clear()
    text = browser.find_element(By.ID, "text")
    text.clear()
    text.send_keys("I'd rather not say.")
    press(browser, "Save correction")
    assert "The correction was saved." in browser.find_element(By.CSS_SELECTOR, ".notice").text
    shown = browser.find_elements(By.CSS_SELECTOR, ".message")[-1].text
    assert shown.lower().split("\n") == ["answer, corrected", "i'd rather not say."]
    screenshot(browser, tmp_path / "corrected.png")

    browser.find_element(By.LINK_TEXT, project).click()
    until(browser, lambda: heading(browser) == "Runs")
    press_all = browser.find_element(By.CSS_SELECTOR, "[data-select-all]")
    press_all.click()
    row_of(browser, bad).find_element(By.NAME, "run").click()
    browser.find_element(By.ID, "new_name").send_keys(f"set of {project}", Keys.ENTER)
    until(browser, lambda: heading(browser) == f"set of {project}")
    assert (
        "Added 2 examples to the dataset" in browser.find_element(By.CSS_SELECTOR, ".notice").text
    )
    screenshot(browser, tmp_path / "dataset.png")
    assert complaints(browser) == []

    def questions_and_answers(loader):
        lines = list((loader | Convert()).invoke({}))
        for line in lines:
            assert [tool["function"]["name"] for tool in line["tools"]] == ["Calculator"]
        return {line["messages"][1]["content"]: line["messages"][-1] for line in lines}

    liked = LangSmithRunChatLoader(
        client=langsmith, project_name=project, feedback={"key": "user_score", "above": 0}
    )
    found = questions_and_answers(liked)
    assert found.keys() == {good}
    assert found[good]["tool_calls"][0]["function"]["name"] == "Calculator"
    fixed = LangSmithRunChatLoader(
        client=langsmith,
        project_name=project,
        feedback={"key": "correction", "use_correction": True},
    )
    answer = {"role": "assistant", "content": "I'd rather not say."}
    assert questions_and_answers(fixed) == {corrected: answer}
    picked = LangSmithDatasetChatLoader(dataset_name=f"set of {project}", client=langsmith)
    assert questions_and_answers(picked) == {**found, corrected: answer}


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (1200, True), (360, False), (360, True)]
)
def test_every_page_can_be_read_by_all(
    browser, engine, trace, langsmith, project, width, dark, tmp_path
):
    run_id = trace(
        run(
            answer=constructor("AIMessage", content=f"{ATTACK} {'x' * 300}", type="ai"),
            name="A" * 80,
            tags=["production", ATTACK],
            extra={"metadata": {"a" * 60: "b" * 200, "tenant": ATTACK}},
        )
    )
    trace(error="TimeoutError: " + "y" * 200)
    dataset = langsmith.create_dataset(f"{project} {'z' * 60}")
    langsmith.create_example(inputs={"a": ATTACK}, dataset_id=dataset.id)
    screen(browser, width, dark=dark)
    pages = {
        "runs": "/",
        "filter": "/?filter=search(%22room%22)",
        "fault": "/?filter=room",
        "run": f"/ui/runs/{run_id}",
        "datasets": "/ui/datasets",
        "dataset": f"/ui/datasets/{dataset.id}",
        "nowhere": "/ui/nowhere",
        "sign-in": "/ui/sign-in",
    }
    for name, path in pages.items():
        browser.get(engine.url + path)
        screenshot(browser, tmp_path / f"{name}.png")
        assert "owned" not in browser.title
        assert faults_of_access(browser) == {}, name
        assert not is_cut_off(browser), name
        told = [each for each in complaints(browser) if "the server responded with a" not in each]
        assert told == [], name


def test_all_of_it_works_from_the_keyboard(browser, engine, trace, own_runs):
    trace()
    browser.get(engine.url + own_runs())
    focused = browser.switch_to.active_element
    focused.send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert (skip.text, skip.is_displayed()) == ("Skip to content", True)
    skip.send_keys(Keys.ENTER)
    until(browser, lambda: browser.switch_to.active_element.tag_name == "main")
    names = []
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        element = browser.switch_to.active_element
        names.append(element.accessible_name)
        style = element.value_of_css_property("outline-style")
        assert style != "none", element.get_attribute("outerHTML")
        if element.accessible_name == "Add to dataset":
            break
    assert any(name.startswith("Select ChatOpenAI") for name in names)
    assert any(name.startswith("Like ChatOpenAI") for name in names)
    assert names[-1] == "Add to dataset"


def test_signing_out_and_in_with_the_key(browser, engine):
    browser.get(engine.url)
    press(browser, "Sign out")
    assert heading(browser) == "Sign in"
    browser.get(f"{engine.url}/ui/datasets")
    assert heading(browser) == "Sign in"
    browser.find_element(By.ID, "api_key").send_keys("wrong")
    press(browser, "Sign in")
    assert "This is not the key" in browser.find_element(By.ID, "fault").text
    browser.find_element(By.ID, "api_key").send_keys(engine.key)
    press(browser, "Sign in")
    assert heading(browser) == "Datasets"
    assert engine.key not in browser.current_url
    assert browser.execute_script("return document.cookie") == ""
