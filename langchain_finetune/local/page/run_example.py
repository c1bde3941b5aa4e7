"""A run as examples of a dataset. Pure functions.

The shape is LangSmith's chat-model schema, `inputs = {"messages", "tools", ...}` and
`outputs = {"message"}`, or that of a dataset of type chat.
Source of fact: https://docs.langchain.com/langsmith/dataset-json-types
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import messages_to_dict

from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.content import UnreadableChatError
from langchain_finetune.dialects.corrections import corrected
from langchain_finetune.dialects.run import read_run
from langchain_finetune.local.page.run_chat import run_of
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import (
    SETTINGS,
    FineTuningSession,
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
