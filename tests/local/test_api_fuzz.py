"""Nearly good requests to a whole engine: refused in OpenAI's shape or done, never a 500.

`API_CASES=10000 python -m pytest tests/local/test_api_fuzz.py` sends as many; a failure names the
number that `API_SEED` begins at.
"""

import contextlib
import http.client
import json
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from support.broken_requests import broken_request, collection_of

CASES = int(os.environ.get("API_CASES", "400"))
SEED = int(os.environ.get("API_SEED", "0"))
ENOUGH = 5000
"""From so many requests on, nearly every route was reached to its end."""

SLOWEST_S = 120
"""No request takes anywhere near as long, unless the engine hangs."""

ENGINE = (str(Path(__file__).with_name("conforming_engine.py")),)
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
        # It may have answered before all was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body)
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


def keep(ids, path, body):
    """Remember the ids in an answer by what they are of."""
    fresh = _ID.findall(body[:20_000].decode(errors="replace"))
    collection = collection_of(path)
    # What the stand-in trainer makes is no model that can be loaded.
    kept = [each for each in fresh if not each.startswith("ft:")]
    ids[collection] = [*ids.get(collection, ()), *kept][-20:]


@pytest.mark.timeout(3600)
def test_no_request_breaks_the_engine(start):
    with start(command=ENGINE) as engine:
        sender = Sender(engine)
        routes = operations(sender)
        ids, statuses, done = {}, Counter(), set()
        for number in range(SEED, SEED + CASES):
            sent, path = broken_request(random.Random(number), routes, ids)
            status, body = sender.send(sent.method, sent.target, sent.headers, sent.body)
            where = f"{number}: {status} {sent}\n{body[:500]!r}\n{engine.log()[-3000:]}"
            assert status < 500, where
            if status >= 400 and body.startswith(b"{"):
                fault = json.loads(body)
                if path.endswith("/otel/v1/traces") and "error" not in fault:
                    assert fault.keys() == {"message"}, where  # As OTLP wants it.
                    continue
                fault = fault["error"]
                assert fault.keys() == {"message", "type", "param", "code"}, where
                assert fault["message"], where
            statuses[status] += 1
            if status < 300:
                done.add((sent.method, path))
                keep(ids, path, body)
        assert sender.send("GET", "/health")[0] == 200
        sender.close()
        # Requests that all fail at the door would show nothing.
        assert statuses[200] + statuses[202] > CASES / 10, statuses
        assert "my secret" not in engine.log()
        assert "Traceback" not in engine.log()
        assert "broke" not in engine.log()
        if CASES >= ENOUGH:
            assert len(done) > 0.75 * len(routes), [each for each in routes if each[:2] not in done]
