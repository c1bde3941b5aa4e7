"""LangServe's playground in a real browser, where one is installed: a job is run from it."""

import re

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from langchain_finetune import Convert, FineTune
from langchain_finetune.langserve import add_finetune_routes
from support.browser import WAIT_S, browsing, needs_browser
from support.servers import served
from walkthrough.calculator import PROMPT

pytestmark = [
    needs_browser,
    # LangServe reads a model's fields in a way that pydantic is to give up.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute on the instance"),
    # Its playground asks for LangChain's log of a run, which is to be given up as well.
    pytest.mark.filterwarnings("ignore:astream_log is deprecated"),
]


class OnlyHowMany(BaseModel):
    limit: int | None = None


@pytest.fixture(scope="module")
def url(liked, langsmith, engine):
    chain = liked | Convert() | FineTune(model="nano", engine="local", suffix="played", seed=3)
    app = FastAPI()
    add_finetune_routes(app, chain, make_chain=lambda model: PROMPT | model)
    add_finetune_routes(app, chain, path="/narrow", query_type=OnlyHowMany)
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


def opened(browser, url):
    """Open a playground; it must show its form, without an error in the console."""
    browser.get(f"{url}/playground/")
    button = expected_conditions.presence_of_element_located((By.XPATH, "//button[.='Start']"))
    WebDriverWait(browser, WAIT_S).until(button)
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    return browser.find_elements(By.XPATH, "//label")


def field(browser, label):
    return browser.find_element(
        By.XPATH, f"//*[starts-with(., '{label}')]/following::*[self::input or self::textarea][1]"
    )


def started(browser, pattern):
    """Press Start, and return what matches in the output."""
    browser.find_element(By.XPATH, "//button[.='Start']").click()

    def output(_):
        return re.search(pattern, browser.find_element(By.TAG_NAME, "body").text)

    return WebDriverWait(browser, WAIT_S).until(output)


def test_a_job_is_run_from_the_playground(browser, url, tmp_path):
    labels = [each.text.lower() for each in opened(browser, f"{url}/finetune/submit")]
    assert {"project name", "limit"} <= set(labels)
    field(browser, "Limit").send_keys("40")
    job_id = started(browser, r'"job_id": *"(ftjob-\w+)"')[1]
    examples = started(browser, r'"training_examples": *(\d+)')[1]
    assert 10 <= int(examples) <= 40
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    browser.save_screenshot(tmp_path / "submitted.png")

    opened(browser, f"{url}/finetune/status")
    field(browser, "Job Id").send_keys(job_id)
    state = started(browser, r'"status": *"(\w+)"')[1]
    assert state in {"validating_files", "queued", "running", "succeeded"}

    opened(browser, f"{url}/finetune/cancel")
    field(browser, "Job Id").send_keys(job_id)
    started(browser, r'"status": *"(cancelled|succeeded)"')
    # It is the same job that the API knows.
    body = {"input": {"job_id": job_id}}
    answer = httpx.post(f"{url}/finetune/status/invoke", json=body, timeout=60).json()
    assert answer["output"]["job_id"] == job_id


@pytest.mark.parametrize("step", ["events", "model", "chain"])
def test_each_step_has_a_form(browser, url, step):
    labels = [each.text.lower() for each in opened(browser, f"{url}/finetune/{step}")]
    assert "job id*" in labels


def test_a_narrower_query_has_a_form_too_and_errors_are_shown(browser, url):
    assert [each.text.lower() for each in opened(browser, f"{url}/narrow/submit")] == ["limit"]

    field(browser, "Limit").send_keys("1")
    assert started(browser, r'"status": *(\d+)')[1] == "400"
    assert "at least 10" in browser.find_element(By.TAG_NAME, "body").text
