"""Why a model stopped: whether an answer is whole or was cut off.

A cut-off answer must not be trained on as a whole one: the model would learn to stop in the middle.

Sources: the API references of OpenAI (`finish_reason`; Responses: `status`, `incomplete_details`),
Anthropic (`stop_reason`), Gemini (`finishReason`), Amazon Bedrock (`stopReason`), Cohere, Mistral,
DeepSeek and Ollama (`done_reason`), the AI SDK (`finishReason`, since version 6 an object), and
OpenTelemetry's conventions.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from langchain_finetune.content import mapping

_FIELDS = (
    *("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason"),
    *("finish_reasons", "status"),
)
_ALL = frozenset({*_FIELDS, "incomplete_details", "incompleteDetails"})
_CUT = (
    # The limit of tokens.
    *("length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length", "incomplete"),
    *("model_context_window_exceeded", "context_window_exceeded", "max_context_length"),
    # A filter.
    *("content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety"),
    *("recitation", "language", "blocklist", "prohibited_content", "spii", "error_toxic"),
    *("image_safety", "image_prohibited_content", "image_recitation"),
    # A fault, or the user.
    *("error", "error_limit", "network_error", "insufficient_system_resource", "pause_turn"),
    *("malformed_function_call", "malformed_response", "malformed_model_output"),
    *("malformed_tool_use", "unexpected_tool_call", "too_many_tool_calls"),
    *("abort", "aborted", "cancelled", "user_cancel"),
)
# LangChain joins the reasons of streamed chunks: `lengthlength`.
_CUT_OFF = re.compile(f"(?:{'|'.join(sorted(_CUT, key=len, reverse=True))})+")


def cut_off(*holders: Any) -> str | None:
    """Return the reason why an answer is incomplete, or None if it is whole or nothing says.

    The objects are those that may contain a reason: a choice, a message, its metadata.

    Example:
        >>> cut_off({"finish_reason": "stop"}), cut_off({}, {"finishReason": "MAX_TOKENS"})
        (None, 'max_tokens')
    """
    for holder in map(mapping, holders):
        if not holder or _ALL.isdisjoint(holder):
            continue
        for field in _FIELDS:
            if field in holder and (reason := _cut(holder[field])):
                return reason
        details = mapping(holder.get("incomplete_details") or holder.get("incompleteDetails"))
        if details.get("reason"):
            return _cut(details["reason"]) or "incomplete"
    return None


def _cut(value: Any) -> str | None:
    if isinstance(value, list):
        return next((reason for each in value if (reason := _cut(each))), None)
    if isinstance(value, Mapping):
        return _cut(value.get("unified") or value.get("raw"))
    return _cut_text(value) if isinstance(value, str) else None


@lru_cache(maxsize=256)
def _cut_text(value: str) -> str | None:
    # Enumerations are also written with their class: `FinishReason.MAX_TOKENS`.
    name = value.rpartition(".")[2].lower().replace("-", "_")
    found = _CUT_OFF.fullmatch(name)
    return found and next(each for each in _CUT if name.startswith(each))
