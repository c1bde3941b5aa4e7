"""Signing in, with the key and with a ticket, and out."""

import json
import re

import pytest

from langchain_finetune.local.auth.sessions import SESSION_S, TICKET_S, PageSessions


def test_the_key_signs_in_and_stands_nowhere(engine, ask):
    own = {"Origin": engine.url}
    status, headers, _ = ask("POST", "/ui/sign-in", own, {"api_key": f" {engine.key}\n"})
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert engine.key not in str(headers)
    status, headers, text = ask("GET", "/", {"Cookie": cookie.partition(";")[0]})
    assert (status, engine.key in text) == (200, False)
    assert engine.key not in engine.log()


@pytest.mark.parametrize("key", ["", "wrong", "schlüssel", "x" * 5000])
def test_another_key_does_not(engine, ask, key):
    status, headers, text = ask("POST", "/ui/sign-in", {"Origin": engine.url}, {"api_key": key})
    assert (status, headers["set-cookie"]) == (403, None)
    assert "This is not the key" in text
    assert key == "" or key not in text


def test_who_is_not_signed_in_sends_no_large_form(engine, ask):
    form = {"api_key": "x" * 2**21}
    assert ask("POST", "/ui/sign-in", {"Origin": engine.url}, form)[0] == 413


@pytest.mark.parametrize(
    ("asked", "sent_to"),
    [
        ("/ui/runs/7", "/ui/runs/7"),
        ("//evil.example/ui/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/v1/models", "/"),
    ],
)
def test_nobody_is_sent_elsewhere_after_signing_in(engine, ask, asked, sent_to):
    form = {"api_key": engine.key, "next": asked}
    status, headers, _ = ask("POST", "/ui/sign-in", {"Origin": engine.url}, form)
    assert (status, headers["location"]) == (303, sent_to)


def test_who_is_not_signed_in_is_asked_to_without_the_filter_in_the_address(ask):
    status, headers, _ = ask("GET", "/ui/runs/7?filter=secret")
    assert (status, headers["location"]) == (303, "/ui/sign-in?next=%2Fui%2Fruns%2F7")
    status, _, text = ask("GET", headers["location"])
    assert (status, 'value="/ui/runs/7"' in text) == (200, True)


@pytest.mark.parametrize("path", ["/", "/ui/datasets", "/ui/nowhere", "/ui"])
def test_the_key_opens_no_page(engine, ask, path):
    assert ask("GET", path, {"Authorization": f"Bearer {engine.key}"})[0] == 303
    assert ask("POST", path, {"X-API-Key": engine.key, "Origin": engine.url}, {})[0] == 401


def test_signing_out_ends_the_session(engine, ask, cookie):
    assert ask("GET", "/", {"Cookie": cookie})[0] == 200
    status, headers, _ = ask("POST", "/ui/sign-out", {"Cookie": cookie, "Origin": engine.url}, {})
    assert (status, headers["location"]) == (303, "/ui/sign-in")
    assert "Max-Age=0" in headers["set-cookie"]
    assert ask("GET", "/", {"Cookie": cookie})[0] == 303


def test_a_ticket_signs_in_once(engine, ask):
    key = {"Authorization": f"Bearer {engine.key}"}
    ticket = json.loads(ask("POST", "/ui/tickets", key, {})[2])["ticket"]
    status, headers, text = ask("GET", f"/ui/sign-in?ticket={ticket}")
    assert status == 200
    assert re.search(r'http-equiv="refresh" content="0; url=/"', text)
    cookie = headers["set-cookie"].partition(";")[0]
    assert ticket not in cookie
    assert ask("GET", "/", {"Cookie": cookie})[0] == 200
    status, headers, text = ask("GET", f"/ui/sign-in?ticket={ticket}")
    assert (status, headers["set-cookie"]) == (403, None)
    assert "already been used" in text


def test_only_the_key_gives_tickets(ask, cookie, engine):
    assert ask("POST", "/ui/tickets", {}, {})[0] == 401
    assert ask("POST", "/ui/tickets", {"Cookie": cookie, "Origin": engine.url}, {})[0] == 401


def test_sessions_and_tickets_end():
    now = [0.0]
    sessions = PageSessions(lambda: now[0])
    session, ticket = sessions.start(), sessions.ticket()
    now[0] += TICKET_S + 1
    assert sessions.redeem(ticket) is None
    assert sessions.find(session.token) is session
    now[0] += SESSION_S - 1
    assert sessions.find(session.token) is session
    now[0] += SESSION_S + 1
    assert sessions.find(session.token) is None
    assert sessions.find(None) is None
    assert sessions.find("") is None


def test_sessions_are_bounded():
    sessions = PageSessions()
    first, second = sessions.start(), sessions.start()
    for _ in range(199):
        sessions.find(first.token)
        sessions.start()
    assert sessions.find(first.token) is first
    assert sessions.find(second.token) is None
