"""The page of a comparison's report in a real browser: readable by all, at any width."""

import pytest

from support.browser import (
    browsing,
    complaints,
    faults_of_access,
    is_cut_off,
    needs_browser,
    screen,
    screenshot,
)
from support.comparisons import answer, case, comparison

pytestmark = needs_browser

SCROLLED = """return [...document.querySelectorAll(".scroll")]
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.innerText)"""
"""Tables with columns that are not seen until somebody scrolls."""

LONG = "Long" * 200 + " " + "several words " * 200


@pytest.fixture(scope="module")
def browser():
    with browsing() as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    long = case(1, new=0.0).model_copy(
        update={
            "inputs": {"messages": [{"role": "user", "content": LONG}]},
            "new": [answer(LONG, 1, score=0.0, comments={"judge": LONG}, unseen_calls=3)],
        }
    )
    data = comparison()
    data = comparison(
        new="ft:gpt-4.1-mini-2025-04-14:" + "acme" * 20, cases=[long, *data.cases], notes=[LONG]
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(data.to_html())
    return path.as_uri()


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)]
)
def test_everybody_can_read_it(browser, page, width, dark, tmp_path):
    screen(browser, width, dark=dark)
    browser.get(page)
    screenshot(browser, tmp_path / "report.png")
    assert faults_of_access(browser) == {}
    assert not is_cut_off(browser)
    assert browser.execute_script(SCROLLED) == []
    assert complaints(browser) == []
