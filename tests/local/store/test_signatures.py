"""Signatures of runs: a search finds the same with them, and reads less."""

import random
import time
from uuid import uuid4

import pytest

from langchain_finetune.local import sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import RunStore, signer
from langchain_finetune.local.store.run_changes import run_change
from langchain_finetune.local.store.run_queries import v1_query
from support.random_filters import random_filter, random_runs, written
from support.reference_filter import matches

pytestmark = pytest.mark.file

CASES = 300


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    """Nothing is signed but by the tests."""
    monkeypatch.setattr(signer, "_INTERVAL_S", 3600)


def posted(store, **fields):
    run_id = str(uuid4())
    body = {"id": run_id, "name": "a", "run_type": "chain", "session_name": "app"}
    store.runs.apply([run_change("post", body | {"end_time": "2026-11-01T12:00:00"} | fields)])
    return run_id


def found(store, text):
    asked = {"session": [store.projects.ensure("app")], "select": ["id"], "filter": text}
    return {run.row["id"] for run in store.runs.find(v1_query(asked)).runs}


def unsigned(store):
    return {row["id"] for row in store._database.rows("SELECT id FROM unsigned_runs")}


def test_random_filters_find_the_same_whatever_is_signed(store):
    runs = random_runs(random.Random(7))
    chance = random.Random(12)
    half = len(runs) // 2
    for part in (runs[:half], runs[half:]):
        store.runs.apply(run_change("post", run) for run in part)
        store.feedback.add(said for run in part for said in run["feedback"])
        assert store.signer.sign(least=1)
    # Some are in a block with what they were before, and in the list of the unsigned.
    changed = chance.sample(runs, len(runs) // 4)
    for run in changed:
        run["error"] = chance.choice(["Out of tea", "GREEN \N{LATIN SMALL LETTER SHARP S}", None])
        run["outputs"] = {"text": chance.choice(["matcha", "Fine & dandy", "x"])}
        patch = {name: run[name] for name in ("id", "error", "outputs")}
        store.runs.apply([run_change("patch", patch)])
    for run in changed:
        row = store.runs.get(run["id"]).row
        run["error"] = row["error"]
    telling = 0
    for _ in range(CASES):
        tree = random_filter(chance, runs)
        text = written(tree, chance)
        expected = {run["id"] for run in runs if matches(tree, run)}
        ids = found(store, text)
        assert ids <= expected, text
        assert len(ids) == min(len(expected), 100), text
        telling += 0 < len(ids) < len(runs)
    assert telling > CASES / 2


ODD = [
    {"inputs": {"t": "Stra\N{LATIN SMALL LETTER SHARP S}e \N{GREEK CAPITAL LETTER SIGMA}"}},
    {"inputs": {"t": 'say "hi"\n\tback\\slash / \x01'}},
    {"outputs": {"t": "emoji \U0001f600 \N{LATIN CAPITAL LETTER E WITH ACUTE}"}},
    {"name": 'a "quoted" name', "error": "line\nbreak"},
    {"extra": {"metadata": {"n": 2**63 + 5, "f": 1.5, "o": {"a": [1]}, "t": True, "z": None}}},
    {"extra": {"metadata": {"key with\nbreak": "", "": "empty key"}}},
]
ASKED = [
    *('search("STRASSE")', 'search("σ")', r'search("say \"HI\"")', r'search("\n\tback")'),
    *(r'search("slash / ")', 'search("😀")', 'search("é")', 'search(name, "QUOTED")'),
    *(r'search(error, "e\nb")', 'search("zzz")', 'search("")', 'search("a")'),
    *("eq(metadata_value, 1.5)", "eq(metadata_value, true)", 'eq(metadata_value, "null")'),
    *('has(metadata, \'{"o": {"a": [1]}}\')', "has(metadata, '{\"z\": null}')"),
    *(
        'exists(metadata, "n")',
        'eq(metadata_key, "")',
        'eq(metadata_value, "9.223372036854776e+18")',
    ),
    *('and(eq(metadata_key, ""), eq(metadata_value, "empty key"))', 'neq(metadata_key, "n")'),
    'not(or(search("hi"), eq(metadata_key, "n")))',
    'and(eq(metadata_key, "f"), neq(metadata_value, "2"))',
    'and(or(eq(metadata_key, "f"), eq(metadata_key, "t")), eq(metadata_value, true))',
]


def test_odd_texts_are_found_as_without_signatures(store):
    for fields in ODD:
        posted(store, **fields)
    # What a client escapes comes as it was sent.
    body = {"id": str(uuid4()), "name": "a", "run_type": "llm", "session_name": "app"}
    escaped = rb'{"t": "\u0053tra\u00dfe \ud83d\ude00 \/", "d": "' + b"x" * 5000 + b'"}'
    store.runs.apply([run_change("whole", body, {"inputs": escaped})])
    deep = b'{"a":' * 900 + rb'"d\u0065ep"' + b"}" * 900
    store.runs.apply([run_change("whole", body | {"id": str(uuid4())}, {"inputs": deep})])
    before = [found(store, text) for text in [*ASKED, 'search("DEEP")']]
    assert sum(map(bool, before)) > 20
    store._database.run("UPDATE runs SET status = 'success'")
    assert store.signer.sign(least=1)
    assert unsigned(store) == set()
    assert [found(store, text) for text in [*ASKED, 'search("DEEP")']] == before


def test_a_run_that_changes_is_found_by_what_it_has_become(store):
    run_id = posted(store, outputs={"tea": "oolong"})
    assert store.signer.sign(least=1)
    store.runs.apply([run_change("patch", {"id": run_id, "outputs": {"tea": "sencha"}})])
    assert unsigned(store) == {run_id}
    assert (found(store, 'search("sencha")'), found(store, 'search("oolong")')) == ({run_id}, set())
    assert store.signer.sign(least=1)
    assert unsigned(store) == set()
    assert (found(store, 'search("sencha")'), found(store, 'search("oolong")')) == ({run_id}, set())


def test_a_run_that_changes_while_it_is_signed_stays_in_the_list(store, monkeypatch):
    run_id, other = posted(store), posted(store)
    marks_of_run = signer.marks_of_run

    def meanwhile(row):
        if row["id"] == run_id:
            store.runs.apply([run_change("patch", {"id": run_id, "outputs": {"tea": "sencha"}})])
        return marks_of_run(row)

    monkeypatch.setattr(signer, "marks_of_run", meanwhile)
    assert store.signer.sign(least=1)
    assert unsigned(store) == {run_id}
    assert found(store, 'search("sencha")') == {run_id}
    assert other in found(store, 'not(search("sencha"))')


def test_a_run_that_goes_on_is_not_signed_yet(store):
    run_id = str(uuid4())
    body = {"id": run_id, "name": "a", "run_type": "chain", "session_name": "app"}
    store.runs.apply([run_change("post", body)])
    assert not store.signer.sign(least=1)
    assert unsigned(store) == {run_id}


def test_a_block_whose_runs_are_gone_is_given_up(store):
    posted(store, session_name="old")
    ids = {posted(store, inputs={"tea": "sencha"})}
    for _ in range(9):
        posted(store, session_name="old")
    assert store.signer.sign(least=1)
    store.signer.clear()
    blocks = "SELECT count(*) AS n FROM signed_blocks"
    assert store._database.row(blocks) == {"n": 1}
    store.projects.delete(store.projects.ensure("old"))
    # The look before was at the last block: now the first comes again.
    store.signer.clear()
    store.signer.clear()
    assert store._database.row(blocks) == {"n": 0}
    assert store._database.row("SELECT count(*) AS n FROM signed_rows") == {"n": 0}
    assert unsigned(store) == ids
    assert found(store, 'search("sencha")') == ids


def test_a_search_that_is_ended_while_it_asks_for_signatures_is_too_slow(store, monkeypatch):
    ids = [{"id": str(uuid4())} for _ in range(6000)]
    store._database.put_all("unsigned_runs", ids)
    monkeypatch.setattr(sqlite_readers, "MAX_SEARCH_S", 0)
    with pytest.raises(ApiError) as ended:
        store._database.search("SELECT may_have('[1, 2]') AS ids")
    assert ended.value.code == "query_too_slow"


def test_blocks_are_made_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(signer, "_INTERVAL_S", 0.01)
    monkeypatch.setattr(signer, "BLOCK", 10)
    store = RunStore(tmp_path / "runs.sqlite")
    ids = {posted(store) for _ in range(25)}
    deadline = time.monotonic() + 60
    while len(unsigned(store)) > 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert found(store, 'eq(name, "a")') == ids
    store.close()


@pytest.mark.parametrize("text", ['search("sencha")', 'has(metadata, \'{"tier": "rare"}\')'])
def test_a_search_that_finds_nothing_reads_few_runs(store, text):
    for _ in range(4):
        bodies = [
            {
                "id": str(uuid4()),
                "name": "a",
                "run_type": "llm",
                "session_name": "app",
                "inputs": {"t": "oolong " * 20},
                "end_time": "2026-11-01T12:00:00",
                "extra": {"metadata": {"tier": "gold"}},
            }
            for _ in range(1000)
        ]
        store.runs.apply([run_change("post", body) for body in bodies])
    steps = []
    with store._database._readers.one() as reader:
        reader.connection.set_progress_handler(lambda: steps.append(1), 1000)
    assert found(store, text) == set()
    before = len(steps)
    assert store.signer.sign(least=1)
    steps.clear()
    assert found(store, text) == set()
    assert len(steps) < before / 2
