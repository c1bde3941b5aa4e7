"""What a trace of another store holds, in the shapes of LangSmith's API."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_finetune.tolerant_json import loads

TRACER_TYPES = {
    "openai": "openai-chat",
    "azure": "azure-openai-chat",
    "anthropic": "anthropic-chat",
}
"""LangChain's names of integrations by their providers, which are all that some stores keep."""


@dataclass(frozen=True)
class StoredTrace:
    """The runs of a trace, newest first, and the feedback on them.

    The `run_id` of a feedback is the id of its run; or that of the trace, if it is on the root.
    """

    runs: list[dict[str, Any]]
    feedback: list[dict[str, Any]]

    def rated_runs(self) -> Iterator[dict[str, Any]]:
        """Yield the runs with the means of their feedback, as `feedback_stats`."""
        for run in self.runs:
            ids = (run["id"], run["trace_id"])
            # Feedback on a root that is a run is there for both ids.
            found_on = {each["id"]: each for each in self.feedback if each["run_id"] in ids}
            scores: dict[str, list[float]] = {}
            for each in found_on.values():
                if each["score"] is not None:
                    scores.setdefault(each["key"], []).append(each["score"])
            stats = {
                key: {"n": len(found), "avg": sum(found) / len(found)}
                for key, found in scores.items()
            }
            yield {**run, "feedback_stats": stats}


def feedback(
    key: Any,
    given: Any,
    run_ids: Iterable[str],
    *,
    label: Any = None,
    at: Any = None,
    correction: Any = None,
) -> Iterator[dict[str, Any]]:
    """Yield a feedback, with one id of its own, once for each of the ids that it is for.

    What is given is a score if it is a number, or else a value, as `label` is.

    Example:
        >>> [found] = feedback("user_score", True, ["r"])
        >>> found["score"], found["value"]
        (1.0, None)
    """
    is_score = isinstance(given, int | float)
    fields = {
        "id": str(uuid4()),
        "key": str(key),
        "score": float(given) if is_score else None,
        "value": label if is_score or given is None else given,
        "correction": correction,
        "modified_at": str(at),
    }
    yield from ({**fields, "run_id": run_id} for run_id in run_ids)


def named_tags(metadata: Mapping[str, Any]) -> list[str]:
    """Return tags that have values as names, and as names with values.

    Example:
        >>> named_tags({"team": "support"})
        ['team', 'team=support']
    """
    return [tag for key, value in metadata.items() for tag in (str(key), f"{key}={value}")]


def parsed(value: Any) -> Any:
    """Return a value that may be JSON text; text that is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return value


def hex_id(value: Any) -> str:
    """Return an id of OpenTelemetry in hex; protobuf's JSON has it in base64.

    Example:
        >>> hex_id("bMZ7CaXb+3A="), hex_id("6cc67b09a5dbfb70")
        ('6cc67b09a5dbfb70', '6cc67b09a5dbfb70')
    """
    text = str(value or "")
    if text.startswith("0x") or len(text) not in (12, 24):
        return text.removeprefix("0x")
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return text


def langchain_run(
    messages: list[Any],
    answers: list[Any],
    params: Mapping[str, Any],
    used: Any,
    **extra: Any,
) -> dict[str, Any]:
    """Return inputs, outputs and extra of a LangChain call, as LangChain's own tracer has them.

    Other stores do not keep why an answer ended: one that used all of its tokens (`used`) was
    cut off.
    """
    limits = [params[name] for name in _LIMITS if isinstance(params.get(name), int)]
    is_cut_off = isinstance(used, int) and bool(limits) and len(answers) == 1 and used >= limits[0]
    info = {"finish_reason": "length"} if is_cut_off else {}
    generations = [{"message": answer, "generation_info": info} for answer in answers]
    return {
        "inputs": {"messages": [messages]},
        "outputs": {"generations": [generations]},
        "extra": {"invocation_params": dict(params), **extra},
    }


_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
