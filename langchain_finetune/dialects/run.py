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
    otel_spans,
)
from langchain_finetune.dialects.call_ids import complete_ids
from langchain_finetune.dialects.messages import ReasoningPolicy, settled
from langchain_finetune.dialects.untrusted import plain, thread_of
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import SETTINGS, FineTuningSession, wire_messages
from langchain_finetune.tolerant_json import without_surrogates

_RUN_TYPES = frozenset({"chain", "embedding", "parser", "prompt", "retriever", "tool"})
"""LangSmith's other run types."""


def read_run(
    run: Mapping[str, Any], reasoning: ReasoningPolicy = "drop"
) -> list[FineTuningSession]:
    """Return the chats of a run or an OpenTelemetry span: one for each of the model's answers.

    `source["dropped_reasoning"]` counts dropped parts of reasoning; encrypted ones are always
    dropped. `source["finish_reason"]` says why an answer is incomplete, if it is.

    Raises:
        UnreadableChatError: The run has no finished chat that the wire form can represent.
    """
    if otel_spans.is_span(run):
        run = otel_spans.as_run(run)
    _require_finished(run)
    extra = mapping(run.get("extra"))
    request = {key: extra.get(key) for key in ("invocation_params", "options")}
    fields = plain({"inputs": run.get("inputs"), "outputs": run["outputs"], "extra": request})
    fields["extra"]["metadata"] = extra.get("metadata")
    fields["name"] = run.get("name")
    sessions = read_io(fields, reasoning)
    for session in sessions:
        if run.get("tools_unknown"):
            _require_no_calls(wire_messages(session), "tool_calls", "function_call")
        elif "langsmith.span.kind" in mapping(extra.get("metadata")) and "functions" not in session:
            # LangSmith's exporter writes the tools of a request, and not the functions of 2023.
            _require_no_calls(wire_messages(session), "function_call")
        session["source"] = {**_source(run), **session.get("source", {})}
    return sessions


def read_io(run: Mapping[str, Any], reasoning: ReasoningPolicy) -> list[FineTuningSession]:
    """Return the chats of inputs, outputs and `extra`, without escapes, of a run or an example.

    Raises:
        UnreadableChatError: They contain no finished chat that the wire form can represent.
    """
    sessions = list(_read(run))
    if not sessions:
        raise UnreadableChatError("no_answer", "The run contains no answer.")
    for number, session in enumerate(sessions):
        wire = wire_messages(session)
        if wire[-1]["role"] != "assistant":
            raise UnreadableChatError("no_answer", "The answer is not an assistant message.")
        # No API returns a name: agents add theirs to what the tracer writes.
        wire[-1].pop("name", None)
        complete_ids(wire)
        source = {**session.get("source", {}), **settled(wire, keep=reasoning == "keep")}
        if len(sessions) > 1:
            source["answer"] = str(number)
        if source:
            session["source"] = source
        _require_shown(wire)
        _require_json(session)
    return sessions


def _read(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    inputs, outputs = mapping(run.get("inputs")), mapping(run.get("outputs"))
    if completions.is_completion(run):
        return completions.read_chats(run)
    if "generations" in outputs:
        return langchain_tracer.read_chats(run)
    if openai_responses.is_responses(inputs, outputs):
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
        status = str(run.get("status") or "").lower()
        if status == "pending" or (run.get("outputs") is None and not run.get("end_time")):
            raise UnreadableChatError("pending_run", "The run has no outputs yet.")
        raise UnreadableChatError("no_outputs", "The run's outputs are empty or hidden.")


_HIDDEN = frozenset({"redacted-by-litellm", "__REDACTED__", "[REDACTED]"})
"""Placeholders of LiteLLM, OpenInference and others for text that is not recorded."""

_STORED_ELSEWHERE = b"@@@langfuseMedia:"
"""Begins Langfuse's reference to an image or a file, which it writes in place of the data."""


def _require_shown(wire: list[WireMessage]) -> None:
    if any(isinstance(text := each.get("content"), str) and text in _HIDDEN for each in wire):
        raise UnreadableChatError("hidden_content", "The tracer did not record the text.")


def _require_json(session: FineTuningSession) -> None:
    """Reject values that JSON cannot represent, such as objects.

    Unpaired surrogates in messages are left to `Convert`, which reports and fixes them.
    """
    wire = wire_messages(session)
    settings = {key: session[key] for key in SETTINGS if key in session}  # type: ignore[literal-required]
    empty = sum(message.get("content") is None for message in wire)
    try:
        text = _json(wire, settings)
        if text.count(b"null") > empty:
            # orjson writes infinity, which runs not read from JSON may contain, as null.
            json.dumps([wire, settings], allow_nan=False)
    except (orjson.JSONEncodeError, RecursionError, ValueError) as error:
        if isinstance(error.__cause__, UnreadableChatError):
            raise error.__cause__ from None
        raise UnreadableChatError(
            "unreadable_value", "A value that JSON cannot represent."
        ) from error
    if _STORED_ELSEWHERE in text:
        raise UnreadableChatError("hidden_content", "Langfuse stores a part in its own files.")


def _json(wire: list[WireMessage], settings: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps([wire, settings], default=refuse_value)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, UnreadableChatError):
            raise
        return orjson.dumps([without_surrogates(wire), settings], default=refuse_value)


def _require_no_calls(wire: list[WireMessage], *kinds: str) -> None:
    """Reject a chat with calls of tools that the store did not keep."""
    if any(message.get(kind) for message in wire for kind in kinds):
        raise UnreadableChatError(
            "incomplete_trace", "The store did not keep the tools of a chat that calls them."
        )


def _source(run: Mapping[str, Any]) -> dict[str, str]:
    source = {"run_id": str(run.get("id"))}
    if run.get("trace_id"):
        source["trace_id"] = str(run["trace_id"])
    thread_id = thread_of(run)
    if thread_id is not None:
        source["thread_id"] = thread_id
    if run.get("tools_unknown"):
        source["tools_unknown"] = "1"
    return source
