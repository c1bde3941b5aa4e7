"""Plain requests to an engine."""

import json
import urllib.error
import urllib.request


def get_json(engine, path, *, key=True):
    """(status, answer) of a GET."""
    headers = {"X-API-Key": engine.key} if key else {}
    request = urllib.request.Request(engine.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
