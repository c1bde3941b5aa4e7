"""Stored messages, in LangChain's serialized formats or a provider's own.

The data is untrusted. It is only parsed: no class that it names is imported or created.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from langchain_finetune.content import (
    UnreadableChatError,
    compact_json,
    content_calls,
    entries,
    join_text,
    kind_of,
    mapping,
    reasoning_text,
    wire_call,
    wire_content,
)
from langchain_finetune.dialects.agent_middleware import is_decision, is_summary, says_decision
from langchain_finetune.dialects.finish_reasons import cut_off
from langchain_finetune.messages import WireMessage, fields_to_wire

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}
"""LangChain's names of roles, which hand-written traces use, and Gemini's."""

_KEPT = ("name", "tool_call_id", "function_call", "refusal", "weight")
ReasoningPolicy = Literal["drop", "keep"]
"""How to handle a model's reasoning: drop it, or keep it as `reasoning_content`."""

_REASONING = "reasoning_parts"
"""Key of the texts of a message's reasoning until `settled`."""

_CUT_OFF = "cut_off"
"""Key of the reason why a message is incomplete until `settled`."""

_SUMMARY = "summary"
"""Key that marks a message as the summary of a history until `settled`."""

_DECISION = "decision"
"""Key that marks a result as given by a person in place of the tool until `settled`."""

_RESULTS = frozenset(
    {"tool_result", "tool-result", "tool-error", "function_response", "functionResponse"}
)
"""Blocks with a tool's result: Anthropic's, the AI SDK's and Gemini's."""


def read_messages(
    raws: Iterable[Any], *, joined: bool = False, as_written: bool = True
) -> list[WireMessage]:
    """Return stored messages in wire form, with their reasoning; call `settled` next.

    Tool results within a message (Anthropic, AI SDK, Gemini) become messages of the role `tool`.

    Each message has one of these formats; for `joined` and `as_written` see `fields_to_wire`:
    `{"lc": 1, "type": "constructor", "id": [..., "AIMessage"], "kwargs": {...}}` (tracer),
    `{"type": "ai", "data": {...}}` (chat datasets),
    `{"type": "ai", "content": ...}` (LangChain's flat format),
    `{"role": "assistant", "content": ...}` (OpenAI, Anthropic),
    `["assistant", "..."]` (hand-written traces).

    Raises:
        UnreadableChatError: A message has another format, or the wire form cannot represent it.

    Example:
        >>> read_messages([{"type": "human", "data": {"content": "Hi"}}, ["ai", "Hello"]])
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    wire: list[WireMessage] = []
    for raw in raws:
        kind, fields = _kind_and_fields(raw)
        results, rest = _tool_results(fields)
        after = kind is None and str(rest.get("role")) in _ANSWERING
        if not after:
            wire += results
            if results and not rest["content"]:
                continue
        reasoning: list[str] = []
        if kind is None:
            message = _provider_message(rest, joined=joined, reasoning=reasoning)
        else:
            message = fields_to_wire(
                kind, rest, joined=joined, as_written=as_written, reasoning=reasoning
            )
        if reasoning:
            message[_REASONING] = reasoning
        if is_summary(fields):
            message[_SUMMARY] = True
        if message["role"] == "tool" and is_decision(fields):
            message[_DECISION] = True
        if message["role"] == "assistant":
            mark_cut_off(message, fields.get("response_metadata"), fields.get("additional_kwargs"))
        wire.append(message)
        if after:
            wire += results
    return wire


_ANSWERING = frozenset({"assistant", "ai", "model"})


def add_reasoning(message: WireMessage, texts: list[str]) -> None:
    """Add reasoning to an assistant message; an empty text is encrypted reasoning."""
    if texts:
        message[_REASONING] = [*message.get(_REASONING, ()), *texts]


def mark_cut_off(message: WireMessage, *holders: Any) -> None:
    """Note in a message that it is incomplete, if one of the objects has a reason for that."""
    if reason := cut_off(*holders):
        message[_CUT_OFF] = reason


def settled(wire: list[WireMessage], *, keep: bool) -> dict[str, str]:
    """Remove the notes on messages, and return those that belong into the source of the chat.

    The messages' reasoning is kept as `reasoning_content`, or dropped and counted as
    `dropped_reasoning`; encrypted ones are always dropped. `finish_reason` says why the last
    message is incomplete. Earlier messages that are incomplete were seen, but are not trained on:
    they get `weight: 0`. So do those with a call that a person replaced; `replaced_calls` has the
    positions of their messages and their ids, such as `[[2, "call_a"]]`. `summarized` says that the
    chat begins with the summary of an earlier part.
    """
    dropped = 0
    source = {}
    replaced = []
    for position, message in enumerate(wire):
        texts = message.pop(_REASONING, [])
        kept = [text for text in texts if text] if keep else []
        if kept:
            message["reasoning_content"] = "\n\n".join(kept)
        dropped += len(texts) - len(kept)
        if reason := message.pop(_CUT_OFF, None):
            if message is wire[-1]:
                source["finish_reason"] = reason
            else:
                message.setdefault("weight", 0)
        if message.pop(_SUMMARY, None):
            source["summarized"] = "true"
        decided = message.pop(_DECISION, False)
        if message["role"] == "tool" and (decided or says_decision(message)):
            call_id = str(message.get("tool_call_id"))
            # Some servers give the same ids in each answer: the nearest one made the call.
            before = (at for at in reversed(range(position)) if call_id in _call_ids(wire[at]))
            if (asked := next(before, None)) is not None:
                wire[asked].setdefault("weight", 0)
                replaced.append([asked, call_id])
    if dropped:
        source["dropped_reasoning"] = str(dropped)
    if replaced:
        source["replaced_calls"] = json.dumps(replaced)
    return source


def _call_ids(message: WireMessage) -> list[str]:
    return [str(call.get("id")) for call in message.get("tool_calls") or ()]


def _kind_and_fields(raw: Any) -> tuple[str | None, Mapping[str, Any]]:
    """Return LangChain's name of a message type (None for a provider's message), and the fields."""
    if isinstance(raw, list | tuple) and len(raw) == 2:  # noqa: PLR2004 - role and content
        raw = {"role": raw[0], "content": raw[1]}
    if not isinstance(raw, Mapping):
        raise UnreadableChatError("unreadable_message", "A message is not a JSON object.")
    if raw.get("lc") is not None:
        names, fields = raw.get("id"), raw.get("kwargs")
        if raw.get("type") != "constructor" or not names or not isinstance(fields, Mapping):
            raise UnreadableChatError("unreadable_message", "A serialized object is not a message.")
        if not str(names[-1]).removesuffix("Chunk").endswith("Message"):
            raise UnreadableChatError("unknown_message_type", "An object is not a message.")
        return str(names[-1]), fields
    if isinstance(raw.get("data"), Mapping):
        return str(raw.get("type")), raw["data"]
    if "role" in raw and raw.get("type") != "chat":
        return None, raw
    return str(raw.get("type")), raw


def _tool_results(fields: Mapping[str, Any]) -> tuple[list[WireMessage], Mapping[str, Any]]:
    """Return the tool results within a message, and the rest of the message."""
    blocks = entries(fields.get("content"))
    found = [block for block in map(mapping, blocks) if kind_of(block) in _RESULTS]
    if not found:
        return [], fields
    rest = [block for block in blocks if kind_of(mapping(block)) not in _RESULTS]
    return [_tool_result(block) for block in found], {**fields, "content": rest}


def _tool_result(block: Mapping[str, Any]) -> WireMessage:
    kind = kind_of(block)
    if block.get("providerExecuted"):
        raise UnreadableChatError(
            "builtin_tool_call", "Chat messages cannot represent the use of a provider's own tool."
        )
    if kind == "tool_result":
        content = wire_content(block.get("content"))
        return {"role": "tool", "content": content, "tool_call_id": block.get("tool_use_id")}
    if kind in ("function_response", "functionResponse"):
        given = mapping(block.get("function_response") or block.get("functionResponse"))
        text = compact_json(given.get("response"))
        result = {"role": "tool", "content": text, "tool_call_id": given.get("id")}
        return result | ({"name": given["name"]} if given.get("name") else {})
    content = _ai_sdk_output(block)
    return {"role": "tool", "content": content, "tool_call_id": block.get("toolCallId")}


def _ai_sdk_output(block: Mapping[str, Any]) -> str:
    """Return a result as the AI SDK sends it: text as it is, anything else as JSON."""
    output = block.get("output", block.get("result", block.get("error")))
    typed = mapping(output)
    match typed.get("type"):
        case "text" | "error-text" if isinstance(typed.get("value"), str):
            return str(typed["value"])
        case "json" | "error-json" | "content":
            return compact_json(typed.get("value"))
        case "execution-denied":
            return str(typed.get("reason") or "Tool execution denied.")
    return output if isinstance(output, str) else compact_json(output)


def _provider_message(raw: Mapping[str, Any], *, joined: bool, reasoning: list[str]) -> WireMessage:
    """Return the wire form of a message in OpenAI's or Anthropic's format."""
    role = str(raw.get("role"))
    role = _ROLES.get(role, role)
    wire: WireMessage = {"role": role}
    if role != "assistant":
        wire["content"] = wire_content(raw.get("content"))
    else:
        if raw.get("audio"):
            raise UnreadableChatError(
                "unsupported_content", "The assistant answered with audio instead of text."
            )
        content = raw.get("content")
        parts = wire_content(content, answer=True, reasoning=reasoning)
        reasoning += _own_reasoning(raw)
        wire["content"] = None if content is None else parts
        if joined:
            join_text(wire)
        calls = [_read_call(call) for call in raw.get("tool_calls") or content_calls(content)]
        calls = calls or _ai_sdk_calls(raw)
        mark_cut_off(wire, raw)
        if calls:
            wire["content"] = wire["content"] or None
            wire["tool_calls"] = calls
    wire.update({key: raw[key] for key in _KEPT if raw.get(key) is not None})
    return wire


def _ai_sdk_calls(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the calls of a result of AI SDK 4, which are next to its text."""
    blocks = [{"type": "tool-call", **mapping(call)} for call in entries(raw.get("toolCalls"))]
    return content_calls(blocks)


def _read_call(call: Any) -> dict[str, Any]:
    """Return a tool call in OpenAI's or LangChain's format in wire form."""
    call = mapping(call)
    function = mapping(call.get("function"))
    if function:
        return wire_call(call.get("id"), function.get("name"), function.get("arguments"))
    if "args" in call:
        return wire_call(call.get("id"), call.get("name"), call["args"])
    raise UnreadableChatError("unsupported_call", "A call of something other than a function.")


def _own_reasoning(raw: Mapping[str, Any]) -> list[str]:
    """Return the reasoning that OpenAI-compatible servers return next to the content."""
    block = raw.get("reasoning_content") or raw.get("reasoning")
    return [reasoning_text({"content": block, **mapping(block)})] if block else []
