"""Both answers to a request as runs of the run store: one trace with a run for each. Pure.

The runs have the form that LangSmith's `wrap_openai` writes: `inputs` is the request, `outputs` the
answer's body. Their metadata says the rollout, the side (`old`, `new`), the model and the thread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.run_changes import RunChange, run_change
from langchain_finetune.local.store.values import iso, new_uuid
from langchain_finetune.rollout.state import ROLLOUT_KEY, SIDE_KEY, Rollout, RolloutSide

_STREAM_FIELDS = frozenset({"stream", "stream_options"})


@dataclass(frozen=True)
class SideAnswer:
    """What a model answered, or why not; times are microseconds since 1970."""

    model: str
    started: int
    ended: int
    body: Mapping[str, Any] | None
    error: str | None = None


def whole_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request that asks for the whole answer instead of a stream."""
    return {name: value for name, value in body.items() if name not in _STREAM_FIELDS}


def read_answer(content: bytes) -> dict[str, Any]:
    """Return the body of an answer, of a stream put together.

    Raises:
        ApiError: 502; the stream ended with an error, or is not one of OpenAI's APIs.
    """
    if not content.startswith((b"data:", b"event:", b":")):
        found = orjson.loads(content)
        return found if isinstance(found, dict) else {}
    events = list(_events(content))
    for event in events:
        # The Responses API repeats the whole response at the end.
        if event.get("type") in {"response.completed", "response.incomplete"}:
            return dict(event["response"])
        if event.get("type") == "response.failed" or "error" in event:
            raise ApiError(502, "The answer broke off.", code="stream_broke")
    if any("text" in choice for event in events for choice in event.get("choices", ())):
        return _completion(events)
    return _chat_completion(events)


def shadow_runs(
    rollout: Rollout, request: Mapping[str, Any], old: SideAnswer, new: SideAnswer
) -> list[RunChange]:
    """Return a trace named like the alias, with one run of each model."""
    asked = whole_request(request)
    trace = new_uuid()
    root = {
        "id": trace,
        "name": rollout.name,
        "run_type": "chain",
        "inputs": asked | {"model": rollout.name},
        "outputs": old.body,
        "start_time": iso(old.started),
        "end_time": iso(new.ended),
        "extra": {"metadata": _metadata(request) | {ROLLOUT_KEY: rollout.name}},
        "session_name": f"shadow:{rollout.name}",
    }
    sides: tuple[tuple[RolloutSide, SideAnswer], ...] = (("old", old), ("new", new))
    runs = [_run(root, asked, side, answer) for side, answer in sides]
    return [run_change("post", run) for run in (root, *runs)]


def _run(
    root: Mapping[str, Any], asked: Mapping[str, Any], side: RolloutSide, answer: SideAnswer
) -> dict[str, Any]:
    metadata = root["extra"]["metadata"] | {
        SIDE_KEY: side,
        "ls_model_name": answer.model,
        "ls_provider": "langchain-finetune",
    }
    return {
        "id": new_uuid(),
        "parent_run_id": root["id"],
        "trace_id": root["id"],
        "name": answer.model,
        "run_type": "llm",
        "inputs": {**asked, "model": answer.model},
        "outputs": answer.body,
        "error": answer.error,
        "start_time": iso(answer.started),
        "end_time": iso(answer.ended),
        "extra": {"metadata": metadata},
        "session_name": root["session_name"],
    }


def _metadata(request: Mapping[str, Any]) -> dict[str, Any]:
    given = request.get("metadata")
    return dict(given) if isinstance(given, dict) else {}


def _events(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            found = orjson.loads(data)
            if isinstance(found, dict):
                yield found


def _chat_completion(events: list[dict[str, Any]]) -> dict[str, Any]:
    # Takes a second, and few engines shadow.
    from openai.lib.streaming.chat import ChatCompletionStreamState  # noqa: PLC0415
    from openai.types.chat import ChatCompletionChunk  # noqa: PLC0415

    state = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.construct(**event))
    return state.get_final_completion().to_dict(exclude_none=True)


def _completion(events: list[dict[str, Any]]) -> dict[str, Any]:
    choices: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for event in events:
        whole |= {name: value for name, value in event.items() if value is not None}
        for choice in event.get("choices", ()):
            known = choices.setdefault(choice["index"], {**choice, "text": ""})
            known["text"] += choice["text"]
            known["finish_reason"] = choice.get("finish_reason")
    return whole | {"choices": [choices[index] for index in sorted(choices)]}
