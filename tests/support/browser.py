"""A real browser for the tests, where one is installed."""

import base64
import shutil
from contextlib import contextmanager
from importlib.resources import files

import httpx2
import pytest
from selenium import webdriver

DRIVER = shutil.which("chromedriver")
WAIT_S = 40
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--window-size=1200,900"),
)

needs_browser = pytest.mark.skipif(DRIVER is None, reason="no chromedriver is installed")


@contextmanager
def browsing():
    """Start Chromium without a window, until the block ends."""
    options = webdriver.ChromeOptions()
    for flag in _QUIET:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(3 * WAIT_S)
    try:
        yield driver
    finally:
        driver.quit()


def sign_in(browser, engine):
    """Sign in to an engine's page by a one-time link, at 1200 px."""
    key = {"Authorization": f"Bearer {engine.key}"}
    ticket = httpx2.post(f"{engine.url}/ui/tickets", headers=key, trust_env=False).json()["ticket"]
    screen(browser, 1200)
    browser.get(f"{engine.url}/ui/sign-in?ticket={ticket}")


def screen(browser, width, *, dark=False):
    """Give the browser a screen of this width, in light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    # A button that is still changing its colour has neither the old contrast nor the new.
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})


def screenshot(browser, path):
    """Keep a picture of the whole page."""
    width, height = (
        browser.execute_script(f"return document.documentElement.scroll{side}")
        for side in ("Width", "Height")
    )
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 4000), "scale": 1}
    asked = {"captureBeyondViewport": True, "clip": clip}
    found = browser.execute_cdp_cmd("Page.captureScreenshot", asked)
    path.write_bytes(base64.b64decode(found["data"]))


def is_cut_off(browser):
    """Return whether the page is wider than the screen."""
    return browser.execute_script(
        "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )


def faults_of_access(browser):
    """Return what axe-core finds that keeps people out: rule -> the first element at fault."""
    browser.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text())
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    return {each["id"]: each["nodes"][0]["html"][:200] for each in found["violations"]}


def complaints(browser):
    """Return what the browser's console complains of."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
