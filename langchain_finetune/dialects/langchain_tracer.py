"""The chats of an `llm` run as LangChain's tracers for Python and JavaScript write it.

Format (langchain-core 1.7): `inputs.messages = [[message, ...]]`,
`outputs.generations = [[{"message": message, ...}]]`,
`extra.invocation_params = {"tools": [...], ...}`. Data of 2023 has one level of lists less.

The tracer writes the app's messages. The request can differ, as in `langchain_openai` and
`langchain_anthropic`: no names if the API has none, `developer` instead of `system`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.dialects.messages import read_messages
from langchain_finetune.dialects.request_settings import add_settings, unsupported_format
from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import FineTuningSession

_O_SERIES = re.compile(r"o\d")


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield the chats of a run: the request, one of the answers, and the tools.

    Raises:
        UnreadableChatError: The run has no chat that the wire form can represent.
    """
    extra = mapping(run.get("extra"))
    options = mapping(extra.get("options"))
    params = {**options, **mapping(extra.get("invocation_params"))}
    if params.get("previous_response_id"):
        raise UnreadableChatError(
            "hidden_history", "Earlier turns are stored only at the provider."
        )
    recorded = mapping(options.get("ls_structured_output_format"))
    sent = _rows(mapping(run.get("inputs")).get("messages"), "messages")
    answered = _rows(mapping(run.get("outputs")).get("generations"), "generations")
    if len(sent) != len(answered):
        raise UnreadableChatError(
            "no_chat", f"The run has {len(sent)} chats and answers to {len(answered)}."
        )
    for messages, generations in zip(sent, answered, strict=True):
        for generation in generations:
            answer = mapping(mapping(generation).get("message"))
            if not answer:
                raise UnreadableChatError("no_chat", "The run's answer is not a chat message.")
            api = _api(params, answer)
            streamed = "Chunk" in str(entries(answer.get("id"))[-1:])
            if api == "responses" and streamed and isinstance(params.get("response_format"), str):
                raise unsupported_format()  # The run lacks the schema of the class.
            wire = _sent(messages, api, params)
            wire += read_messages([answer], joined=True)
            session: FineTuningSession = {"messages": WireMessages(wire)}
            add_settings(session, params, recorded)
            yield session


def _rows(batch: Any, name: str) -> list[list[Any]]:
    """Return a batch of lists; a flat list (2023) is a batch of one."""
    rows = entries(batch)
    if not rows or not isinstance(rows[0], list):
        rows = [rows]
    if not all(isinstance(row, list) and row for row in rows):
        raise UnreadableChatError("no_chat", f"The run has no {name}.")
    return rows


def _api(params: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Return the API that the request went to: chat, responses, anthropic or other."""
    fields = mapping(answer.get("kwargs"))
    metadata = mapping(fields.get("response_metadata"))
    if metadata.get("object") == "response" or str(fields.get("id")).startswith("resp_"):
        return "responses"
    kind = str(params.get("_type"))
    if kind == "anthropic-chat":
        return "anthropic"
    return "chat" if kind in {"openai-chat", "azure-openai-chat"} else "other"


def _sent(messages: list[Any], api: str, params: Mapping[str, Any]) -> list[WireMessage]:
    """Return the messages as they were sent, in the chat API's format."""
    # Only LangChain.js names its classes like this; its runs have the arguments as text, too.
    from_js = any(entries(mapping(raw).get("id"))[:1] == ["langchain_core"] for raw in messages)
    wire = read_messages(messages, joined=api != "chat", as_written=api == "responses" or from_js)
    for message in wire:
        if api in {"responses", "anthropic"} and message["role"] != "function":
            message.pop("name", None)  # These APIs have no names.
    model = str(params.get("model") or params.get("model_name"))
    if api == "chat" and params.get("_type") == "openai-chat" and _O_SERIES.match(model):
        for message in wire:
            if message["role"] == "system":
                message["role"] = "developer"
    return wire
