"""The page as browsers without a script use it, on a real engine with runs of a real client."""

import copy
import datetime as dt
import http.client
import re
import uuid
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
from langsmith import Client

from support.browser import browsing
from support.runs import run
from support.settings import forget_langsmith_settings


@pytest.fixture(autouse=True)
def _no_langsmith_settings(monkeypatch):
    forget_langsmith_settings(monkeypatch)


@pytest.fixture(scope="module")
def _browser():
    with browsing() as browser:
        yield browser


@pytest.fixture
def ask(engine):
    """(status, headers, text) of one raw request; nothing is added but what is given."""

    def send(method, path, headers=(), form=None):
        connection = http.client.HTTPConnection(urlsplit(engine.url).netloc, timeout=30)
        headers = dict(headers)
        body = None if form is None else urlencode(form)
        if body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body else None)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    return send


@pytest.fixture
def cookie(engine, ask):
    """The cookie of somebody who is signed in."""
    given = ask("POST", "/ui/sign-in", {"Origin": engine.url}, {"api_key": engine.key})
    return given[1]["set-cookie"].partition(";")[0]


class Element:
    def __init__(self, tag, attributes):
        self.tag = tag
        self.attributes = dict(attributes)


class Page(HTMLParser):
    """What a browser makes of a page: its elements and its text."""

    def __init__(self, status, html):
        super().__init__()
        self.status = status
        self.html = html
        self.elements = []
        self._text = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, attrs))

    def handle_data(self, data):
        self._text.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self._text))

    def all(self, tag, **attributes):
        return [
            each.attributes
            for each in self.elements
            if each.tag == tag and attributes.items() <= each.attributes.items()
        ]


class Visitor:
    """Somebody who is signed in, and sends forms as the page's own do."""

    def __init__(self, url, cookie):
        self.url = url
        name, _, value = cookie.partition("=")
        self._client = httpx2.Client(
            base_url=url,
            cookies={name: value},
            headers={"Origin": url},
            follow_redirects=True,
            timeout=60,
            trust_env=False,
        )

    def get(self, path, **query):
        answer = self._client.get(path, params=query or None)
        return Page(answer.status_code, answer.text)

    def post(self, path, came_from="/", **form):
        headers = {"Referer": self.url + came_from}
        answer = self._client.post(path, data=form, headers=headers)
        page = Page(answer.status_code, answer.text)
        page.address = str(answer.url).removeprefix(self.url)
        return page

    def close(self):
        self._client.close()


@pytest.fixture
def visitor(engine, cookie):
    found = Visitor(engine.url, cookie)
    yield found
    found.close()


@pytest.fixture
def langsmith(engine):
    client = Client(api_url=engine.url, api_key=engine.key, auto_batch_tracing=False)
    yield client
    client.cleanup()


@pytest.fixture(scope="module")
def module_langsmith(engine):
    """The client for what the tests of a module share."""
    client = Client(api_url=engine.url, api_key=engine.key, auto_batch_tracing=False)
    yield client
    client.cleanup()


@pytest.fixture
def project():
    """A project of this test's own: the engine is shared."""
    return f"project {uuid.uuid4().hex[:8]}"


@pytest.fixture
def trace(langsmith, project):
    """Keeps a run of the shapes of `support.runs`, and returns its id."""
    begun = dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)
    count = 0

    def keep(data=None, **changes):
        nonlocal count
        count += 1
        data = copy.deepcopy({**(data or run()), **changes})  # The client adds to it.
        run_id = str(uuid.uuid4())
        started = begun + dt.timedelta(minutes=count)
        langsmith.create_run(
            id=run_id,
            name=data.get("name", "ChatOpenAI"),
            run_type=data["run_type"],
            inputs=data["inputs"],
            outputs=data["outputs"],
            error=data.get("error"),
            extra=data.get("extra") or {},
            tags=data.get("tags"),
            start_time=started,
            end_time=None if data.get("unfinished") else started + dt.timedelta(seconds=2),
            project_name=project,
        )
        return run_id

    return keep


@pytest.fixture
def own_runs(langsmith, project):
    """Returns the address of the list of this test's runs."""

    def address(**conditions):
        project_id = str(langsmith.read_project(project_name=project).id)
        return "/?" + urlencode({"project": project_id, **conditions})

    return address


@pytest.fixture
def judge(langsmith, project):
    """Leaves feedback for a run, as an app does."""

    def leave(run_id, key, **said):
        project_id = langsmith.read_project(project_name=project).id
        langsmith.create_feedback(run_id, key, session_id=project_id, **said)

    return leave
