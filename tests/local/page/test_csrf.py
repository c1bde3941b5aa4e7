"""Requests that other sites, other servers of this machine and other names send."""

import html
import json

import pytest
from starlette.datastructures import Headers

from langchain_finetune.local.auth import csrf

PAGES = ["/", "/ui/datasets", "/ui/nowhere"]


@pytest.mark.parametrize(
    ("origin", "site", "status"),
    [
        ("{url}", None, 303),
        ("{url}", "same-origin", 303),
        (None, "same-origin", 303),
        (None, None, 403),
        ("null", None, 403),
        ("null", "same-origin", 403),
        ("https://evil.example", None, 403),
        ("https://evil.example", "cross-site", 403),
        ("http://127.0.0.1:1", "same-site", 403),
        ("http://localhost:{port}", "same-site", 403),
        ("{url}.evil.example", None, 403),
        ("{url}", "cross-site", 403),
        ("{url}", "same-site", 403),
        (None, "cross-site", 403),
        (None, "same-site", 403),
        (None, "none", 403),
    ],
)
@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/datasets/add-runs"])
def test_only_the_page_itself_changes_things(engine, ask, cookie, origin, site, status, path):
    headers = {"Cookie": cookie}
    if origin:
        headers["Origin"] = origin.format(url=engine.url, port=engine.url.rpartition(":")[2])
    if site:
        headers["Sec-Fetch-Site"] = site
    form = {"api_key": engine.key, "new_name": "x"}
    got, _, text = ask("POST", path, headers, form)
    assert got == status
    if status == 403:
        assert "Only the engine's own page may send this." in html.unescape(text)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/ui/sign-out", "/v1/models/nano", "/v1/datasets"])
def test_the_cookie_alone_changes_nothing(ask, cookie, method, path):
    assert ask(method, path, {"Cookie": cookie, "Origin": "https://evil.example"}, {})[0] == 403
    assert ask(method, path, {"Cookie": cookie}, {})[0] == 403


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("none", "navigate", 200),
        ("same-origin", "navigate", 200),
        ("same-origin", "cors", 200),
        # A link on another site: without the cookie, if the browser holds to `SameSite=Strict`.
        ("cross-site", "navigate", 200),
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
    ],
)
def test_who_reads_pages(ask, cookie, site, mode, status):
    headers = {"Cookie": cookie, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert ask("GET", "/ui/datasets", headers)[0] == status


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "10.0.0.1:{port}",
     "localhost.evil.example", "[::2]:{port}", "[", "", "::1", "2130706433", "169.254.169.254"],
)  # fmt: skip
@pytest.mark.parametrize("path", [*PAGES, "/ui/sign-in", "/ui/static/page.css"])
def test_other_names_of_this_machine_are_refused(engine, ask, host, path):
    host = host.format(port=engine.url.rpartition(":")[2])
    status, _, text = ask("GET", path, {"Host": host})
    assert (status, "does not serve this host name" in text) == (403, True)
    form = {"api_key": engine.key}
    assert ask("POST", "/ui/sign-in", {"Host": host, "Origin": f"http://{host}"}, form)[0] == 403


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST:9", "[::1]:9"])
def test_this_machine_is_served_also_through_a_tunnel(engine, ask, host):
    host = host.format(port=engine.url.rpartition(":")[2])
    headers = {"Host": host, "Origin": f"http://{host}"}
    status, headers, _ = ask("POST", "/ui/sign-in", headers, {"api_key": engine.key})
    assert status == 303
    cookie = headers["set-cookie"].partition(";")[0]
    assert ask("GET", "/", {"Host": host, "Cookie": cookie})[0] == 200


@pytest.mark.parametrize(
    ("scheme", "forwarded", "is_served"),
    [("https", None, True), ("http", None, False), ("https", "https", False)],
)
def test_with_tls_the_browser_has_checked_the_name(scheme, forwarded, is_served):
    given = {"host": "engine.example:8443", "sec-fetch-site": "none"}
    headers = Headers(given | ({"x-forwarded-proto": forwarded} if forwarded else {}))
    scope = {"method": "GET", "path": "/", "scheme": scheme, "server": ("10.0.0.7", 8443)}
    assert (csrf.csrf_error(scope, headers) is None) == is_served


@pytest.mark.parametrize(
    ("server", "host", "is_served"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7:8123", True),
        ("::ffff:10.0.0.7", "10.0.0.8:8123", False),
        ("fd00::7", "[fd00::7]:8123", True),
        ("fd00::7", "[fd00::8]:8123", False),
        ("10.0.0.7", "10.0.0.7:8123", True),
    ],
)
def test_the_address_that_a_request_came_in_at_is_served(server, host, is_served):
    # A socket that listens at `::` takes IPv4, too, and tells it in IPv6.
    scope = {"method": "GET", "path": "/", "scheme": "http", "server": (server, 8123)}
    assert (csrf.csrf_error(scope, Headers({"host": host})) is None) == is_served


def test_a_header_does_not_make_a_name_ours(engine, ask):
    headers = {"Host": "evil.example", "X-Forwarded-Proto": "https"}
    assert ask("GET", "/ui/sign-in", headers)[0] == 403


def test_scripts_of_the_page_reach_the_api(engine, ask, cookie):
    assert ask("GET", "/v1/models", {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})[0] == 200
    own = {"Cookie": cookie, "Origin": engine.url, "Content-Type": "application/json"}
    status, _, text = ask("POST", "/v1/chat/completions", own, {})
    assert (status, json.loads(text)["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Host": "evil.example"},
])  # fmt: skip
def test_other_sites_do_not_reach_the_api_by_the_cookie(engine, ask, cookie, headers):
    # With another host there would be another cookie, but a browser's faults are not ours.
    name = "langchain_finetune=" + cookie.partition("=")[2]
    status, _, _ = ask("GET", "/v1/models", {"Cookie": f"{cookie}; {name}", **headers})
    assert status == 403


@pytest.mark.parametrize("path", ["/runs", "/datasets", "/sessions", "/api/v1/datasets", "/v1"])
def test_the_cookie_opens_nothing_else(ask, cookie, path):
    assert ask("GET", path, {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})[0] == 401


def test_the_key_needs_no_origin(engine, ask):
    headers = {"Authorization": f"Bearer {engine.key}", "Origin": "https://evil.example"}
    assert ask("GET", "/v1/models", headers)[0] == 200


@pytest.mark.parametrize(
    "cookie", ["", "langchain_finetune=x", "=", "a=b;;c", "\x01=2", "x" * 9000]
)
def test_cookies_that_are_none(ask, cookie):
    assert ask("GET", "/", {"Cookie": cookie})[0] == 303


@pytest.mark.parametrize("other", ['{"a": 1}', '"half', "a b", "x=y=z", "[1, 2]", "sch\xfc", ""])
def test_cookies_of_other_servers_do_not_sign_out(ask, cookie, other):
    # All servers of this machine share them.
    headers = {"Cookie": f"other={other}; {cookie}; {other}"}
    assert ask("GET", "/", headers)[0] == 200


@pytest.mark.parametrize("path", [*PAGES, "/ui/sign-in", "/ui/static/page.js", "/ui/static/no"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_every_answer_says_what_it_may_do(ask, cookie, path, signed_in):
    status, headers, text = ask("GET", path, {"Cookie": cookie} if signed_in else {})
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    for name in ("script-src", "style-src", "connect-src", "img-src", "form-action"):
        assert policy[name] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["access-control-allow-origin"] is None
    assert "<script>" not in text
    assert " style=" not in text
    if status == 200 and "static" not in path:
        assert headers["cache-control"] == "no-store"


def test_assets_are_sent_once(ask):
    status, headers, _ = ask("GET", "/ui/static/page.css")
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert ask("GET", "/ui/static/page.css", {"If-None-Match": headers["etag"]})[0] == 304
    for name in ("../router.py", "%2e%2e/router.py", "..%2frouter.py", "__init__.py", ""):
        assert ask("GET", f"/ui/static/{name}")[0] == 404
