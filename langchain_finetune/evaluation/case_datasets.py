"""The LangSmith dataset of a comparison: made from cases, or found again."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from langsmith import Client
from langsmith.schemas import Dataset, Example
from langsmith.utils import LangSmithConflictError, LangSmithNotFoundError

from langchain_finetune.engines.local import ensure_engine, find_engine
from langchain_finetune.errors import CompareError, LoadError
from langchain_finetune.evaluation.cases import content_hash
from langchain_finetune.loaders.langsmith_client import reading

_BATCH = 100
"""Examples that are sent in one request."""


@contextmanager
def experiment_client(client: Client | None) -> Iterator[Client]:
    """Yield the client for experiments: LangSmith's with a key, or else the embedded engine's.

    What it sent has arrived when the block ends.
    """
    if client is not None:
        yield client
        client.flush()
        return
    if os.environ.get("LANGSMITH_API_KEY") or os.environ.get("LANGCHAIN_API_KEY"):
        own = Client()
    else:
        engine = ensure_engine()
        own = Client(
            api_url=engine.url,
            api_key=engine.api_key.get_secret_value(),
            # The engine's page knows what LangSmith's own links mean.
            web_url=f"{engine.url}/ui/langsmith",
        )
    try:
        yield own
        own.flush()
    finally:
        own.cleanup()


def engine_page(client: Client, comparison_id: str) -> str | None:
    """Return the address of a comparison on the embedded engine's page, if it is there."""
    engine = find_engine()
    if engine is None or not client.api_url.startswith(engine.url):
        return None
    return f"{engine.url}/ui/comparisons/{comparison_id}"


def read_cases(client: Client, name: str) -> tuple[Dataset, list[Example]]:
    """Return a dataset, and its examples in their order of creation.

    Raises:
        LoadError: LangSmith can't be reached, or has no such dataset.
        CompareError: It is empty.
    """
    with reading(client, f"dataset {name!r}"):
        dataset = client.read_dataset(dataset_name=name)
        examples = list(client.list_examples(dataset_id=dataset.id))
    if not examples:
        raise CompareError(f"The dataset {name!r} has no examples.")
    return dataset, examples


def ensure_cases(
    client: Client, cases: Sequence[Mapping[str, Any]]
) -> tuple[Dataset, list[Example]]:
    """Return the dataset of these cases, and its examples; create what is missing.

    Its name holds a hash of the content, and an example's id its place: the same cases are the
    same dataset, which is also completed if it was left half-made.

    Raises:
        LoadError: LangSmith can't be reached, or refuses.
    """
    name = f"langchain-finetune cases {content_hash(cases)}"
    with reading(client, f"dataset {name!r}"):
        dataset = _dataset(client, name)
        ids = [uuid.uuid5(dataset.id, str(place)) for place in range(len(cases))]
        known = {each.id: each for each in client.list_examples(dataset_id=dataset.id)}
        missing = [
            {"id": each, **case} for each, case in zip(ids, cases, strict=True) if each not in known
        ]
        for start in range(0, len(missing), _BATCH):
            # Another process may be sending the same ones.
            with suppress(LangSmithConflictError):
                client.create_examples(
                    dataset_id=dataset.id, examples=missing[start : start + _BATCH]
                )
        if missing:
            known = {each.id: each for each in client.list_examples(dataset_id=dataset.id)}
    if lost := [each for each in ids if each not in known]:
        raise LoadError(
            f"{len(lost)} of {len(ids)} examples are not in the dataset {name!r} though they were "
            "sent: run the comparison again."
        )
    return dataset, [known[each] for each in ids]


def _dataset(client: Client, name: str) -> Dataset:
    known: Dataset
    try:
        known = client.read_dataset(dataset_name=name)
    except LangSmithNotFoundError:
        try:
            known = client.create_dataset(name, description="Recorded answers of an app, as cases.")
        except LangSmithConflictError:
            # Another process was quicker.
            known = client.read_dataset(dataset_name=name)
    return known
