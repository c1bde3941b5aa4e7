"""Requests that are nearly good: what a seed makes of the templates and the engine's own routes."""

import copy
import gzip
import json
from dataclasses import dataclass
from urllib.parse import quote

import zstandard

from support.mutations import places
from support.random_filters import uid
from support.request_templates import BODIES, FILTER, FORMS, of_path

PREFIXES = ("/api/v1", "/api", "/v1", "")
ODD_IDS = [
    *("x" * 3000, "%00", "..%2f..%2fapi_key", "%2e%2e", "-1", "9" * 40, "%ff%fe", "%F0%9F%98%80"),
    *(
        "'%20OR%201=1--",
        "null",
        "{}",
        "file-%0d%0aX:%20y",
        "ftjob-1%00",
        uid(9).upper(),
        "%ed%a0%80",
    ),
]
QUERY_VALUES = [
    *(
        "",
        "0",
        "1",
        "-1",
        "10",
        "101",
        "9" * 30,
        "1.5",
        "nan",
        "true",
        "asc",
        "null",
        uid(1),
        uid(4),
    ),
    *("%00", "%ff", "%ed%a0%80", "a" * 5000, "..%2f..", "fine-tune", quote('{"a": 1}'), "[1]"),
    *(quote(FILTER), quote('search("'), "latest", "2026-11-01T12:00:00", "%2B" * 9, "success"),
]
DEEP = "(deeper than Python calls)"
SCALARS = [
    *(None, True, False, 0, 1, -1, 3, 1.5, -0.0, 1e308, 2**31, 2**53, 2**63, -(2**63) - 1, 10**40),
    *("", "x", "nano", "auto", "0", "\x00", "\ud800", "a\x00b", "../../etc/passwd", "é" * 300),
    *(
        "x" * 20_000,
        uid(1),
        uid(2),
        uid(4),
        "2026-11-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31",
    ),
    *(
        "~nobody/x",
        "eyJhIjoxfQ==",
        "WzFlMzAsIngiXQ==",
        "WzkyMjMzNzIwMzY4NTQ3NzU4MDgsIngiXQ==",
        DEEP,
    ),
    *("text", "user", "assistant", "object", "<|im_end|>", "$ref", "(a+)+$", "NaN"),
]
WORDS = ["type", "name", "model", "filter", "id", "messages", "content", "$ref", "lc", "", "\x00"]
KINDS = [
    *("text/plain", "application/json; charset=utf-16", "multipart/form-data", "x", ""),
    *("multipart/form-data; boundary=" + "b" * 100, "application/x-www-form-urlencoded"),
    *("multipart/form-data; boundary=", 'multipart/form-data; boundary="', "application/xml"),
]
RAW = [
    *(b"", b"null", b"[]", b"{}", b'"my secret"', b"{", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"NaN"),
    *(b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"model": "\\ud800"}', b"[1e999]"),
    *(b'{"a": 1, "a": 2}', b"-", b"{}{}", b"\x00" * 50, b"9" * 5000, "{}".encode("utf-16")),
]
BOUNDARY = b"line"


@dataclass
class Sent:
    method: str
    target: str
    headers: dict
    body: bytes

    def __str__(self):
        return f"{self.method} {self.target[:300]} {self.headers} {self.body[:2000]!r}"


def broken_request(random, operations, ids):
    """A request to one of the operations of an OpenAPI description.

    `operations` are (method, path, query parameters); `ids` are such as the engine gave before, by
    the name of their collection in paths, such as `files`.
    """
    method, path, parameters = random.choice(operations)
    if method == "DELETE" and random.random() < 0.7:
        # What is deleted at once leads no further.
        method, path, parameters = random.choice(operations)
    if random.random() < 0.02:
        method = random.choice(["PUT", "OPTIONS", "HEAD", "TRACE", "POST", "DELETE", "BREW"])
    headers, body = {}, b""
    if method in {"POST", "PATCH", "PUT"} or random.random() < 0.02:
        kind, body = _body(random, path, ids)
        headers = {"Content-Type": kind}
        headers, body = _encoded(random, headers, body)
    target = _filled(random, path, ids) + _query(random, parameters, ids)
    return Sent(method, target, headers, body), path


def collection_of(path):
    """The name in a path that says what its ids are of: `/v1/files/{file_id}` has `files`."""
    return [part for part in path.split("/") if part and not part.startswith("{")][-1]


def _one_of(random, ids, collection):
    fit = ids.get(collection)
    if fit and random.random() < 0.85:
        return random.choice(fit)
    return random.choice([*(each for some in ids.values() for each in some), uid(1), "nano"])


def _filled(random, path, ids):
    if path.startswith("/api/v1/"):
        path = random.choice(PREFIXES) + path.removeprefix("/api/v1")
    parts = path.split("/")
    for place, part in enumerate(parts):
        if part.startswith("{"):
            known = quote(_one_of(random, ids, collection_of("/".join(parts[:place]))), safe="")
            parts[place] = random.choice(ODD_IDS) if random.random() < 0.1 else known
    return "/".join(parts)


def _query(random, parameters, ids):
    pairs = []
    for name in parameters:
        for _ in range(random.choice([0, 0, 1, 1, 2])):
            known = quote(_one_of(random, ids, f"{name}s"))
            value = known if random.random() < 0.3 else random.choice(QUERY_VALUES)
            pairs.append(f"{name}={value}")
    if random.random() < 0.05:
        pairs.append(
            random.choice(["what=1", "=", "&&", "limit", "metadata[a]=b", "metadata=null"])
        )
    return "?" + "&".join(pairs) if pairs else ""


def _body(random, path, ids):
    form = of_path(FORMS, path)
    if form and random.random() < 0.9:
        return _form(random, form)
    if random.random() < 0.08:
        return "application/json", random.choice(RAW)
    body = copy.deepcopy(random.choice(of_path(BODIES, path) or [{}, {"a": 1}]))
    body = _with_ids(random, body, ids)
    for _ in range(random.choice([0, 0, 1, 1, 1, 2, 3])):
        body = _mutated(random, body)
    deep = b"[" * 1000 + b"]" * 1000
    text = json.dumps(_bounded(body)).encode().replace(b'"%s"' % DEEP.encode(), deep)
    if random.random() < 0.04:
        place = random.randrange(len(text))
        text = text[:place] + random.choice([b"", b"\xff", b"\x00", b'"', b"}"]) + text[place + 1 :]
    kind = random.choice(KINDS) if random.random() < 0.04 else "application/json"
    return kind, text


_NAMES = {
    "training_file": "files",
    "validation_file": "files",
    "dataset_id": "datasets",
    "reference_dataset_id": "datasets",
    "run_id": "runs",
    "session": "sessions",
    "session_id": "sessions",
    "project_id": "sessions",
    "project_ids": "sessions",
    "experiment_ids": "sessions",
    "part_ids": "parts",
}


def _with_ids(random, body, ids):
    """Name what is there, so that a request comes further."""
    for place in places(body):
        for name in _NAMES.keys() & place if isinstance(place, dict) else ():
            found = _one_of(random, ids, _NAMES[name])
            place[name] = [found] if isinstance(place[name], list) else found
        if isinstance(place, dict) and "id" in place and random.random() < 0.5:
            place["id"] = uid(random.randrange(1, 10**6))
    return body


def _mutated(random, body):
    found = places(body)
    if not found:
        return body
    place = random.choice(found)
    key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
    match random.choice(["replace", "replace", "drop", "wrap", "add", "nest", "filter"]):
        case "replace":
            place[key] = random.choice(SCALARS)
        case "drop":
            del place[key]
        case "wrap":
            place[key] = random.choice([[place[key]], {"a": place[key]}, [], {}])
        case "nest":
            for _ in range(random.choice([10, 120, 250])):
                place[key] = [place[key]] if random.random() < 0.5 else {"a": place[key]}
        case "filter":
            text = place[key] if isinstance(place[key], str) else FILTER
            at = random.randrange(len(text) + 1)
            put = random.choice(["(", ")", '"', ",", "\\", "null", "\x00", "not(", "[", "1e999"])
            place[key] = text[:at] + put + text[at + random.randint(0, 1) :]
        case _ if isinstance(place, list):
            place.insert(key, copy.deepcopy(random.choice([*SCALARS, place[key]])))
        case _:
            place[random.choice(WORDS)] = random.choice(SCALARS)
    return body


def _bounded(body):
    """Keep what is a good wish for a long answer from taking long."""
    if isinstance(body, dict) and {"messages", "prompt", "input"} & body.keys():
        most = "max_output_tokens" if "input" in body else "max_tokens"
        for name in (most, "max_completion_tokens"):
            wish = body.get(name)
            if (wish is None and name == most) or (isinstance(wish, int) and wish > 2):
                body[name] = 2
        for name in ("n", "best_of"):
            if isinstance(body.get(name), int) and 2 < body[name] <= 128:
                body[name] = 2
    return body


def _form(random, form):
    parts = []
    for part in form:
        if random.random() < 0.05:
            continue
        name, filename, value = part
        if isinstance(value, dict):
            content = copy.deepcopy(value)
            mutated = _mutated(random, content) if random.random() < 0.3 else content
            value = json.dumps(mutated).encode()
        if random.random() < 0.03:
            value = random.choice([*RAW, value * 2])
        if random.random() < 0.04:
            name = random.choice(
                ["", "x", "post.", "a.b.c.d", "file", "purpose", "\x00", "_charset_"]
            )
        if filename and random.random() < 0.3:
            filename = random.choice(
                [
                    b"../../api_key",
                    b"/etc/passwd",
                    b"a\x00b",
                    b"",
                    b"a" * 3000,
                    b"\xff",
                    b"x\ty",
                    b"%00",
                ]
            )
        parts += [(name, filename, value)] * random.choice([1, 1, 1, 1, 1, 2, 30])
    body = b"".join(_part(random, *part) for part in parts) + b"--" + BOUNDARY + b"--\r\n"
    if random.random() < 0.1:
        place = random.randrange(len(body))
        body = random.choice([body[:place], body[:place] + b"\r\n--" + body[place:], body[::-1]])
    kind = "multipart/form-data; boundary=" + BOUNDARY.decode()
    return random.choice(KINDS) if random.random() < 0.04 else kind, body


def _part(random, name, filename, value):
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"' % (BOUNDARY, name.encode())
    head += b'; filename="%s"' % filename if filename is not None else b""
    odd = [
        b"Content-Type: x",
        b"Content-Transfer-Encoding: base64",
        b"X: " + b"y" * 9000,
        b"no colon",
    ]
    extra = random.choice(odd) + b"\r\n" if random.random() < 0.1 else b""
    return head + b"\r\n" + extra + b"\r\n" + value + b"\r\n"


def _encoded(random, headers, body):
    chance = random.random()
    if chance < 0.85:
        return headers, body
    name = random.choice(["zstd", "gzip", "identity", "br", "deflate", "zstd, gzip", "what", ""])
    packed = {"zstd": zstandard.compress(body), "gzip": gzip.compress(body)}.get(name, body)
    if chance > 0.97:
        packed = packed[: len(packed) // 2] + b"\x00"
    return headers | {"Content-Encoding": name}, packed
