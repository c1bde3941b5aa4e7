"""Picks runs into a dataset."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from langchain_core.messages import messages_to_dict

from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.content import UnreadableChatError
from langchain_finetune.dialects.corrections import corrected
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.feedback import newest_correction
from langchain_finetune.local.page.run_views import answering_call, model_calls, run_of
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.example_changes import example_change
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import (
    SETTINGS,
    FineTuningSession,
    Skip,
    supervised_example,
    wire_messages,
)


def run_examples(row: Mapping[str, Any], correction: Any = None) -> list[dict[str, Any]]:
    """Return `{"inputs", "outputs", "source_run_id"}` of each answer of a run.

    A dataset's loader reads them as the loader of runs reads the run itself.

    Args:
        row: The run's row.
        correction: What the answer should have been, as feedback holds it; None keeps it.

    Raises:
        UnreadableChatError: It makes none.
    """
    sessions = read_run(run_of(row))
    if correction is not None:
        sessions = [corrected(sessions[0], correction)]
    return [{**_example(session), "source_run_id": row["id"]} for session in sessions]


def as_chat_example(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example in the shape of datasets of type chat."""
    inputs = dict(example["inputs"])
    wire = [*inputs.pop("messages"), example["outputs"]["message"]]
    *sent, answer = messages_to_dict(list(WireMessages(wire)))
    return {**example, "inputs": {"input": sent, **inputs}, "outputs": {"output": answer}}


def _example(session: FineTuningSession) -> dict[str, Any]:
    line, _ = supervised_example(session)
    if faults := errors_of(check_example(line)):
        place = "" if faults[0].index is None else f" (message {faults[0].index})"
        raise UnreadableChatError(faults[0].code, faults[0].message + place)
    *sent, answer = wire_messages(session)
    said = {name: value for name, value in session.items() if name in SETTINGS}
    return {"inputs": {"messages": sent, **said}, "outputs": {"message": answer}}


@dataclass
class Picked:
    """What picked runs make.

    Attributes:
        examples: The examples, one for each answer of a model.
        refused: Why other runs make none, in the loaders' words, by their names.
    """

    examples: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Skip] = field(default_factory=list)


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
            for example in readable(name, partial(_examples, store, given), picked.refused.append):
                if example not in picked.examples:
                    picked.examples.append(example)
        except ApiError as error:
            picked.refused.append(Skip(name, "unknown_run", str(error)))
    return picked


def keep(store: RunStore, picked: Picked, dataset: Mapping[str, Any]) -> None:
    """Add examples to a dataset; those of a run which was picked before are renewed.

    Args:
        store: Where the dataset lies.
        picked: The examples.
        dataset: The dataset as `Datasets.get` tells it.
    """
    changes = []
    answers: Counter[str] = Counter()
    for example in picked.examples:
        # The same id each time: an answer of a run has one example in a dataset.
        run_id = example["source_run_id"]
        name = f"{run_id} {answers[run_id]}" if answers[run_id] else run_id
        answers[run_id] += 1
        example_id = str(uuid5(UUID(dataset["id"]), name))
        shaped = as_chat_example(example) if dataset["data_type"] == "chat" else example
        changes.append(example_change({**shaped, "id": example_id}))
    store.examples.add(dataset["id"], changes)


def _examples(store: RunStore, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    row = answering_call(store, given) or given
    judged = [row["id"], *([row["trace_id"]] if _is_last(store, row) else [])]
    return run_examples(row, newest_correction(store, judged))


def _is_last(store: RunStore, row: Mapping[str, Any]) -> bool:
    """Tell whether a call is its trace's last: a correction of the trace is of its answer."""
    root = {"trace_id": row["trace_id"], "parent_run_id": None}
    calls = model_calls(store, root)
    return bool(calls) and calls[0].row["id"] == row["id"]
