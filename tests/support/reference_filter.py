"""LangSmith's filters over plain dicts: a slow, simple evaluator that tests hold the store to.

A filter is a tree of tuples: `("and", ...)`, `("or", ...)`, `("not", x)`, `(comparator, field,
value)`, and `("search", text)`. Written from LangSmith's documentation alone:
https://docs.langchain.com/langsmith/trace-query-syntax and, for examples and for what is denied of
metadata, https://docs.langchain.com/langsmith/export-traces
"""

import datetime as dt
import json
import re
from fractions import Fraction

ROWS = {
    "metadata": ("metadata_key", "metadata_value"),
    "input": ("input_key", "input_value"),
    "output": ("output_key", "output_value"),
    "feedback": ("feedback_key", "feedback_score", "feedback_value", "feedback_comment"),
}
KIND = {field: kind for kind, fields in ROWS.items() for field in fields}
THREAD = ("session_id", "thread_id", "conversation_id")


def matches(tree, run):  # noqa: PLR0911 a case each
    """Whether a run, with its `feedback`, fits."""
    match tree:
        case ("or", *parts):
            return any(matches(part, run) for part in parts)
        case ("not", part):
            return not matches(part, run)
        case ("and", *parts):
            return all_hold(parts, run)
        case ("search", text):
            fields = ("name", "error", "inputs", "outputs")
            return any(compare("search", own(run, field), text) for field in fields)
        case ("has", "metadata", text):
            pairs = {(key, as_text(value)) for key, value in metadata(run).items()}
            return {(key, as_text(value)) for key, value in json.loads(text).items()} <= pairs
        case ("exists", "metadata", key):
            return key in metadata(run)
        case (comparator, "tags", value):
            tags = run.get("tags") or []
            if comparator == "neq":
                return value not in tags
            equal = {"has": "eq"}.get(comparator, comparator)
            return any(compare(equal, tag, value) for tag in tags)
        case (comparator, field, value):
            if field in KIND:
                return all_hold([tree], run)
            return compare(comparator, own(run, field), wanted(field, value))


def all_hold(parts, run):
    """Side by side, conditions on feedback or on pairs mean one and the same row."""
    alone, grouped = [], {}
    for part in parts:
        kind = one_row(part)
        if kind:
            grouped.setdefault(kind, []).append(part)
        else:
            alone.append(part)
    return all(matches(part, run) for part in alone) and all(
        rows_fit(kind, members, run) for kind, members in grouped.items()
    )


def one_row(part):
    """The kind of rows that a condition speaks of, where one row can meet it."""
    if part[0] == "or":
        kinds = {None if denies(each) else one_row(each) for each in part[1:]}
        return kinds.pop() if len(kinds) == 1 else None
    return KIND.get(part[1]) if part[0] not in {"and", "not"} else None


def denies(part):
    return part[0] == "neq" and part[2] is not None


def rows_fit(kind, members, run):
    rows = rows_of(kind, run)
    claims = [part for part in members if not denies(part)]
    for part in members:
        if denies(part) and (part[1].endswith("_key") or not claims):
            if any(fits_row(("eq", *part[1:]), row) for row in rows):
                return False
        elif denies(part):
            claims.append(part)
    return not claims or any(all(fits_row(part, row) for part in claims) for row in rows)


def fits_row(part, row):
    if part[0] == "or":
        return any(fits_row(each, row) for each in part[1:])
    comparator, field, value = part
    return compare(comparator, row[field], wanted(field, value))


def rows_of(kind, run):
    if kind == "feedback":
        return [
            {f"feedback_{name}": said[name] for name in ("key", "score", "value", "comment")}
            for said in run["feedback"]
        ]
    pairs = metadata(run).items() if kind == "metadata" else paths(run.get(f"{kind}s"))
    return [{f"{kind}_key": key, f"{kind}_value": as_text(value)} for key, value in pairs]


def paths(value, path=""):
    """`{"a": [{"b": 1}]}` has the pair `a.b` and 1; nulls and empty texts make none."""
    if isinstance(value, dict):
        return [
            pair for key in value for pair in paths(value[key], f"{path}.{key}" if path else key)
        ]
    if isinstance(value, list):
        return [pair for each in value for pair in paths(each, path)]
    return [] if value in (None, "") else [(path, value)]


def metadata(run):
    return (run.get("extra") or {}).get("metadata") or {}


def own(run, field):  # noqa: PLR0911 a case each
    """A run's own field, as it is compared."""
    start, end = moment(run["start_time"]), moment(run.get("end_time"))
    usage = (
        ((run.get("outputs") or {}).get("usage_metadata") or {}) if run["run_type"] == "llm" else {}
    )
    tokens = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    match field:
        case "start_time":
            return start
        case "end_time":
            return end
        case "latency":
            return (
                None if end is None else Fraction((end - start) // dt.timedelta.resolution, 10**6)
            )
        case "status":
            return "error" if run.get("error") else "success" if end else "pending"
        case "is_root":
            return run.get("parent_run_id") is None
        case "thread_id":
            found = [metadata(run)[key] for key in THREAD if metadata(run).get(key)]
            return as_text(found[0]) if found else None
        case "total_tokens":
            return usage["input_tokens"] + usage["output_tokens"] if usage else None
        case "prompt_tokens" | "completion_tokens":
            return usage.get(tokens[field])
        case _:
            return run.get(field)


def wanted(field, value):
    """The value of a condition, as its field is compared."""
    if isinstance(value, list):
        return [wanted(field, each) for each in value]
    if field.endswith("_value") and field != "feedback_value":
        return as_text(value)
    if value is None:
        return None
    if field.endswith("_time"):
        return moment(value)
    if field == "latency":
        return seconds(value)
    if field in {"run_type", "status"}:
        return value.lower()
    if field.endswith(("_tokens", "_score")):
        return float(value)
    return value if field == "is_root" else as_text(value)


def compare(comparator, have, want):
    match comparator:
        case "eq" | "has":
            return have == want
        case "neq":
            return have != want
        case "in":
            return have is not None and have in want
        case "search":
            return any(want.casefold() in text.casefold() for text in texts(have))
        case _:
            if have is None:
                return False
            return {
                "gt": have > want,
                "gte": have >= want,
                "lt": have < want,
                "lte": have <= want,
            }[comparator]


def texts(value):
    """All strings in a value."""
    if isinstance(value, dict):
        return [*value, *(text for each in value.values() for text in texts(each))]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def moment(text):
    if text is None:
        return None
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def seconds(value):
    if not isinstance(value, str):
        return Fraction(str(value))
    number, unit = re.fullmatch(r"([\d.]+)(\D*)", value).groups()
    scale = {"": 1, "s": 1, "ms": Fraction(1, 1000), "m": 60, "h": 3600}[unit]
    return Fraction(number) * scale
