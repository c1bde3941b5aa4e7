"""Picks runs into a dataset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.opinions import newest_correction
from langchain_finetune.local.page.run_example import as_chat_example, run_example
from langchain_finetune.local.page.run_views import model_calls
from langchain_finetune.local.page.wire_messages import NoExampleError
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.example_changes import example_change


@dataclass
class Picked:
    """What became of the picked runs.

    Attributes:
        added: How many examples came to the dataset, or were renewed there.
        refused: Names of runs that make no example, each with the reason.
    """

    added: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def pick(store: RunStore, run_ids: Iterable[str], dataset: Mapping[str, Any]) -> Picked:
    """Make examples of runs; a run that was picked before is renewed.

    A run that is no call of a model stands for the last call inside. Where the answer was
    corrected, the example ends with the correction.

    Args:
        store: Where runs and dataset lie.
        run_ids: The runs.
        dataset: The dataset as `Datasets.get` tells it.
    """
    picked, changes = Picked(), {}
    for run_id in dict.fromkeys(run_ids):
        try:
            name, example = _example(store, run_id)
        except ApiError as error:
            picked.refused.append((run_id, error.message))
            continue
        if isinstance(example, NoExampleError):
            picked.refused.append((name, str(example)))
            continue
        if dataset["data_type"] == "chat":
            example = as_chat_example(example)
        # The same id each time: a run has one example in a dataset.
        example_id = str(uuid5(UUID(dataset["id"]), example["source_run_id"]))
        changes[example_id] = example_change(example, example_id=example_id)
    if changes:
        store.examples.add(dataset["id"], list(changes.values()))
    picked.added = len(changes)
    return picked


def _example(store: RunStore, run_id: str) -> tuple[str, dict[str, Any] | NoExampleError]:
    """Return the run's name, and its example or why it makes none.

    Raises:
        ApiError: 404 where there is no such run.
    """
    given = store.runs.get(run_id).row
    name = f"{given['name']} ({run_id[-8:]})"
    calls = model_calls(store, given)
    if given["run_type"] == "llm":
        row = given
    elif calls:
        row = store.runs.get(calls[0].row["id"]).row
    else:
        return name, NoExampleError("no model was called in it")
    judged = [row["id"], *([row["trace_id"]] if _is_last(store, row) else [])]
    try:
        return name, run_example(row, newest_correction(store, judged))
    except NoExampleError as reason:
        return name, reason


def _is_last(store: RunStore, row: Mapping[str, Any]) -> bool:
    """Tell whether a call is its trace's last: a correction of the trace is of its answer."""
    root = {"trace_id": row["trace_id"], "parent_run_id": None}
    calls = model_calls(store, root)
    return bool(calls) and calls[0].row["id"] == row["id"]
