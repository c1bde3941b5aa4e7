"""Nearly good requests to a whole engine: refused in OpenAI's shape or done, never a 500.

`API_CASES=10000 python -m pytest tests/local/test_api_fuzz.py` sends as many; a failure names the
number that `API_SEED` begins at.
"""

import http.client
import json
import os
import random
import re
import sys
from pathlib import Path

import pytest
from support.broken_requests import broken_request
from support.random_filters import uid

CASES = int(os.environ.get("API_CASES", "400"))
SEED = int(os.environ.get("API_SEED", "0"))
SLOWEST_S = 120
"""No request takes anywhere near as long, unless the engine hangs."""

ENGINE = (sys.executable, str(Path(__file__).with_name("conforming_engine.py")))
_ID = re.compile(r'"id": ?"([^"\\]{1,80})"')


class Sender:
    """One connection that is kept, with the key."""

    def __init__(self, engine):
        self._address = engine.url.removeprefix("http://")
        self._key = engine.key
        self._connection = None

    def send(self, method, target, headers=(), body=b""):
        """Status and body of the answer."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=SLOWEST_S)
        connection = self._connection
        connection.putrequest(method, target, skip_accept_encoding=True)
        given = {"Authorization": f"Bearer {self._key}", "Content-Length": str(len(body))}
        for name, value in (given | dict(headers)).items():
            connection.putheader(name, value)
        try:
            connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It may have answered before all was sent.
        answer = connection.getresponse()
        found = answer.status, answer.read()
        if answer.will_close:
            self.close()
        return found

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def operations(sender):
    """(method, path, names of query parameters) of all that the engine says it has."""
    status, body = sender.send("GET", "/openapi.json")
    assert status == 200
    return [
        (
            method.upper(),
            path,
            [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"],
        )
        for path, methods in json.loads(body)["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.timeout(3600)
def test_no_request_breaks_the_engine(start):
    with start(command=ENGINE) as engine:
        sender = Sender(engine)
        routes = operations(sender)
        ids = [uid(number) for number in range(1, 7)] + ["nano"]
        statuses = {}
        for number in range(SEED, SEED + CASES):
            sent = broken_request(random.Random(number), routes, ids)
            status, body = sender.send(sent.method, sent.target, sent.headers, sent.body)
            where = f"{number}: {status} {sent}\n{body[:500]!r}\n{engine.log()[-3000:]}"
            assert status < 500, where
            if status >= 400 and sent.method != "HEAD" and body:
                fault = json.loads(body)["error"] if status != 400 or body[:1] == b"{" else {}
                assert not fault or fault.keys() == {"message", "type", "param", "code"}, where
            statuses[status] = statuses.get(status, 0) + 1
            import collections

            C = globals().setdefault("C", collections.Counter())
            C[
                (
                    sent.method,
                    re.sub("[0-9a-f-]{30,}|file-[^/]*", "ID", sent.target.split("?")[0])[:60],
                    status,
                )
            ] += 1
            fresh = _ID.findall(body[:20_000].decode(errors="replace"))
            ids = [*ids, *(each for each in fresh if not each.startswith("ft:"))][-60:]
        assert sender.send("GET", "/health")[0] == 200
        sender.close()
        assert statuses[200] > CASES / 20, statuses
        assert "my secret" not in engine.log()
        assert "Traceback" not in engine.log()
        assert "broke" not in engine.log()
        print(statuses)
        for k, v in sorted(C.items()):
            print(k, v) if v > 3 else None
