"""Adds runs to datasets as examples."""

from collections import Counter
from collections.abc import Iterable, Mapping
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
from langchain_finetune.local.page.run_views import answering_call, run_of
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
    """Return an example, `{"inputs", "outputs", "source_run_id"}`, for each answer of a run.

    The dataset loader reads them as the run loader reads the run itself. A correction, as stored in
    feedback, replaces the answer.

    Raises:
        UnreadableChatError: The run cannot become an example.
    """
    sessions = read_run(run_of(row))
    if correction is not None:
        sessions = [corrected(sessions[0], correction)]
    return [{**_example(session), "source_run_id": row["id"]} for session in sessions]


def as_chat_example(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example in the format of datasets of type chat."""
    inputs = dict(example["inputs"])
    wire = [*inputs.pop("messages"), example["outputs"]["message"]]
    *sent, answer = messages_to_dict(list(WireMessages(wire)))
    return {**example, "inputs": {"input": sent, **inputs}, "outputs": {"output": answer}}


def _example(session: FineTuningSession) -> dict[str, Any]:
    line, _ = supervised_example(session)
    if errors := errors_of(check_example(line)):
        position = "" if errors[0].index is None else f" (message {errors[0].index})"
        raise UnreadableChatError(errors[0].code, errors[0].message + position)
    *sent, answer = wire_messages(session)
    settings = {name: value for name, value in session.items() if name in SETTINGS}
    return {"inputs": {"messages": sent, **settings}, "outputs": {"message": answer}}


def examples_of(store: RunStore, run_ids: Iterable[str]) -> tuple[list[dict[str, Any]], list[Skip]]:
    """Return examples from runs, one for each answer of a model, and the runs that have none.

    A run that is not a model call is represented by the last model call within it. If the answer
    was corrected, the example ends with the correction.
    """
    examples: list[dict[str, Any]] = []
    skipped: list[Skip] = []
    for run_id in dict.fromkeys(run_ids):
        name = run_id
        try:
            run = store.runs.get(run_id).row
            name = f"{run['name']} ({run_id[-8:]})"
            for example in readable(name, partial(_examples, store, run), skipped.append):
                if example not in examples:
                    examples.append(example)
        except ApiError as error:
            skipped.append(Skip(name, "unknown_run", str(error)))
    return examples, skipped


def add_examples(
    store: RunStore, examples: Iterable[dict[str, Any]], dataset: Mapping[str, Any]
) -> None:
    """Add examples to a dataset, replacing earlier ones of the same runs."""
    changes = []
    answers: Counter[str] = Counter()
    for example in examples:
        # The id is always the same, so that each answer is in a dataset only once.
        run_id = example["source_run_id"]
        name = f"{run_id} {answers[run_id]}" if answers[run_id] else run_id
        answers[run_id] += 1
        example_id = str(uuid5(UUID(dataset["id"]), name))
        shaped = as_chat_example(example) if dataset["data_type"] == "chat" else example
        changes.append(example_change({**shaped, "id": example_id}))
    store.examples.add(dataset["id"], changes)


def _examples(store: RunStore, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    row = answering_call(store, run) or run
    corrected_runs = [row["id"], *([row["trace_id"]] if _is_last(store, row) else [])]
    return run_examples(row, newest_correction(store, corrected_runs))


def _is_last(store: RunStore, row: Mapping[str, Any]) -> bool:
    """Return whether a call is the last of its trace, which corrections of the trace refer to."""
    calls = store.runs.model_calls([row["trace_id"]], 1)[row["trace_id"]]
    return bool(calls) and calls[0]["id"] == row["id"]
