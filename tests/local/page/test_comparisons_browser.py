"""Comparisons in a real browser: at any width, in light and dark, and from the keyboard."""

import uuid

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

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
from support.experiments import compared

pytestmark = needs_browser

ATTACK = "<img src=x onerror=\"document.title='owned'\"> " + "x" * 300


@pytest.fixture(scope="module")
def made(module_langsmith):
    """A comparison, and its cases."""
    cases = [(1, 0)] * 24 + [(1, None), (0, 1), (1, 1)]
    name = f"sums {uuid.uuid4().hex[:8]}"
    comparison, example_ids = compared(module_langsmith, name, cases, attack=ATTACK)
    return f"/ui/comparisons/{comparison.id}", example_ids


@pytest.fixture
def browser(_browser, engine):
    sign_in(_browser, engine)
    complaints(_browser)
    return _browser


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)]
)
def test_every_page_can_be_read_by_all(browser, engine, made, width, dark, tmp_path):
    path, example_ids = made
    screen(browser, width, dark=dark)
    pages = {
        "list": "/ui/comparisons",
        "comparison": path,
        "second page": f"{path}?offset=20",
        "nothing": f"{path}?offset=100",
        "case": f"{path}/cases/{example_ids[1]}",
        "failed": f"{path}/cases/{example_ids[24]}",
    }
    for name, address in pages.items():
        browser.get(engine.url + address)
        screenshot(browser, tmp_path / f"{name}.png")
        assert "owned" not in browser.title
        assert faults_of_access(browser) == {}, name
        assert not is_cut_off(browser), name
        assert complaints(browser) == [], name


def test_from_the_filter_to_the_next_case_with_the_keyboard(browser, engine, made):
    path, _ = made
    browser.get(engine.url + path)
    browser.find_element(By.ID, "outcome").send_keys("Lost")
    focus(browser, "Show").send_keys(Keys.ENTER)
    until(browser, lambda: "outcome=lost" in browser.current_url)
    assert "24 cases" in browser.find_element(By.TAG_NAME, "main").text
    focus(browser, "What is 0 times 2?").send_keys(Keys.ENTER)
    until(browser, lambda: heading(browser) == "Case 1 of 24")
    for number in (2, 3):
        focus(browser, "Next case").send_keys(Keys.ENTER)
        until(browser, lambda number=number: heading(browser) == f"Case {number} of 24")
    focus(browser, "Previous case").send_keys(Keys.ENTER)
    until(browser, lambda: heading(browser) == "Case 2 of 24")


def heading(browser):
    return browser.find_element(By.TAG_NAME, "h1").text


def until(browser, condition):
    return WebDriverWait(browser, WAIT_S).until(lambda _: condition())


def focus(browser, name):
    """Tab until the element whose name begins so is reached, and return it."""
    for _ in range(80):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        element = browser.switch_to.active_element
        if element.accessible_name.startswith(name):
            return element
    raise AssertionError(f"{name!r} can't be reached.")
