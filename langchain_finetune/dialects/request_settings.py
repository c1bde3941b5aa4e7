"""The settings of a request other than its messages, wherever an instrumentor writes them.

All dialects read instructions, tools and the response format from here, so that each place is
known to all of them. What looks like a setting and is not read is never ignored: see
`RequestSettings.require_read`.

Places, in order of precedence: the run's inputs (LangSmith's wrappers), `inputs.config` (Gemini's
wrappers), `inputs.model_parameters` (LiteLLM), `inputs.mode` (AI SDK 4), `inputs.kwargs` and
`inputs.extra_body` (`@traceable`, OpenAI's SDK), `extra.invocation_params` (LangChain's tracer,
openai-agents, AI SDK 7, Google ADK), its `model_config`, `toolConfig` (Bedrock) and
`generationConfig` (Gemini), and `metadata.ls_invocation_params`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from langchain_finetune.content import INSTRUCTIONS, UnreadableChatError, entries, mapping
from langchain_finetune.dialects.response_formats import response_format
from langchain_finetune.dialects.sampling import read_sampling
from langchain_finetune.dialects.tool_definitions import read_tools, unsupported_tools
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import FineTuningSession

_NESTED = (
    *("config", "model_parameters", "mode", "kwargs", "extra_body"),
    *("generation_config", "generationConfig", "model_config", "model_kwargs"),
    *("tool_config", "toolConfig", "additionalModelRequestFields", "optional_params"),
)
"""Objects within a place that are places, too."""

_HOLDERS = frozenset({*_NESTED, "providerOptions"})

_SYSTEM = (
    *("system", "system_instruction", "system_instructions", "instructions"),
    *("system_prompt", "system_message", "developer_message"),
)
"""Names of instructions that are not among the messages."""

_HIDDEN = ("previous_response_id", "cached_content")
"""Fields that refer to turns or texts stored only at the provider."""

_READ = frozenset(
    {
        *_SYSTEM,
        *("tools", "functions", "parallel_tool_calls", "tool_choice"),
        *("disable_parallel_tool_use", "mcp_servers", "web_search_options"),
        *("response_format", "text", "text_format", "output_format", "output_config", "format"),
        *("response_schema", "response_json_schema", "response_mime_type"),
        *_HIDDEN,
        *("config", "model_parameters", "mode", "kwargs", "extra_body"),
        *("generation_config", "model_config", "model_kwargs", "tool_config"),
        *("additional_model_request_fields", "provider_options", "optional_params"),
    }
)
_HARMLESS = frozenset(
    {
        # Sampling and limits: they choose among the answers of a model.
        *("temperature", "top_p", "top_k", "min_p", "n", "seed", "logit_bias"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "stop", "stop_sequences"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "logprobs"),
        *("top_logprobs", "response_logprobs", "max_tool_calls", "truncation", "num_predict"),
        *("candidate_count", "best_of"),
        *("reasoning", "reasoning_effort", "thinking", "thinking_config", "verbosity", "effort"),
        *("modalities", "response_modalities", "prediction", "safety_settings", "media_resolution"),
        # The choice of the model, and how it is reached.
        *("model", "model_name", "model_id", "model_group", "engine", "deployment_name", "type"),
        *("azure_deployment", "service_tier", "user", "metadata", "store", "include", "streaming"),
        *("stream", "stream_options", "stream_usage", "timeout", "request_timeout", "max_retries"),
        *("default_request_timeout", "headers", "extra_headers", "extra_query", "default_headers"),
        *("http_options", "abort_signal", "betas", "inference_config", "background"),
        *("safety_identifier", "container", "guardrail_config"),
        *("prompt_cache_key", "prompt_cache_retention", "cache_control", "labels", "api_version"),
        *("base_url", "api_base", "use_responses_api", "inference_geo", "responses", "keep_alive"),
        *("include_raw_chunks", "output_version"),
        # How a tool is called, not which there are.
        *("function_call", "function_calling_config", "automatic_function_calling", "active_tools"),
        *("tools_context", "runtime_context", "experimental_context", "tool_resources"),
        *("ls_structured_output_format", "system_fingerprint"),
    }
)
"""Settings that are not part of what the model sees, or of a training example."""

_NOTED = frozenset({"context_management"})
"""Settings of the provider that change what the model sees only in very long chats."""

_LIKE_SETTING = re.compile(
    "(^|_)(sys(tem)?(prompt)?|instruct(ions?)?|preamble|developer|persona|prompts?|tools?|functions?|examples?"
    "|doc(ument)?s?|knowledge|contexts?|history|schemas?|format|messages?|contents?|input|conversation"
    "|suffix)(_|$)"
)
"""Names whose text or tools the model may have seen."""

_MAX_NAMES = 200
_MAX_DEPTH = 20
_ABOUT = re.compile(
    ".*_(ids?|name|version|hash|url|count|cost|tokens|details|metadata|key|type)|ls_.*|_.*"
)
"""Names of facts about a request."""


class RequestSettings:
    """The settings of a request, under the names of OpenAI's chat API.

    Args:
        inputs: The run's inputs.
        extra: The run's `extra`.
        consumed: Keys of the inputs that the dialect reads itself.

    Attributes:
        params: The settings by their names in snake case; the first place that sets one counts.

    Example:
        >>> settings = RequestSettings({"config": {"systemInstruction": "Be brief."}}, {})
        >>> settings.system
        ['Be brief.']
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        extra: Mapping[str, Any],
        consumed: tuple[str, ...] = ("messages",),
    ) -> None:
        params = mapping(extra.get("invocation_params"))
        recorded = mapping(mapping(extra.get("metadata")).get("ls_invocation_params"))
        self._inputs = inputs
        self._consumed = consumed
        self._places = [*_places(inputs), *_places(params), *_places(recorded)]
        self.params: dict[str, Any] = {}
        for place in self._places:
            for key, value in place.items():
                name = _snake(key)
                if (value or value == 0) and not (place is inputs and key in consumed):
                    self.params.setdefault(name, value)

    @property
    def system(self) -> list[Any]:
        """Instructions outside of the messages, each once, as text or as blocks of text."""
        found: list[Any] = []
        for name in _SYSTEM:
            for content in _instructions(self.params.get(name)):
                if content not in found:
                    found.append(content)
        return found

    def with_system(self, wire: list[WireMessage]) -> list[WireMessage]:
        """Return messages with the instructions that are outside of them at the beginning."""
        told = [message["content"] for message in wire if message["role"] in INSTRUCTIONS]
        texts = [text for text in told if isinstance(text, str)]
        new = [
            content
            for content in self.system
            if content not in told
            and not (isinstance(content, str) and any(content in text for text in texts))
        ]
        return [*({"role": "system", "content": content} for content in new), *wire]

    def add_to(self, session: FineTuningSession, recorded: Mapping[str, Any] | None = None) -> None:
        """Add the request's `SETTINGS` to a session.

        `recorded` is `ls_structured_output_format` of LangChain's tracer.

        Raises:
            UnreadableChatError: A setting cannot be represented in the wire form.
        """
        add_settings(session, self.params, recorded)

    def require_hidden_nothing(self) -> None:
        """Reject a request that refers to turns or texts stored only at the provider.

        Raises:
            UnreadableChatError: It does.
        """
        if any(self.params.get(name) for name in _HIDDEN):
            raise UnreadableChatError(
                "hidden_history", "Earlier turns are stored only at the provider."
            )

    def require_read(self, session: FineTuningSession, wire: list[WireMessage]) -> None:
        """Note settings that no reader uses in the session's source, as `unread_settings`.

        Raises:
            UnreadableChatError: One may contain text or tools that the model saw.
        """
        names = set()
        for place, key, value in self._unread():
            name = _snake(key)
            if name not in _NOTED and _LIKE_SETTING.search(name) and _holds_more(value, wire):
                named = f"`{key}` " if re.fullmatch(r"\w{1,40}", key) else ""
                raise UnreadableChatError(
                    "unread_setting", f"The request's field {named}may contain text or tools."
                )
            if place is not self._inputs:
                names.add(name)
        if names:
            source = session.get("source", {})
            session["source"] = {**source, "unread_settings": ", ".join(sorted(names))[:_MAX_NAMES]}

    def _unread(self) -> Iterator[tuple[Mapping[str, Any], str, Any]]:
        for place in self._places:
            for key, value in place.items():
                consumed = place is self._inputs and key in self._consumed
                if not is_known_setting(key) and not consumed and value:
                    yield place, str(key), value


def _places(place: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a place of settings, and the places within it."""
    if not place:
        return
    yield place
    if _HOLDERS.isdisjoint(place):
        return
    for name in _NESTED:
        yield from _places(mapping(place.get(name)))
    for provider in mapping(place.get("providerOptions")).values():
        yield from _places(mapping(provider))


@lru_cache(maxsize=1024)
def is_known_setting(key: Any) -> bool:
    """Return whether a setting is read, or is not part of what the model sees."""
    name = _snake(key)
    return name in _READ or name in _HARMLESS or bool(_ABOUT.fullmatch(name))


@lru_cache(maxsize=1024)
def _snake(key: Any) -> str:
    """Return a name in snake case: `systemInstruction` is `system_instruction`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(key)).lower()


def _instructions(value: Any) -> Iterator[Any]:
    """Yield the instructions of any provider's form: text, blocks, parts, messages."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, Mapping):
        # Gemini's `Content`, or a message.
        inner = value.get("parts", value.get("content", value.get("text")))
        if inner is None:
            raise _unread_instructions()
        yield from _instructions(inner)
    elif isinstance(value, list):
        texts = [each if isinstance(each, str) else mapping(each).get("text") for each in value]
        if value and all(isinstance(text, str) for text in texts):
            parts = [{"type": "text", "text": text} for text in texts]
            yield texts[0] if len(parts) == 1 else parts
        else:
            for each in value:
                yield from _instructions(each)
    elif value is not None:
        raise _unread_instructions()


def _unread_instructions() -> UnreadableChatError:
    return UnreadableChatError("unread_setting", "The instructions have an unknown format.")


def _holds_more(value: Any, wire: list[WireMessage]) -> bool:
    """Return whether a value contains a text that no message contains."""
    known = list(_texts(wire))
    return any(not any(text in other for other in known) for text in _texts(value))


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value
    elif depth < _MAX_DEPTH:
        inner = value.values() if isinstance(value, Mapping) else entries(value)
        for each in inner:
            yield from _texts(each, depth + 1)


def add_settings(
    session: FineTuningSession, params: Mapping[str, Any], recorded: Mapping[str, Any] | None = None
) -> None:
    """Add a request's `SETTINGS` and `sampling` to a session, from any provider's request.

    `recorded` is `ls_structured_output_format` of LangChain's tracer.

    Raises:
        UnreadableChatError: A setting cannot be represented in the wire form.
    """
    if params.get("mcp_servers") or params.get("web_search_options"):
        raise unsupported_tools()
    if params.get("tools"):
        session["tools"] = read_tools(params["tools"])
    if functions := entries(params.get("functions")):
        session["functions"] = functions
    parallel = params.get("parallel_tool_calls")
    if mapping(params.get("tool_choice")).get("disable_parallel_tool_use") is True:
        parallel = False  # Anthropic's name for it.
    if isinstance(parallel, bool):
        session["parallel_tool_calls"] = parallel
    form = response_format(params, recorded)
    if form is not None:
        session["response_format"] = form
    if sampling := read_sampling(params):
        session["sampling"] = sampling
