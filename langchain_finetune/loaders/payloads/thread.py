"""Which conversation a run belongs to."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import mapping

THREAD_KEYS = ("session_id", "thread_id", "conversation_id")
"""Metadata that says which conversation a trace belongs to (LangSmith's "Configure threads")."""


def thread_of(run: Mapping[str, Any]) -> str | None:
    """Return the thread that a run belongs to, or None.

    Example:
        >>> thread_of({"extra": {"metadata": {"thread_id": "t1"}}})
        't1'
    """
    if run.get("thread_id"):
        return str(run["thread_id"])
    metadata = mapping(mapping(run.get("extra")).get("metadata"))
    return next((str(metadata[key]) for key in THREAD_KEYS if metadata.get(key)), None)
