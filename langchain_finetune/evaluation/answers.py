"""Answers as data: what a chain returned, and what evaluators look at in it. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from langchain_finetune.content import UnreadableChatError, entries, joined_text, mapping
from langchain_finetune.convert.fingerprints import plain_arguments
from langchain_finetune.messages import WireMessage, message_to_wire


@dataclass(frozen=True)
class ToolRequest:
    """A call that a model asked for; arguments that are not a JSON object stay text."""

    name: str
    arguments: Any


@dataclass(frozen=True)
class AnswerView:
    """What evaluators look at: the final answer, and all calls of a run.

    Attributes:
        text: Text of the final answer.
        calls: All calls since the last message of the user, in order.
        refusal: The model's refusal, if it is given as such.
        value: What the chain parsed from the answer, if that may be neither text nor messages.
    """

    text: str = ""
    calls: list[ToolRequest] = field(default_factory=list)
    refusal: str | None = None
    value: Any = None


def outputs_of(value: Any) -> dict[str, Any]:
    """Return what a chain returned as outputs of a LangSmith run, as JSON data.

    A message becomes `{"role", "content", "tool_calls"}`. A dict or an object becomes a dict; for
    that of an agent's state see `run_of`. Any other value is under `output`, as LangSmith has it.

    Example:
        >>> outputs_of("42")
        {'output': '42'}
    """
    plain = _plain(value)
    if isinstance(value, BaseMessage):
        return answer_of(plain)
    if not isinstance(plain, dict):
        return {"output": plain}
    sent = entries(plain.get("messages"))
    if not sent or not all(mapping(each).get("role") for each in sent):
        return plain
    return {**run_of(sent), **plain, "messages": settled(sent)}


def run_of(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an agent's run: its `messages`, and `content` and `tool_calls` of the last answer.

    Example:
        >>> run_of([{"role": "user", "content": "Hi"}])
        {'messages': [{'role': 'user', 'content': 'Hi'}], 'content': '', 'tool_calls': []}
    """
    answers = [each for each in messages if each.get("role") == "assistant"]
    final = answer_of(answers[-1] if answers else {})
    return {
        "messages": settled(messages),
        "content": final["content"],
        "tool_calls": final["tool_calls"],
    }


def settled(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages such that equal runs are equal: calls are counted, instead of random ids.

    Example:
        >>> settled([{"role": "tool", "tool_call_id": "call_x7f", "content": "3"}])
        [{'role': 'tool', 'tool_call_id': 'call_1', 'content': '3'}]
    """
    names: dict[Any, str] = {}

    def counted(given: Any) -> str:
        return names.setdefault(given, f"call_{len(names) + 1}")

    found = []
    for message in messages:
        made = {key: value for key, value in message.items() if value is not None}
        if calls := entries(made.get("tool_calls")):
            made["tool_calls"] = [_settled_call(mapping(each), counted) for each in calls]
            made.setdefault("content", "")
        if "tool_call_id" in made:
            made["tool_call_id"] = counted(made["tool_call_id"])
            made.pop("name", None)  # Its call has it, and not all recordings repeat it.
        found.append(made)
    return found


def _settled_call(call: Mapping[str, Any], counted: Callable[[Any], str]) -> dict[str, Any]:
    function = dict(mapping(call.get("function")))
    with suppress(KeyError, TypeError, ValueError, RecursionError):
        function["arguments"] = plain_arguments(function["arguments"])
    return {**call, "id": counted(call.get("id")), "function": function}


def parsed_answer(answer: Mapping[str, Any]) -> Any:
    """Return an answer as data: the arguments of its only call, or the JSON of its text; or None.

    Example:
        >>> parsed_answer({"content": '{"name": "Ada"}', "tool_calls": []})
        {'name': 'Ada'}
    """
    calls = answer["tool_calls"]
    value = calls[0]["args"] if len(calls) == 1 else parsed(text_of(answer["content"]) or "null")
    return value if isinstance(value, dict | list) else None


def answer_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wire message as an answer: its content, its calls with parsed arguments.

    Example:
        >>> answer_of({"role": "assistant", "content": "Hi"})
        {'role': 'assistant', 'content': 'Hi', 'tool_calls': []}
    """
    content = joined_text(message.get("content"))
    answer = {
        "role": "assistant",
        "content": "" if content is None else content,
        "tool_calls": [
            {"name": call.name, "args": call.arguments} for call in _wire_calls([message])
        ],
    }
    if message.get("refusal"):
        answer["refusal"] = message["refusal"]
    return answer


def view(outputs: Any) -> AnswerView:
    """Return what evaluators look at in the outputs of a run or of an example."""
    given = mapping(outputs)
    if isinstance(given.get("messages"), list):
        return _view_of_messages(given["messages"])
    if "content" in given or "tool_calls" in given:
        return AnswerView(
            text_of(given.get("content")),
            _calls(given.get("tool_calls")),
            given.get("refusal") or None,
        )
    sole = next(iter(given.values())) if len(given) == 1 else (outputs or None)
    if mapping(sole).get("role") == "assistant":
        return _view_of_messages([sole])
    if isinstance(sole, str):
        # An object with one text field, or a text under a name.
        return AnswerView(sole, value=None if "output" in given else dict(given) or None)
    if calls := _calls(sole):
        return AnswerView("", calls)
    value = sole if "output" in given else (dict(given) or sole)
    return AnswerView(json.dumps(value) if value is not None else "", value=value)


def text_of(content: Any) -> str:
    """Return the text of content, whatever else it contains."""
    joined = joined_text(content)
    if isinstance(joined, list):
        return "".join(str(mapping(part).get("text") or "") for part in joined)
    return joined if isinstance(joined, str) else ""


def _view_of_messages(messages: Sequence[Any]) -> AnswerView:
    last = [place for place, each in enumerate(messages) if mapping(each).get("role") == "user"]
    made = [mapping(each) for each in messages[last[-1] + 1 if last else 0 :]]
    answers = [each for each in made if each.get("role") == "assistant"]
    final: Mapping[str, Any] = answers[-1] if answers else {}
    return AnswerView(
        text_of(final.get("content")), _wire_calls(answers), final.get("refusal") or None
    )


def _wire_calls(messages: Sequence[Mapping[str, Any]]) -> list[ToolRequest]:
    return [
        ToolRequest(str(function.get("name")), parsed(function.get("arguments")))
        for message in messages
        for function in functions_of(message)
    ]


def functions_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions that a wire message calls, also in the legacy form."""
    found = [mapping(mapping(call).get("function")) for call in entries(message.get("tool_calls"))]
    legacy = mapping(message.get("function_call"))
    return [*found, legacy] if legacy else found


def _calls(value: Any) -> list[ToolRequest]:
    """Return calls in LangChain's form, its parsers' (`type` is the name) or OpenAI's."""
    found = []
    for entry in entries(value):
        call = mapping(entry)
        if "function" in call:
            found += _wire_calls([{"tool_calls": [call]}])
        elif "args" in call and (name := call.get("name") or call.get("type")):
            found.append(ToolRequest(str(name), parsed(call["args"])))
        else:
            return []
    return found


def parsed(arguments: Any) -> Any:
    """Return arguments as data, or unchanged if they are not JSON."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def _plain(value: Any) -> Any:
    """Return a value as JSON data."""
    if isinstance(value, BaseMessage):
        return _wire(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return orjson.loads(orjson.dumps(value, default=str))


def _wire(message: BaseMessage) -> WireMessage:
    try:
        return message_to_wire(message)
    except UnreadableChatError:
        # Such as an answer with a provider's own tools: its text and calls are what counts.
        calls = getattr(message, "tool_calls", [])
        return {
            "role": "assistant" if message.type == "ai" else message.type,
            "content": message.text,
            **({"tool_calls": [_as_wire(call) for call in calls]} if calls else {}),
        }


def _as_wire(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["args"])}
    return {"id": call.get("id"), "type": "function", "function": function}
