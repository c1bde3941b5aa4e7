"""A run's request as the playground's state, so that other models can be asked the same."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.conversation import Column, Playground
from langchain_finetune.local.page.run_chat import run_of, without_answer
from langchain_finetune.sessions import FineTuningSession, Skip, wire_messages

_UNANSWERED = frozenset({"errored_run", "pending_run", "no_answer"})
"""Why loaders skip runs whose request can be read all the same."""


def run_prompt(row: Mapping[str, Any], models: Sequence[str]) -> Playground:
    """Return the playground with what a run sent to its model; the last question is still to send.

    Args:
        row: The run's row, with `inputs`, `outputs` and `extra` as JSON.
        models: Who is to be asked.

    Raises:
        ApiError: 400 where the run holds no chat.
    """
    session = _read(run_of(row))
    messages = wire_messages(session)[:-1]
    system = message = ""
    first = messages[0] if messages else {"role": ""}
    if first["role"] in {"system", "developer"} and isinstance(first["content"], str):
        system = messages.pop(0)["content"]
    if messages and messages[-1]["role"] == "user" and isinstance(messages[-1]["content"], str):
        message = messages.pop()["content"]
    tools = session.get("tools")
    return Playground(
        [Column(model, deepcopy(messages)) for model in models],
        system=system,
        tools=json.dumps(tools, ensure_ascii=False, indent=2) if tools else "",
        message=message,
    )


def _read(run: dict[str, Any]) -> FineTuningSession:
    skips: list[Skip] = []
    for tried in (run, without_answer(run)):
        for session in readable(str(run["id"]), partial(read_run, tried), skips.append):
            return session
        if skips[-1].code not in _UNANSWERED:
            break
    reason = skips[-1].reason.rstrip(".")
    raise ApiError(400, f"The playground can't go on with this run: {reason} ({skips[-1].code}).")
