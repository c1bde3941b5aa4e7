"""The filter language: what it selects, and how it refuses."""

from uuid import UUID

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.filter_parser import Comparison, Logic, parse_filter
from langchain_finetune.local.store.run_changes import run_change
from langchain_finetune.local.store.run_queries import v1_query


def uid(number):
    return str(UUID(int=number))


def trace(number, *, feedback=(), **root):
    """A trace of a root and an llm run below it; numbers 10, 11; 20, 21; ..."""
    root_id, model_id = uid(10 * number), uid(10 * number + 1)
    day = f"2026-11-{number:02}T12:00:"
    base = {"trace_id": root_id, "session_name": "app"}
    order = f"202611{number:02}T120000000000Z{root_id}"
    yield {
        **base,
        "id": root_id,
        "name": "shop",
        "run_type": "chain",
        "start_time": day + "00+00:00",
        "end_time": day + "03+00:00",
        "dotted_order": order,
        **root,
    }
    yield {
        **base,
        "id": model_id,
        "name": "model",
        "run_type": "llm",
        "parent_run_id": root_id,
        "start_time": day + "01+00:00",
        "end_time": day + "02.500+00:00",
        "dotted_order": f"{order}.202611{number:02}T120001000000Z{model_id}",
        "inputs": {"q": 'Say "Grüezi"'},
        "outputs": {"usage_metadata": {"input_tokens": number, "output_tokens": 1}},
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Three traces: 1 is liked, 2 failed, 3 was rated twice. The tests only read them."""
    store = RunStore(tmp_path_factory.mktemp("shelf") / "runs.sqlite")
    one = {"extra": {"metadata": {"tier": "gold", "tries": 2, "thread_id": "t-1"}}}
    two = {"error": "ValueError('no tea left')", "tags": ["web", "100%_off"]}
    three = {"extra": {"metadata": {"tier": "blue", "other": "gold", "beta": True}}}
    runs = [*trace(1, **one), *trace(2, **two), *trace(3, **three, tags=["app"])]
    store.runs.apply(run_change("post", run) for run in runs)
    said = [
        (10, "user_score", 1, None),
        (20, "user_score", 0, None),
        (30, "user_score", 0, "bad"),
        (30, "length", 5, "long"),
        (31, "tone", 0.5, None),
    ]
    store.feedback.add(
        {"run_id": uid(run), "key": key, "score": score, "value": value}
        for run, key, score, value in said
    )
    yield store
    store.close()


def found(store, **query):
    project = store.projects.ensure("app")
    asked = v1_query({"session": [project], "select": ["id"], "order": "asc", **query})
    return [UUID(run.row["id"]).int for run in store.runs.find(asked).runs]


ROOTS, MODELS = [10, 20, 30], [11, 21, 31]
ALL = [10, 11, 20, 21, 30, 31]

CASES = [
    ('eq(run_type, "llm")', MODELS),
    ("eq(run_type, 'LLM')", MODELS),
    ('neq(name, "shop")', MODELS),
    ('in(name, ["model", "none"])', MODELS),
    ("in(name, [])", []),
    ("eq(is_root, true)", ROOTS),
    ('eq(status, "error")', [20]),
    ("neq(error, null)", [20]),
    ("eq(error, null)", [10, 11, 21, 30, 31]),
    ('search(error, "NO TEA")', [20]),
    ('search("grüezi")', MODELS),
    ("search('say \"GRÜ')", MODELS),
    ('search(inputs, "shop")', []),
    ('search("shop")', ROOTS),
    ('gt(start_time, "2026-11-02T12:00:00Z")', [21, 30, 31]),
    ('gte(start_time, "2026-11-02T13:00:00+01:00")', [20, 21, 30, 31]),
    ('lte(start_time, "2026-11-01T12:00:01")', [10, 11]),
    ("gt(latency, 2)", ROOTS),
    ('lt(latency, "1600ms")', MODELS),
    ('gte(latency, "0.05m")', ROOTS),
    ("gt(total_tokens, 2)", [21, 31]),
    ("eq(prompt_tokens, 3)", [31]),
    ('has(tags, "web")', [20]),
    ('has(tags, "100%")', []),
    ('and(has(tags, "web"), has(tags, "100%_off"))', [20]),
    ('and(has(tags, "web"), has(tags, "app"))', []),
    ('not(has(tags, "web"))', [10, 11, 21, 30, 31]),
    ('and(eq(metadata_key, "tier"), eq(metadata_value, "gold"))', [10]),
    ('and(eq(metadata_key, "tries"), eq(metadata_value, 2))', [10]),
    ('and(eq(metadata_key, "beta"), eq(metadata_value, "true"))', [30]),
    ('eq(metadata_value, "gold")', [10, 30]),
    ('and(in(metadata_key, ["session_id", "thread_id"]), eq(metadata_value, "t-1"))', [10]),
    # What is denied, as LangSmith's guide "Query traces" has it.
    ('neq(metadata_key, "tier")', [11, 20, 21, 31]),
    ('neq(metadata_value, "gold")', [11, 20, 21, 31]),
    ('and(eq(metadata_key, "tier"), neq(metadata_value, "gold"))', [30]),
    ('and(neq(metadata_key, "tries"), neq(metadata_value, "blue"))', [11, 20, 21, 31]),
    ('and(neq(metadata_key, "tries"), eq(metadata_value, "gold"))', [30]),
    ('and(eq(run_type, "chain"), neq(feedback_key, "length"))', [10, 20]),
    ('and(eq(feedback_key, "user_score"), neq(feedback_score, 0))', [10]),
    ('and(eq(is_root, true), neq(tags, "web"))', [10, 30]),
    ('and(eq(input_key, "q"), eq(input_value, \'Say "Grüezi"\'))', MODELS),
    ('and(eq(output_key, "usage_metadata.input_tokens"), eq(output_value, 2))', [21]),
    ("gt(latency, 0.00001)", ALL),
    ("has(metadata, '{\"tier\": \"blue\", \"beta\": true}')", [30]),
    ("has(metadata, '{\"tier\": \"blue\", \"beta\": false}')", []),
    ('eq(thread_id, "t-1")', [10]),
    (f'eq(trace_id, "{uid(20)}")', [20, 21]),
    (f'in(id, ["{uid(11)}", "{uid(20)}"])', [11, 20]),
    ('eq(feedback_key, "user_score")', ROOTS),
    ('and(eq(feedback_key, "user_score"), gt(feedback_score, 0))', [10]),
    ('and(eq(feedback_key, "user_score"), and(gt(feedback_score, 0)))', [10, 30]),
    ('and(gt(feedback_score, 1), or(eq(feedback_key, "length"), eq(feedback_key, "a")))', [30]),
    ('and(eq(feedback_key, "user_score"), eq(feedback_value, "long"))', []),
    ('and(eq(feedback_key, "length"), eq(feedback_value, "long"))', [30]),
    ('and(eq(feedback_key, "user_score"), not(eq(feedback_key, "length")))', [10, 20]),
    ('or(eq(name, "none"), and(eq(run_type, "llm"), gt(total_tokens, 3)))', [31]),
    ("not(not(eq(is_root, true)))", ROOTS),
    ("  and ( eq( is_root , true ) , eq(status,\n'success') ) ", [10, 30]),
    ("eq(total_tokens, 123456789012345678901234567890)", []),
    ("lt(total_tokens, 1e400)", MODELS),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_a_filter_selects(shelf, text, expected):
    assert found(shelf, filter=text) == expected


def test_a_trace_filter_is_about_the_root(shelf):
    liked = 'and(eq(feedback_key, "user_score"), gt(feedback_score, 0))'
    assert found(shelf, trace_filter=liked) == [10, 11]
    assert found(shelf, trace_filter=liked, run_type="llm") == [11]
    assert found(shelf, trace_filter='eq(feedback_key, "tone")') == []


def test_a_tree_filter_is_about_any_run_of_the_trace(shelf):
    assert found(shelf, tree_filter='eq(feedback_key, "tone")', is_root=True) == [30]
    assert found(shelf, tree_filter='eq(status, "error")') == [20, 21]


def test_all_three_filters_must_hold(shelf):
    asked = {
        "filter": 'eq(run_type, "llm")',
        "trace_filter": 'eq(feedback_key, "user_score")',
        "tree_filter": "gt(total_tokens, 2)",
    }
    assert found(shelf, **asked) == [21, 31]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eq",
        "eq(",
        "eq(name",
        'eq(name, "a"',
        'eq(name, "a")) ',
        'eq(name, "a") or',
        'eq(name, "a)',
        "eq(name, [1, )",
        "eq(name, bare)",
        'like(name, "a")',
        'eq("name", "a")',
        'not(eq(name, "a"), eq(name, "b"))',
        "and()",
        "not(" * 40 + 'eq(name, "a")' + ")" * 40,
        "and(" + ", ".join(['eq(name, "a")'] * 300) + ")",
        'eq(name, "' + "a" * 100_001 + '")',
        'eq(no_such_field, "a")',
        'eq(password); drop table runs; --", "a")',
        "gt(name, null)",
        "eq(name, [1, 2])",
        'in(name, "a")',
        "in(name, [null])",
        'has(name, "a")',
        'gt(tags, "a")',
        'eq(metadata, "a")',
        'has(metadata, "a")',
        "has(metadata, '[1]')",
        'eq(is_root, "yes")',
        'gt(start_time, "yesterday")',
        'gt(latency, "soon")',
        'gt(total_tokens, "many")',
        'eq(total_tokens, "nan")',
        "gt(latency, true)",
        "gt(latency, 1e400)",
        'gt(latency, "' + "9" * 90_000 + 's")',
        "search(17)",
        'search(total_tokens, "1")',
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(shelf, text):
    with pytest.raises(ApiError) as caught:
        found(shelf, filter=text or " ")
    assert caught.value.status == 400
    assert caught.value.param == "filter"
    assert caught.value.message.endswith(".")


def test_a_filter_is_parsed_to_a_tree():
    parsed = parse_filter('and(eq(name, "a \\"b\\""), in(total_tokens, [1, -2.5]), search("x"))')
    assert parsed == Logic(
        "and",
        (
            Comparison("eq", "name", 'a "b"'),
            Comparison("in", "total_tokens", (1, -2.5)),
            Comparison("search", None, "x"),
        ),
    )


def test_a_search_is_about_texts_however_they_were_written(store):
    """Clients may write any letter as an escape, and what lies between texts is nobody's text."""
    large = {"inputs": b'{"q": "Gr\\u00DCezi \\ud83d\\ude00", "n": null}'}
    post = {"id": uid(1), "name": "a", "run_type": "llm", "session_name": "app"}
    store.runs.apply([run_change("post", post, large)])
    assert found(store, filter='search(inputs, "grüezi \U0001f600")') == [1]
    assert found(store, filter='search("null")') == []
    assert found(store, filter='search(inputs, ": ")') == []


def test_a_search_reads_what_is_nested_deeper_than_python_calls(store):
    deep = b'{"a":' * 1000 + b'"deep down"' + b"}" * 1000
    post = {"id": uid(1), "name": "a", "run_type": "llm", "session_name": "app"}
    store.runs.apply([run_change("post", post, {"inputs": deep})])
    assert found(store, filter='search("DOWN")') == [1]
    assert found(store, filter='eq(input_value, "deep down")') == [1]


@pytest.mark.file
def test_ten_thousand_runs_answer_in_few_steps(store):
    runs = (
        {**run, "id": uid(10**6 + index), "parent_run_id": uid(10), "trace_id": uid(10)}
        for index in range(10_000)
        for run in list(trace(1))[1:]
    )
    store.runs.apply(run_change("post", run) for run in [*trace(1), *runs])
    store.feedback.add([{"run_id": uid(10), "key": "user_score", "score": 1}])
    asked = {
        "filter": 'and(eq(run_type, "llm"), eq(metadata_key, "none"))',
        "trace_filter": 'and(eq(feedback_key, "user_score"), gt(feedback_score, 0))',
    }
    thousands = []
    # Steps of SQLite's machine; seconds would tell of other processes, too.
    with store._database._readers.one() as reader:
        reader.connection.set_progress_handler(lambda: thousands.append(1), 1000)
    assert found(store, **asked) == []
    assert len(found(store, trace_filter=asked["trace_filter"], limit=100)) == 100
    # It takes 175; without the index, 613.
    assert len(thousands) < 500
