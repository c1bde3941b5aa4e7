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

_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass
class Picked:
    """What picked runs make.

    Attributes:
        examples: The examples, one for each call of a model.
        refused: Names of runs that make none, each with the reason.
    """

    examples: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def pick(store: RunStore, run_ids: Iterable[str]) -> Picked:
    """Make examples of runs.

    A run that is no call of a model stands for the last call inside. Where the answer was
    corrected, the example ends with the correction.

    Args:
        store: Where the runs lie.
        run_ids: The runs.
    """
    picked = Picked()
    for run_id in dict.fromkeys(run_ids):
        name = run_id
        try:
            given = store.runs.get(run_id).row
            name = f"{given['name']} ({run_id[-8:]})"
            row = _call_of(store, given)
            judged = [row["id"], *([row["trace_id"]] if _is_last(store, row) else [])]
            example = run_example(row, newest_correction(store, judged))
        except (ApiError, NoExampleError) as reason:
            picked.refused.append((name, str(reason).rstrip(".")))
        except _MALFORMED:
            # Data from outside can be shaped in any way.
            picked.refused.append((name, "it has no shape that is known"))
        else:
            if example not in picked.examples:
                picked.examples.append(example)
    return picked


def keep(store: RunStore, picked: Picked, dataset: Mapping[str, Any]) -> None:
    """Add examples to a dataset; that of a run which was picked before is renewed.

    Args:
        store: Where the dataset lies.
        picked: The examples.
        dataset: The dataset as `Datasets.get` tells it.
    """
    changes = []
    for example in picked.examples:
        # The same id each time: a run has one example in a dataset.
        example_id = str(uuid5(UUID(dataset["id"]), example["source_run_id"]))
        shaped = as_chat_example(example) if dataset["data_type"] == "chat" else example
        changes.append(example_change(shaped, example_id=example_id))
    store.examples.add(dataset["id"], changes)


def _call_of(store: RunStore, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the run itself, or the last call of a model inside, which gave its answer.

    Raises:
        NoExampleError: There is none.
    """
    if given["run_type"] == "llm":
        return given
    calls = model_calls(store, given)
    if not calls:
        raise NoExampleError("no model was called in it")
    return store.runs.get(calls[0].row["id"]).row


def _is_last(store: RunStore, row: Mapping[str, Any]) -> bool:
    """Tell whether a call is its trace's last: a correction of the trace is of its answer."""
    root = {"trace_id": row["trace_id"], "parent_run_id": None}
    calls = model_calls(store, root)
    return bool(calls) and calls[0].row["id"] == row["id"]
