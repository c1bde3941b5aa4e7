"""Random filters find what a plain evaluator over dicts finds.

`FILTER_CASES=20000 python -m pytest tests/local/store/test_filters_random.py` tries that many.
"""

import os
import random

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_changes import run_change
from support.found_runs import found
from support.random_filters import random_filter, random_runs, written
from support.reference_filter import matches

CASES = int(os.environ.get("FILTER_CASES", "400"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    runs = random_runs(random.Random(7))
    store = RunStore(tmp_path_factory.mktemp("random") / "runs.sqlite")
    store.runs.apply(run_change("post", run) for run in runs)
    store.feedback.add(said for run in runs for said in run["feedback"])
    yield store, runs
    store.close()


def expected(runs, filter=None, trace_filter=None, tree_filter=None):  # noqa: A002 the API's name
    by_id = {run["id"]: run for run in runs}
    traces = {}
    for run in runs:
        traces.setdefault(run["trace_id"], []).append(run)
    return {
        run["id"]
        for run in runs
        if (filter is None or matches(filter, run))
        and (trace_filter is None or matches(trace_filter, by_id[run["trace_id"]]))
        and (
            tree_filter is None
            or any(matches(tree_filter, each) for each in traces[run["trace_id"]])
        )
    }


def test_random_filters_find_what_the_reference_finds(shelf):
    store, runs = shelf
    chance = random.Random(20261121)
    telling = 0
    for _ in range(CASES):
        kinds = (
            ["filter"]
            if chance.random() < 0.7
            else chance.sample(["filter", "trace_filter", "tree_filter"], chance.randint(1, 3))
        )
        trees = {kind: random_filter(chance, runs) for kind in kinds}
        texts = {kind: written(tree, chance) for kind, tree in trees.items()}
        ids = found(store, **texts)
        assert ids == expected(runs, **trees), texts
        telling += 0 < len(ids) < len(runs)
    # Most filters tell runs apart: a store that finds all, or none, would not pass.
    assert telling > CASES / 2


def test_broken_filters_are_refused_in_a_sentence(shelf):
    """A few characters are taken out, doubled or put in: it still means something, or is a 400."""
    store, runs = shelf
    chance = random.Random(5)
    refused = 0
    for _ in range(CASES):
        text = written(random_filter(chance, runs), chance)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text) + 1)
            put = chance.choice(
                ["", "(", ")", ",", '"', "\\", "[", "\0", "é", "-", "1e999", "null"]
            )
            text = text[:place] + put + text[place + chance.randint(0, 2) :]
        try:
            found(store, filter=text)
            continue
        except ApiError as error:
            fault = error
        assert (fault.status, fault.param) == (400, "filter")
        assert fault.message.endswith(".")
        refused += 1
    assert refused > CASES / 2
