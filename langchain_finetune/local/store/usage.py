"""Token counts and the first token's time, read from what a run carries. Pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.store.values import micros


@dataclass(frozen=True)
class TokenCounts:
    """How many tokens an llm run took; None where nothing says."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None


def token_counts(metadata: Mapping[str, Any], outputs: Mapping[str, Any]) -> TokenCounts:
    """Return the counts that a run states.

    Args:
        metadata: The run's `extra.metadata`; LangChain's tracer leaves `usage_metadata` there.
        outputs: The run's outputs; `@traceable` functions leave `usage_metadata` there, OpenAI
            answers `usage`, and LangChain before 2024 `llm_output.token_usage`.
    """
    for usage in _usages(metadata, outputs):
        prompt = _count(usage, "input_tokens", "prompt_tokens")
        completion = _count(usage, "output_tokens", "completion_tokens")
        total = _count(usage, "total_tokens", "total_tokens")
        if total is None and prompt is not None and completion is not None:
            total = prompt + completion
        if total is not None or prompt is not None or completion is not None:
            return TokenCounts(prompt, completion, total)
    return TokenCounts()


def first_token_time(events: list[Any]) -> int | None:
    """Return the time of the first `new_token` event."""
    for event in events:
        if isinstance(event, dict) and event.get("name") == "new_token":
            return micros(event.get("time"))
    return None


def _usages(metadata: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    llm_output = outputs.get("llm_output")
    nested = llm_output.get("token_usage") if isinstance(llm_output, dict) else None
    found = (
        metadata.get("usage_metadata"),
        outputs.get("usage_metadata"),
        outputs.get("usage"),
        nested,
    )
    return (usage for usage in found if isinstance(usage, dict))


def _count(usage: Mapping[str, Any], name: str, other: str) -> int | None:
    value = usage.get(name, usage.get(other))
    fits = isinstance(value, int) and 0 <= value < 2**53
    return value if fits and not isinstance(value, bool) else None
