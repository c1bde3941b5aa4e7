"""The report's page in a real browser, where one is installed; its structure is tested anyway."""

import re
import shutil
import subprocess
from html import escape

import pytest

from langchain_finetune import Convert, Split
from support.chats import chats

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--virtual-time-budget=5000"),
)
# A window can't be as narrow as a phone, but a frame can.
FRAME = """<!DOCTYPE html><iframe id="f" width="{width}" height="900" srcdoc="{page}"></iframe>
<pre id="said"></pre><script>
addEventListener("load", () => {{
  const page = document.getElementById("f").contentDocument;
  const cut = [...page.querySelectorAll("h1, h2, p, dd, li, td, .plot")].filter(
    (each) => each.getBoundingClientRect().right > {width} + 1);
  document.getElementById("said").textContent =
    `wide=${{page.documentElement.scrollWidth}} cut=${{cut.length}} ` +
    `bars=${{[...page.querySelectorAll("rect.bar")].filter((r) => r.getBBox().height > 0).length}}`;
}});
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def html():
    examples = Convert(split=Split(validation=0.1, test=0.1)).invoke(chats(300))
    return examples.report(engine="openai", model="gpt-4.1-mini", text=True).to_html()


def browse(tmp_path, html, *options):
    (tmp_path / "page.html").write_text(html)
    command = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options]
    return subprocess.run(
        [*command, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    ).stdout


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_cut_off_at_any_width(tmp_path, html, width):
    dom = browse(tmp_path, FRAME.format(width=width, page=escape(html)), "--dump-dom")
    wide, cut, bars = map(int, re.search(r"wide=(\d+) cut=(\d+) bars=(\d+)<", dom).groups())
    assert wide <= width
    assert cut == 0
    assert bars > 10


def test_it_is_drawn(tmp_path, html):
    browse(tmp_path, html, "--window-size=1200,1600", f"--screenshot={tmp_path / 'page.png'}")
    # An empty page of this size packs to some 7 kB.
    assert (tmp_path / "page.png").stat().st_size > 50_000
