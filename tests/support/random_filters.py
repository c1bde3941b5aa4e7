"""Random runs, and random filters about them, as trees and as text."""

import datetime as dt
import json
from uuid import UUID

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
NAMES = ["shop", "ChatOpenAI", "Übung", 'say "hi"', "a\\b", "it's", "100%_off", "5", "日本", "ß"]
WORDS = [*NAMES, "grüezi", "STRASSE", "tab\there", "new\nline", "null", "true", "x" * 50, "é", "_"]
KEYS = ["tier", "tries", "thread_id", "session_id", "Übung", "a.b", "$.c", "user id"]
SCALARS = [1, 2.5, 0.1 + 0.2, 12345678901234567, True, False, None, "gold", "1", "true", "2.5", ""]
VALUES = [*SCALARS, [1, "two"], {"deep": [1.5, None]}]
SCORES = [0, 1, 0.5, -1, None, True, 0.1 + 0.2, 5]
SAID = ["user_score", "length", "tone", "it's"]
COMMENTS = [None, "bad", "Grüezi", "long"]
TYPES = ["llm", "chain", "tool"]
SECONDS = [0, 0.001, 0.035, 0.5, 1, 1.1, 2, 90, 3600]
DURATIONS = [0, 1, 0.5, 2.0, 1e-05, "5s", "500ms", "35ms", "1.5m", "1h", "0.035", "1.1s", "2"]
KINDS = {
    "text": ["eq", "neq", "gt", "gte", "lt", "lte", "in", "search"],
    "lower": ["eq", "neq", "in"],
    "number": ["eq", "neq", "gt", "gte", "lt", "lte", "in"],
    "flag": ["eq", "neq"],
    "tags": ["has", "eq", "neq", "in", "search"],
    "json": ["search"],
}


def uid(number):
    return str(UUID(int=number))


def stamp(time):
    return time.isoformat()


def random_runs(random, traces=60):
    """Runs as clients post them, each with its `feedback`."""
    runs = []
    for number in range(traces):
        above = []
        for _ in range(random.randint(1, 4)):
            run_id = uid(len(runs) + 1)
            parent = random.choice(above) if above else None
            start = NOON + dt.timedelta(minutes=number, milliseconds=random.randint(0, 3))
            order = f"{start:%Y%m%dT%H%M%S%fZ}{run_id}"
            run = {
                "id": run_id,
                "trace_id": above[0]["id"] if above else run_id,
                "dotted_order": f"{parent['dotted_order']}.{order}" if parent else order,
                "name": random.choice(NAMES),
                "run_type": random.choice(TYPES),
                "session_name": "app",
                "start_time": stamp(start),
                "feedback": [_feedback(random, run_id) for _ in range(random.choice([0, 0, 1, 3]))],
            }
            optional = {
                "parent_run_id": parent and parent["id"],
                "end_time": stamp(start + dt.timedelta(seconds=random.choice(SECONDS))),
                "error": random.choice([None, None, random.choice(WORDS)]),
                "tags": random.sample(WORDS, random.randint(0, 3)),
                "inputs": {"messages": [{"content": random.choice(WORDS), "n": 1}]},
                "outputs": _outputs(random),
                "extra": {
                    "metadata": {
                        key: random.choice(VALUES)
                        for key in random.sample(KEYS, random.randint(0, 4))
                    }
                },
            }
            run |= {
                name: value
                for name, value in optional.items()
                if value is not None and (name == "parent_run_id" or random.random() < 0.8)
            }
            above.append(run)
            runs.append(run)
    return runs


def _outputs(random):
    usage = {"input_tokens": random.randint(0, 9), "output_tokens": random.randint(0, 9)}
    found = {random.choice(KEYS): {"text": [random.choice(VALUES), random.choice(WORDS)]}}
    return found | ({"usage_metadata": usage} if random.random() < 0.6 else {})


def _feedback(random, run_id):
    return {
        "run_id": run_id,
        "key": random.choice(SAID),
        "score": random.choice(SCORES),
        "value": random.choice([None, "bad", "long", "1"]),
        "comment": random.choice(COMMENTS),
    }


def random_filter(random, runs, depth=0):
    """A tree as `support.reference_filter` reads it."""
    if depth < 4 and random.random() < (0.7 if depth == 0 else 0.35):
        operator = random.choice(["and", "and", "or", "not"])
        count = 1 if operator == "not" else random.randint(1, 4)
        return (operator, *(random_filter(random, runs, depth + 1) for _ in range(count)))
    return _condition(random, random.choice(runs))


def _condition(random, run):
    times = [run["start_time"], run["start_time"][:-6], "2026-11-01T14:30:00+02:00"]
    fields = {
        "id": ("text", [run["id"], run["trace_id"]]),
        "trace_id": ("text", [run["trace_id"]]),
        "parent_run_id": ("text", [run.get("parent_run_id") or run["id"]]),
        "name": ("text", [*NAMES, 5]),
        "error": ("text", WORDS),
        "thread_id": ("text", ["gold", "1", 1, "2.5", "true"]),
        "run_type": ("lower", [*TYPES, "LLM", "Chain"]),
        "status": ("lower", ["success", "error", "pending", "SUCCESS"]),
        "start_time": ("number", times),
        "end_time": ("number", times),
        "latency": ("number", DURATIONS),
        "total_tokens": ("number", [0, 3, 9.0, "5", 1e300, -1]),
        "prompt_tokens": ("number", [0, 3, 7]),
        "completion_tokens": ("number", [0, 3, 7.5]),
        "is_root": ("flag", [True, False]),
        "tags": ("tags", WORDS),
        "inputs": ("json", WORDS),
        "outputs": ("json", WORDS),
        "metadata_key": ("text", KEYS),
        "metadata_value": ("text", SCALARS),
        "input_key": ("text", ["messages.content", "messages.n", "messages"]),
        "input_value": ("text", [*WORDS, 1]),
        "output_key": ("text", [f"{key}.text" for key in KEYS]),
        "output_value": ("text", [*WORDS, 1, 2.5, True]),
        "feedback_key": ("text", SAID),
        "feedback_score": ("number", [score for score in SCORES if score is not None]),
        "feedback_value": ("text", ["bad", "long", 1]),
        "feedback_comment": ("text", ["bad", "Grüezi"]),
        "metadata": ("metadata", []),
        "anywhere": ("search", WORDS),
    }
    # Those of one row are more telling side by side.
    field = random.choice(
        [*fields, *(name for name in fields if name.endswith(("_key", "_value")))]
    )
    kind, values = fields[field]
    if kind == "search":
        return ("search", random.choice(values))
    if kind == "metadata":
        if random.random() < 0.4:
            return ("exists", field, random.choice(KEYS))
        asked = {random.choice(KEYS): random.choice(VALUES) for _ in range(random.randint(0, 2))}
        return ("has", field, json.dumps(asked, ensure_ascii=random.random() < 0.5))
    comparator = random.choice(KINDS[kind])
    if comparator == "in":
        values = [value for value in values if value is not None]
        return (comparator, field, random.sample(values, random.randint(0, min(3, len(values)))))
    if comparator in {"eq", "neq"} and kind != "tags" and random.random() < 0.1:
        return (comparator, field, None)
    value = random.choice([value for value in values if value is not None or comparator == "eq"])
    return (comparator, field, value if comparator != "search" else str(value))


def written(tree, random):
    """The text of a filter, in one of the ways to write it."""
    space = random.choice(["", " ", "\n\t"])
    operator, *parts = tree
    if operator in {"and", "or", "not"}:
        inner = f",{space}".join(written(part, random) for part in parts)
    elif len(parts) == 1:
        inner = _value(parts[0], random)
    else:
        inner = f"{parts[0]}{space},{_value(parts[1], random)}"
    return f"{operator}{space}({space}{inner}{space})"


def _value(value, random):
    if isinstance(value, list):
        return "[" + ", ".join(_value(each, random) for each in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    quote = random.choice("\"'")
    escaped = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    if random.random() < 0.5:
        escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    return f"{quote}{escaped}{quote}"
