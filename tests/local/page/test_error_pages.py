"""What people see where there is no page for them: a page, and what scripts get: JSON."""

import html
import json
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from langchain_finetune.display.text import format_duration
from langchain_finetune.local.auth.guard import install_error_handlers
from langchain_finetune.local.page.render_html import render_page
from support.runs import run


def as_page(answer):
    """The status and the text of an answer that is a page, with all that guards one."""
    status, headers, text = answer
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "Something went wrong" in text
    return status, html.unescape(text)


def test_a_form_after_the_session_has_ended(engine, ask):
    message = "The session has ended. Sign in again."
    answer = ask("POST", "/ui/models/delete", {"Origin": engine.url}, {"name": "nano"})
    status, text = as_page(answer)
    assert (status, message in text) == (401, True)
    by_script = {"Origin": engine.url, "Sec-Fetch-Mode": "cors"}
    status, _, text = ask("POST", "/ui/playground/turn", by_script, {})
    assert (status, json.loads(text)["error"]["message"]) == (401, message)


@pytest.mark.parametrize("path", ["/", "/ui/models", "/ui/nowhere"])
def test_forms_that_there_are_not(engine, ask, cookie, path):
    status, text = as_page(ask("POST", path, {"Origin": engine.url, "Cookie": cookie}, {}))
    assert (status, "Method Not Allowed" in text) == (405, True)
    assert "Sign out" in text


def test_a_form_that_is_too_large(engine, ask):
    form = {"api_key": "x" * 2**21}
    status, text = as_page(ask("POST", "/ui/sign-in", {"Origin": engine.url}, form))
    assert (status, "larger than 1 MiB" in text) == (413, True)


def test_a_page_that_fails():
    app = FastAPI()
    install_error_handlers(app, render_page)

    @app.get("/{path:path}")
    def broken(path: str) -> None:
        raise RuntimeError(path)

    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get("/ui/secret")
    status, text = as_page((answer.status_code, answer.headers, answer.text))
    assert (status, "The engine failed to handle the request; see its log." in text) == (500, True)
    assert "secret" not in text
    assert client.get("/v1/secret").json()["error"]["type"] == "server_error"


def test_the_page_without_its_last_part(ask, cookie):
    status, headers, _ = ask("GET", "/ui", {"Cookie": cookie})
    assert (status, headers["location"]) == (303, "/")


def test_a_link_of_another_site_is_followed_with_the_cookie(ask):
    # The browser keeps the cookie of a strict session back until a page of this site asks.
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    status, headers, text = ask("GET", "/ui/runs/7?a=1&b=%22x", link)
    assert status == 200
    assert 'http-equiv="refresh" content="0; url=/ui/runs/7?a=1&amp;b=%22x"' in text
    assert headers["cache-control"] == "no-store"
    # It does so once: from there on the request is this site's own.
    status, headers, _ = ask("GET", "/ui/runs/7", {**link, "Sec-Fetch-Site": "same-origin"})
    assert (status, headers["location"]) == (303, "/ui/sign-in?next=%2Fui%2Fruns%2F7")


def test_who_comes_back_to_a_correction_sees_the_run(visitor, trace):
    run_id = trace()
    assert visitor.post(f"/ui/runs/{run_id}/correction", text="", calls="").status == 400
    # As after a vote on the page with the fault, or where its address is opened again.
    came_from = f"/ui/runs/{run_id}/correction"
    page = visitor.post(f"/ui/runs/{run_id}/vote", came_from=came_from, vote="like")
    assert page.status == 200
    assert page.all("button", **{"aria-label": "Like the answer", "aria-pressed": "true"})


@pytest.mark.parametrize(
    "calls",
    [
        r'[{"name": "f", "arguments": {"x": "\ud800"}}]',
        r'[{"name": "\ud800", "arguments": {}}]',
        '[{"name": "f", "arguments": {"x": NaN}}]',
        '[{"name": "f", "arguments": {"x": 1e999}}]',
    ],
)
def test_calls_that_no_json_could_keep(visitor, trace, calls):
    page = visitor.post(f"/ui/runs/{trace()}/correction", text="", calls=calls)
    assert (page.status, "The tool calls are not valid JSON." in page.text) == (400, True)


def test_a_run_that_asked_nothing_opens_no_conversation(visitor, trace):
    data = run(inputs={"input": []}, outputs={"output": [{"type": "message", "content": "x"}]})
    assert visitor.get("/ui/playground", run=trace(data)).status in {200, 400}


@pytest.mark.parametrize("generations", [1.5, True, "x", {"a": 1}, {}, [[[]]]])
def test_one_run_of_no_shape_does_not_break_the_list(visitor, trace, own_runs, generations):
    run_id = trace(run(outputs={"generations": generations}))
    for path in (own_runs(), f"/ui/runs/{run_id}"):
        assert visitor.get(path).status == 200
    assert visitor.get("/ui/playground", run=run_id).status in {200, 400}


def test_texts_keep_their_first_line(visitor, trace):
    sent = [{"role": "system", "content": "\nBe kind."}, {"role": "user", "content": "\n\nHi"}]
    run_id = trace(run(inputs={"messages": sent}, outputs={"role": "assistant", "content": "Yes"}))
    text = visitor.get("/ui/playground", run=run_id).html
    # A browser leaves out a line end that follows the tag at once.
    assert ">\n\nBe kind.</textarea>" in text
    assert ">\n\n\nHi</textarea>" in text


def test_the_lines_of_python_name_a_project(visitor, trace, langsmith):
    trace()
    name = re.search(r'project_name="(.*?)"', visitor.get("/").text).group(1)
    assert langsmith.has_project(name)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.9996, "1.0 s"), (59.97, "1 min 0 s"), (119.6, "2 min 0 s"), (3725.2, "62 min 5 s")],
)
def test_durations_are_rounded_as_a_whole(seconds, shown):
    assert format_duration(seconds) == shown
