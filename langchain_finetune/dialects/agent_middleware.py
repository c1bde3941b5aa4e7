"""What LangChain's agent middleware leaves in traces: its own calls, summaries, human decisions.

Sources: langchain 1.0 to 1.5 (`agents/middleware`), langchain-core 1.8 (`messages/notification`):

- Calls that middleware makes for itself have `lc_internal_call` in the run's metadata, or, before
  langchain 1.3, `lc_source` alone.
- A message that stands for a summarized history has `lc_source: summarization` in its
  `additional_kwargs`.
- A tool call that a person rejected, or answered in place of the tool, is followed by a result
  with `lc_source: hitl_interrupt_decision` (langchain 1.5), or one whose text says so.
- Of one that a person edited, the result says what ran instead. Before langchain 1.4.7 the history
  of later calls has the edited call in place of the model's.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from langchain_finetune.content import mapping, wire_call
from langchain_finetune.messages import WireMessage

MARKS = (
    "User rejected the tool call for `",
    "Executed instead: ",
    "hitl_interrupt_decision",
)
"""Texts of which a run contains one if a person decided on one of its calls."""

INTERNAL_KEYS = ("lc_internal_call", "lc_source")
"""Keys of the metadata of calls that middleware made for itself."""

_REJECTED, _EDITED, _DECIDED = MARKS
_EXECUTED = re.compile(r"Executed instead: (\S+) with arguments (?={)")
_SUMMARY = "summarization"


def is_internal(run: Mapping[str, Any]) -> bool:
    """Return whether middleware made a call for itself, such as for a summary.

    Example:
        >>> is_internal({"extra": {"metadata": {"lc_source": "summarization"}}})
        True
    """
    metadata = mapping(mapping(run.get("extra")).get("metadata"))
    return any(metadata.get(key) for key in INTERNAL_KEYS)


def is_summary(fields: Mapping[str, Any]) -> bool:
    """Return whether a message in LangChain's format stands for a summarized history."""
    return _SUMMARY in str(mapping(fields.get("additional_kwargs")).get("lc_source"))


def is_decision(fields: Mapping[str, Any]) -> bool:
    """Return whether a person gave a result, in LangChain's format, in place of the tool."""
    return _DECIDED in str(mapping(fields.get("additional_kwargs")).get("lc_source"))


def says_decision(result: WireMessage) -> bool:
    """Return whether the text of a result says that a person rejected or edited the call."""
    text = result.get("content")
    return isinstance(text, str) and (text.startswith(_REJECTED) or _executed(text) is not None)


def approved_calls(
    replaced: Iterable[str], results: Iterable[WireMessage]
) -> dict[str, dict[str, Any] | None]:
    r"""Return by id what was approved in place of an answer's calls: an edited call, or None.

    Args:
        replaced: Ids of the calls that a person edited, rejected or answered.
        results: The results that follow the answer.

    Example:
        >>> said = 'Note. Executed instead: add with arguments {"a": 1}.\n\nTool response:\n2'
        >>> result = {"role": "tool", "tool_call_id": "c", "content": said}
        >>> approved_calls(["c"], [result])["c"]["function"]
        {'name': 'add', 'arguments': '{"a": 1}'}
    """
    texts = {str(each.get("tool_call_id")): each.get("content") for each in results}
    return {
        call_id: wire_call(call_id, *executed) if executed else None
        for call_id in replaced
        for executed in [_executed(texts.get(call_id))]
    }


def _executed(text: Any) -> tuple[str, dict[str, Any]] | None:
    """Return name and arguments of the call that ran in place of an edited one."""
    found = _EXECUTED.search(text) if isinstance(text, str) and _EDITED in text else None
    if found is not None:
        with suppress(ValueError, RecursionError):
            arguments, _ = json.JSONDecoder().raw_decode(text, found.end())
            return found[1], arguments
    return None
