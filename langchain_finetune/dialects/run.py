"""The chats of an `llm` run of any supported format."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from langchain_finetune.content import UnreadableChatError, mapping, refuse_value
from langchain_finetune.dialects import (
    completions,
    langchain_tracer,
    openai_chat,
    openai_responses,
    otel,
)
from langchain_finetune.dialects.messages import ReasoningPolicy, settle_reasoning
from langchain_finetune.dialects.untrusted import plain, thread_of
from langchain_finetune.sessions import SETTINGS, FineTuningSession, wire_messages

_RUN_TYPES = frozenset({"chain", "embedding", "parser", "prompt", "retriever", "tool"})
"""LangSmith's other run types."""


def read_run(
    run: Mapping[str, Any], reasoning: ReasoningPolicy = "drop"
) -> list[FineTuningSession]:
    """Return the chats of a run or an OpenTelemetry span: one for each of the model's answers.

    `source["dropped_reasoning"]` counts dropped parts of reasoning; encrypted ones are always
    dropped.

    Raises:
        UnreadableChatError: The run has no finished chat that the wire form can represent.
    """
    if otel.is_span(run):
        run = otel.as_run(run)
    _require_finished(run)
    extra = mapping(run.get("extra"))
    request = {key: extra.get(key) for key in ("invocation_params", "options")}
    fields = plain({"inputs": run.get("inputs"), "outputs": run["outputs"], "extra": request})
    fields["extra"]["metadata"] = extra.get("metadata")
    sessions = list(_read(fields))
    if not sessions:
        raise UnreadableChatError("no_answer", "The run contains no answer.")
    for number, session in enumerate(sessions):
        wire = wire_messages(session)
        if wire[-1]["role"] != "assistant":
            raise UnreadableChatError("no_answer", "The answer is not an assistant message.")
        dropped = settle_reasoning(wire, keep=reasoning == "keep")
        source = {**_source(run), **session.get("source", {})}
        if len(sessions) > 1:
            source["answer"] = str(number)
        if dropped:
            source["dropped_reasoning"] = str(dropped)
        session["source"] = source
        _require_json(session)
    return sessions


def _read(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    inputs, outputs = mapping(run.get("inputs")), mapping(run.get("outputs"))
    if completions.is_completion(run):
        return completions.read_chats(run)
    if "generations" in outputs:
        return langchain_tracer.read_chats(run)
    if "input" in inputs and openai_responses.is_output(outputs.get("output")):
        return openai_responses.read_chats(run)
    return openai_chat.read_chats(run)


def _require_finished(run: Mapping[str, Any]) -> None:
    run_type = str(run.get("run_type", "llm")).lower()
    if run_type != "llm":
        kind = run_type if run_type in _RUN_TYPES else "unknown"
        raise UnreadableChatError("not_an_llm_run", f"A run of type {kind}; llm is needed.")
    # A failed run can still have an empty answer, so outputs alone do not show it.
    if run.get("error") or str(run.get("status", "")).lower() == "error":
        raise UnreadableChatError("errored_run", "The run ended with an error.")
    if not run.get("outputs"):
        raise UnreadableChatError("pending_run", "The run has no outputs yet.")


def _require_json(session: FineTuningSession) -> None:
    """Reject values that JSON cannot represent, such as unpaired surrogates or objects."""
    wire = wire_messages(session)
    data = [wire, {key: session[key] for key in SETTINGS if key in session}]  # type: ignore[literal-required]
    empty = sum(message.get("content") is None for message in wire)
    try:
        text = orjson.dumps(data, default=refuse_value)
        if text.count(b"null") > empty:
            # orjson writes infinity, which runs not read from JSON may contain, as null.
            json.dumps(data, allow_nan=False)
    except (orjson.JSONEncodeError, ValueError) as error:
        if isinstance(error.__cause__, UnreadableChatError):
            raise error.__cause__ from None
        raise UnreadableChatError(
            "unreadable_value", "A value that JSON cannot represent."
        ) from error


def _source(run: Mapping[str, Any]) -> dict[str, str]:
    source = {"run_id": str(run.get("id"))}
    if run.get("trace_id"):
        source["trace_id"] = str(run["trace_id"])
    thread_id = thread_of(run)
    if thread_id is not None:
        source["thread_id"] = thread_id
    return source
