"""The chats of an `llm` run as LangChain's tracers for Python and JavaScript write it.

Format (langchain-core 1.7): `inputs.messages = [[message, ...]]`,
`outputs.generations = [[{"message": message, ...}]]`,
`extra.invocation_params = {"tools": [...], ...}`. Data of 2023 has one level of lists less.

The tracer writes the app's messages. The request can differ, as in `langchain_openai` and
`langchain_anthropic`: no names if the API has none, `developer` instead of `system`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from langchain_finetune.content import UnreadableChatError, compact_json, entries, mapping
from langchain_finetune.dialects.messages import mark_cut_off, read_messages
from langchain_finetune.dialects.openai_chat import is_reasoning_model
from langchain_finetune.dialects.request_settings import RequestSettings, is_known_setting
from langchain_finetune.messages import WireMessage, WireMessages
from langchain_finetune.sessions import UNKNOWN_FORMAT, FineTuningSession

_O_SERIES = re.compile(r"o\d")
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
"""A name that OpenAI's chat API accepts."""


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield the chats of a run: the request, one of the answers, and the tools.

    Raises:
        UnreadableChatError: The run has no chat that the wire form can represent.
    """
    extra = mapping(run.get("extra"))
    options = mapping(extra.get("options"))
    # Options also hold what LangGraph passes along, which is not sent.
    known = {name: value for name, value in options.items() if is_known_setting(name)}
    params = {**known, **mapping(extra.get("invocation_params"))}
    inputs = mapping(run.get("inputs"))
    metadata = mapping(extra.get("metadata"))
    settings = RequestSettings(inputs, {"invocation_params": params})
    settings.require_hidden_nothing()
    recorded = mapping(options.get("ls_structured_output_format"))
    sent = _rows(inputs.get("messages"), "messages")
    answered = _rows(mapping(run.get("outputs")).get("generations"), "generations")
    if len(sent) != len(answered):
        raise UnreadableChatError(
            "no_chat", f"The run has {len(sent)} chats and answers to {len(answered)}."
        )
    for messages, generations in zip(sent, answered, strict=True):
        from_js = _from_js(messages)
        for generation in generations:
            answer = mapping(mapping(generation).get("message"))
            if not answer:
                raise UnreadableChatError("no_chat", "The run's answer is not a chat message.")
            api = _api(params, metadata, answer, from_js=from_js)
            streamed = "Chunk" in str(entries(answer.get("id"))[-1:])
            wire = settings.with_system(_sent(messages, api, params, metadata, from_js=from_js))
            wire += read_messages([answer], joined=True)
            for key in ("generation_info", "generationInfo"):
                mark_cut_off(wire[-1], mapping(generation).get(key))
            session: FineTuningSession = {"messages": WireMessages(wire)}
            settings.add_to(session, recorded)
            if api == "responses" and streamed and isinstance(params.get("response_format"), str):
                session["response_format"] = UNKNOWN_FORMAT  # The SDK sends another schema.
            settings.require_read(session, wire)
            yield session


def _rows(batch: Any, name: str) -> list[list[Any]]:
    """Return a batch of lists; a flat list (2023) is a batch of one."""
    rows = entries(batch)
    if not rows or not isinstance(rows[0], list):
        rows = [rows]
    if not all(isinstance(row, list) and row for row in rows):
        raise UnreadableChatError("no_chat", f"The run has no {name}.")
    return rows


_BY_TYPE = {
    "anthropic-chat": "anthropic",
    "openai-chat": "chat",
    "azure-openai-chat": "chat",
}
"""The API of an integration for Python."""

_BY_PROVIDER = {"anthropic": "anthropic", "openai": "chat", "azure": "chat"}
"""The API of an integration for JavaScript, whose parameters have no `_type`."""

_NAMELESS = ("google", "amazon_bedrock", "mistral", "ollama", "cohere")
"""Other providers to which no names of messages are sent."""


def _from_js(messages: list[Any]) -> bool:
    """Return whether LangChain.js wrote messages: only it names its classes like this."""
    return any(entries(mapping(raw).get("id"))[:1] == ["langchain_core"] for raw in messages)


def _api(
    params: Mapping[str, Any],
    metadata: Mapping[str, Any],
    answer: Mapping[str, Any],
    *,
    from_js: bool,
) -> str:
    """Return the API that the request went to: chat, responses, anthropic, nameless or other."""
    fields = mapping(answer.get("kwargs"))
    answered = mapping(fields.get("response_metadata"))
    if answered.get("object") == "response" or str(fields.get("id")).startswith("resp_"):
        return "responses"
    provider = str(metadata.get("ls_provider") or "")
    found = _BY_TYPE.get(str(params.get("_type")))
    if found is None and from_js and "_type" not in params:
        found = _BY_PROVIDER.get(provider)
    return found or ("nameless" if provider.startswith(_NAMELESS) else "other")


def _sent(
    messages: list[Any],
    api: str,
    params: Mapping[str, Any],
    metadata: Mapping[str, Any],
    *,
    from_js: bool,
) -> list[WireMessage]:
    """Return the messages as they were sent, in the chat API's format."""
    # The runs of LangChain.js have the arguments as text, too.
    wire = read_messages(messages, joined=api != "chat", as_written=api == "responses" or from_js)
    for message in wire:
        if "name" not in message or message["role"] == "function":
            continue
        if api in {"responses", "anthropic", "nameless"}:
            del message["name"]  # These APIs have no names.
        elif message["role"] == "assistant" and not _NAME.fullmatch(str(message["name"])):
            # The chat API refuses such a name of an agent, so it was not sent.
            del message["name"]
    model = str(params.get("model") or params.get("model_name"))
    as_developer = api == "chat" and params.get("_type") == "openai-chat" and _O_SERIES.match(model)
    # Runs of old versions name no provider.
    if from_js and metadata.get("ls_provider", "openai") in _BY_PROVIDER and api != "anthropic":
        as_developer = is_reasoning_model(model)
    for message in wire:
        if as_developer and message["role"] == "system":
            message["role"] = "developer"
        if from_js and api == "chat":
            _write_compactly(message)
    return wire


def _write_compactly(message: WireMessage) -> None:
    """Write the arguments of calls as LangChain.js serializes them for a history."""
    for call in message.get("tool_calls") or ():
        function = call["function"]
        with suppress(TypeError, ValueError, RecursionError):
            function["arguments"] = compact_json(json.loads(function["arguments"]))
