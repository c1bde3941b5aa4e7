"""What only a browser shows: links of other sites, and an engine that is slow or gone."""

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from support.browser import WAIT_S, needs_browser, sign_in

pytestmark = needs_browser

# The next answer of the engine waits for `go()`.
HELD = """
const real = window.fetch;
window.fetch = async (...asked) => {
  window.fetch = real;
  const answer = await real(...asked);
  await new Promise((resume) => { window.go = resume; });
  return answer;
};
"""


@pytest.fixture
def browser(_browser, engine):
    """A browser that a one-time link has signed in."""
    sign_in(_browser, engine)
    waits(_browser, "return document.querySelector('h1')?.textContent === 'Runs'")
    return _browser


def waits(browser, script):
    return WebDriverWait(browser, WAIT_S).until(lambda _: browser.execute_script(script))


def test_a_link_of_another_site_needs_no_second_sign_in(engine, browser):
    address = f"{engine.url}/ui/datasets?offset=0"
    browser.get(f"data:text/html,<a href='{address}'>here</a>")
    browser.find_element(By.TAG_NAME, "a").click()
    waits(browser, "return document.querySelector('h1')?.textContent === 'Datasets'")
    assert browser.current_url == address
    # Who is not signed in is asked to, at once.
    browser.delete_all_cookies()
    browser.get(f"data:text/html,<a href='{address}'>here</a>")
    browser.find_element(By.TAG_NAME, "a").click()
    waits(browser, "return document.querySelector('h1')?.textContent === 'Sign in'")
    assert browser.current_url == f"{engine.url}/ui/sign-in?next=%2Fui%2Fdatasets"


def test_what_is_typed_while_the_engine_draws_is_kept(engine, browser):
    browser.get(f"{engine.url}/ui/playground?model=nano")
    message = browser.find_element(By.ID, "message")
    browser.execute_script(HELD)
    message.send_keys("Hi", Keys.ENTER)
    waits(browser, "return Boolean(window.go)")
    message.send_keys("And more")
    browser.execute_script("window.go()")
    script = "return document.querySelector('[name=conversation]').value || '[]'"
    waits(browser, f"{script}.includes('assistant')")
    kept = json.loads(browser.execute_script(script))
    assert kept[0] == {"role": "user", "content": "Hi"}
    # What the script finds is of the page as it is then: the form may be replaced once more.
    waits(browser, "return document.getElementById('message').value === 'And more'")


def test_a_session_that_has_ended_is_told_once_and_loses_nothing(engine, browser):
    browser.get(f"{engine.url}/ui/playground?model=nano")
    browser.find_element(By.ID, "message").send_keys("A long text")
    browser.delete_all_cookies()
    for _ in range(2):
        browser.execute_script("document.querySelector('.notice')?.setAttribute('data-old', '')")
        browser.find_element(By.ID, "send").click()
        waits(browser, "return document.querySelector('.notice:not([data-old])') !== null")
        [notice] = browser.find_elements(By.CSS_SELECTOR, ".notice")
        assert "The session has ended" in notice.text
    assert browser.find_element(By.ID, "message").get_attribute("value") == "A long text"


def test_a_vote_that_can_not_be_sent_is_told(engine, browser, trace, own_runs):
    trace()
    browser.get(engine.url + own_runs())
    browser.execute_script("window.fetch = () => Promise.reject(new TypeError('gone'))")
    button = browser.find_element(By.CSS_SELECTOR, "button.like")
    for _ in range(2):
        button.click()
        waits(browser, "return document.querySelectorAll('.rating .fault').length === 1")
    told = browser.find_element(By.CSS_SELECTOR, ".rating .fault")
    assert told.text == "The engine is unreachable."
