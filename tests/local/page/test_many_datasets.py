"""More datasets than a page lists: what is left out is told, what is asked for is there."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from langchain_finetune.local.page.routes import datasets, job_form
from langchain_finetune.local.store import NO_LIMITS, RunStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_MAX_LISTED", 3)
    monkeypatch.setattr(job_form, "_MOST_CHOICES", 3)
    store = RunStore(tmp_path / "runs.sqlite", NO_LIMITS)
    yield store
    store.close()


@pytest.mark.parametrize(("count", "is_told"), [(3, False), (4, True)])
def test_the_list_tells_that_there_are_others(store, count, is_told):
    for number in range(count):
        store.datasets.create({"name": f"number {number}"})
    app = FastAPI()
    app.include_router(datasets.create_datasets_pages(store))
    text = TestClient(app).get("/ui/datasets").text
    assert text.count(">number ") == 3
    assert ("Only the newest 3 are listed" in text) == is_told


def test_the_form_of_a_job_offers_the_dataset_that_it_was_opened_for(store):
    made = [store.datasets.create({"name": f"number {number}"})["id"] for number in range(5)]

    def offered(source):
        return [each["id"] for each in job_form._datasets(store, source)]

    assert offered("") == made[:1:-1]
    assert offered(f"dataset:{made[4]}") == made[:1:-1]
    assert offered(f"dataset:{made[0]}") == [*made[:1:-1], made[0]]
    assert offered("dataset:no-id") == offered("file:file-1") == made[:1:-1]
