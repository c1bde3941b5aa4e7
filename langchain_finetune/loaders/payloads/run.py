"""The chats of an `llm` run, whichever shape it has."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.loaders.payloads import langchain_tracer
from langchain_finetune.sessions import FineTuningSession


def read_run(run: Mapping[str, Any]) -> list[FineTuningSession]:
    """Return the chats of a run: one for each answer that the model gave.

    Args:
        run: The run's JSON with `id`, `run_type`, `inputs`, `outputs`, `extra`, `error`, ...

    Raises:
        UnreadableChatError: The run holds no finished chat that the wire form can say.
    """
    return [langchain_tracer.read_run(run)]
