"""Jobs, models and the playground in a real browser."""

import json
import sys

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from langsmith import Client
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from support.browser import (
    complaints,
    faults_of_access,
    is_cut_off,
    needs_browser,
    screen,
    screenshot,
    sign_in,
)
from walkthrough.calculator import SYSTEM_PROMPT, Calculator
from walkthrough.questions import asked

pytestmark = needs_browser

REAL = (sys.executable, "-m", "langchain_finetune.local", "--home")
TOOL = convert_to_openai_tool(Calculator)


@pytest.fixture
def open_page(_browser):
    """Signs in to an engine, and opens a page of it."""

    def open_page(engine, path):
        sign_in(_browser, engine)
        _browser.get(f"{engine.url}{path}")
        _browser.get_log("browser")
        return _browser

    return open_page


def one(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def all_of(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def text_of(browser, selector):
    """The text of an element, also while the page's script puts another in its place."""
    script = "return document.querySelector(arguments[0])?.textContent.trim() ?? ''"
    return browser.execute_script(script, selector)


def looked_at(browser, folder, name):
    """Keep pictures of a page: wide, narrow, dark; nothing is cut off, nobody kept out."""
    for width, dark in ((1200, False), (360, False), (1200, True), (360, True)):
        screen(browser, width, dark=dark)
        screenshot(browser, folder / f"{name}-{width}{'-dark' if dark else ''}.png")
        assert not is_cut_off(browser), (name, width)
        assert faults_of_access(browser) == {}, (name, width, dark)
    screen(browser, 1200)


def upload_examples(engine, name):
    """A dataset of calls of the walkthrough's calculator."""
    questions = [question for question in asked() if question.language in {"en", "es"}]
    client = Client(api_url=engine.url, api_key=engine.key)
    dataset = client.create_dataset(name)
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {
                "inputs": {
                    "messages": [
                        {"role": "system", "content": SYSTEM_PROMPT},
                        {"role": "user", "content": question.text},
                    ],
                    "tools": [TOOL],
                },
                "reference_outputs": {"message": called(question)},
            }
            for question in questions
        ],
    )
    client.cleanup()


def called(question):
    arguments = {
        "num1": question.num1,
        "num2": question.num2,
        "operation": question.operation,
    }
    function = {"name": "Calculator", "arguments": json.dumps(arguments)}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.train
def test_from_a_dataset_to_answers_side_by_side(start, open_page, until, tmp_path):
    with start(command=REAL) as engine:
        upload_examples(engine, "Calls <b>& more</b>")
        browser = open_page(engine, "/ui/jobs/new")
        choice = Select(one(browser, "#source"))
        choice.select_by_visible_text("Calls <b>& more</b> (40 examples)")
        for field, value in {"n_epochs": "4", "seed": "1", "validation_share": "20"}.items():
            one(browser, f"#{field}").send_keys(value)
        one(browser, "#suffix").send_keys("calculator", Keys.ENTER)
        until(lambda: "/ui/jobs/ftjob-" in browser.current_url)

        # Nothing is reloaded from here to the end: the page follows the job.
        browser.execute_script("window.isTheSame = true")
        until(lambda: text_of(browser, ".status") in {"succeeded", "failed"}, seconds=300)
        assert text_of(browser, ".status") == "succeeded"
        assert browser.execute_script("return window.isTheSame")
        assert text_of(browser, "#announcement") == "Job succeeded."
        assert len(all_of(browser, "polyline")) == 2
        looked_at(browser, tmp_path, "job")

        browser.find_element(By.LINK_TEXT, "Compare with its base").click()
        until(lambda: text_of(browser, "h1") == "Playground")
        assert one(browser, "#system").get_attribute("value") == SYSTEM_PROMPT
        assert json.loads(one(browser, "#tools").get_attribute("value")) == [TOOL]
        one(browser, "#temperature").send_keys("0")
        one(browser, "#message").send_keys("What's 56 divided by 7?", Keys.ENTER)
        until(lambda: text_of(browser, "#announcement") == "All models have answered.", seconds=120)
        base, tuned = (
            text_of(browser, f"[data-column='{place}'] .turns li:last-child") for place in range(2)
        )
        assert base
        assert "calls Calculator" in tuned
        assert '"num1"' in tuned
        looked_at(browser, tmp_path, "playground")

        one(browser, "#result-1-0").send_keys("8")
        one(browser, "#send").send_keys(Keys.ENTER)
        until(lambda: len(conversation(browser, 1)) == 4, seconds=120)
        assert len(conversation(browser, 0)) == 2
        assert complaints(browser) == []
        open_page(engine, "/ui/models")
        looked_at(browser, tmp_path, "models")
        assert complaints(browser) == []


def test_the_curve_follows_a_job_and_stops_at_its_end(engine, open_page, create, until, way):
    go = engine.home / "go"
    go.unlink(missing_ok=True)
    job = create(seed=way.WAIT)
    browser = open_page(engine, f"/ui/jobs/{job.id}")
    browser.execute_script("window.isTheSame = true")
    until(lambda: len(all_of(browser, "circle.training")) == 3)
    assert one(browser, ".plot").get_attribute("aria-label").startswith("Loss over 3 steps.")
    # By the keyboard; what has the focus or is open stays so, whatever is drawn anew.
    browser.execute_script("document.querySelector('#figures summary').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    try:
        go.touch()
        until(lambda: text_of(browser, ".status") == "succeeded")
    finally:
        go.unlink()
    assert browser.execute_script("return window.isTheSame")
    assert one(browser, "#figures").get_attribute("open") is not None
    assert browser.switch_to.active_element.text == "Values as a table"
    asked_before = requests_of(browser)
    browser.execute_async_script("setTimeout(arguments[0], 4000)")
    assert requests_of(browser) == asked_before


def requests_of(browser):
    asked_for = "performance.getEntriesByType('resource').map((each) => each.name)"
    return browser.execute_script(f"return {asked_for}.filter((name) => name.endsWith('/live'))")


def test_an_answer_can_be_stopped_and_errors_are_told(engine, open_page, until):
    browser = open_page(engine, "/ui/playground?model=nano&model=no-such")
    one(browser, "#message").send_keys("for ever", Keys.ENTER)
    until(lambda: text_of(browser, "[data-column='0'] [data-answer] .content") == "for ever")
    one(browser, "#stop").click()
    until(lambda: text_of(browser, "#announcement") == "Not all models could answer.")
    assert text_of(browser, "[data-column='0'] [data-note]") == "Stopped."
    assert text_of(browser, "[data-column='1'] [data-fault]") == "No such model."
    assert text_of(browser, "[data-column='0'] .turn:last-child .content") == "for ever"
    # What was written so far is part of the conversation.
    assert [each["role"] for each in conversation(browser)] == ["user", "assistant"]

    one(browser, "#message").send_keys("break", Keys.ENTER)
    until(lambda: text_of(browser, "[data-column='0'] [data-fault]") == "The fake broke.")
    until(lambda: text_of(browser, "#announcement") == "Not all models could answer.")
    # Nothing of it is kept, so that sending again asks again.
    assert [each["role"] for each in conversation(browser)] == ["user", "assistant", "user"]
    one(browser, "#clear").click()
    until(lambda: conversation(browser) == [] and text_of(browser, "#announcement") == "")
    one(browser, "#message").send_keys("<img src=x onerror=alert(1)>", Keys.ENTER)
    until(lambda: len(conversation(browser)) == 2)
    until(lambda: text_of(browser, "#announcement") == "Not all models could answer.")
    assert all_of(browser, "main img") == []
    assert {line for line in complaints(browser) if "404" not in line} == set()


def conversation(browser, place=0):
    script = "return document.querySelector(arguments[0]).value"
    kept = browser.execute_script(script, f"[data-column='{place}'] [name=conversation]")
    return json.loads(kept or "[]")


def test_pages_before_there_is_anything(start, open_page, tmp_path):
    with start() as engine:
        for name in ("jobs", "jobs/new", "models", "playground"):
            browser = open_page(engine, f"/ui/{name}")
            looked_at(browser, tmp_path, name.replace("/", "-"))
            assert complaints(browser) == []
