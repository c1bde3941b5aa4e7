"""The playground's form: conversations with up to three models side by side. Pure functions.

The form carries all of the state, so that it works with and without the page's script: each model
has its conversation so far as JSON, in OpenAI's wire form and without the system prompt.
"""

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.run_views import run_of, without_answer
from langchain_finetune.sessions import FineTuningSession, Skip, wire_messages

MOST_MODELS = 3

SETTINGS = {"temperature": float, "max_tokens": int, "seed": int}
"""Fields of the form that are numbers; an empty one is left to the engine."""

_KINDS = {float: "Enter a number.", int: "Enter a whole number."}
_SENT = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal")
_TOOLS_SHAPE = 'Enter a JSON list of tools, such as [{"type": "function", "function": {...}}].'


@dataclass(eq=False)
class Column:
    """One model and its conversation.

    Attributes:
        model: The model's name; empty where the column is not used.
        messages: The conversation.
        results: What was typed in as the results of the open calls, by their place.
        error: Why the model has not answered.
        note: What is to be said of its last answer.
    """

    model: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    error: str = ""
    note: str = ""

    @property
    def open_calls(self) -> list[dict[str, Any]]:
        """The tool calls of the last message, which wait for their results."""
        return list(self.messages[-1].get("tool_calls") or []) if self.messages else []

    @property
    def waits(self) -> bool:
        """Whether the conversation ends with something to answer."""
        return bool(self.messages) and self.messages[-1].get("role") != "assistant"

    @property
    def as_json(self) -> str:
        """The conversation as the form carries it."""
        return json.dumps(self.messages, ensure_ascii=False) if self.messages else ""


@dataclass
class Playground:
    """The playground's whole state.

    Attributes:
        columns: Always `MOST_MODELS`; the unused ones have no model.
        system: The system prompt.
        tools: The tools, as JSON was typed in.
        message: What the user says next.
        settings: `temperature`, `max_tokens` and `seed` as they were typed in.
        errors: Sentences by the name of their field; an empty name is for the whole form.
    """

    columns: list[Column]
    system: str = ""
    tools: str = ""
    message: str = ""
    settings: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SETTINGS, ""))
    errors: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin anew with the same models, prompt, tools and settings."""
        for column in self.columns:
            column.messages, column.results = [], []

    def say(self) -> list[Column]:
        """Put what was typed in into the conversations; return those that wait for an answer.

        Nothing changes where something is wrong; `errors` and the columns say what.
        """
        _tools(self)
        _numbers(self)
        used = [column for column in self.columns if column.model]
        if not used:
            self.errors["model"] = "Choose a model."
        if self.errors:
            return []
        replies = [(column, _replies(column, self.message)) for column in used]
        if any(column.error for column in used):
            return []
        for column, messages in replies:
            column.messages += messages
            column.results = []
        waiting = [column for column in used if column.waits]
        if not waiting:
            self.errors["message"] = "Write a message first."
        else:
            self.message = ""
        return waiting

    def request(self, column: Column) -> dict[str, Any]:
        """Return the chat completion request that asks a column's model; `say` found it sound."""
        system = [{"role": "system", "content": self.system}] if self.system.strip() else []
        messages = [_sent(message) for message in column.messages]
        tools = _tools(self)
        numbers = _numbers(self)
        if "max_tokens" in numbers:
            numbers["max_completion_tokens"] = numbers.pop("max_tokens")
        return {
            "model": column.model,
            "messages": system + messages,
            **({"tools": tools} if tools else {}),
            **numbers,
        }


def read_playground(given: Mapping[str, Sequence[str]]) -> Playground:
    """Read the form.

    Args:
        given: The values of each field as they were sent.

    Raises:
        ApiError: 400 where a conversation is none, which the page itself never sends.
    """

    def one(name: str) -> str:
        return (given.get(name) or [""])[0]

    models, conversations = given.get("model", []), given.get("conversation", [])
    columns = []
    for number in range(MOST_MODELS):
        results = given.get(f"result-{number}", [])
        text = conversations[number] if number < len(conversations) else ""
        model = models[number] if number < len(models) else ""
        columns.append(Column(model.strip(), _messages(text), list(results)))
    return Playground(
        columns,
        system=_lines(one("system")),
        tools=_lines(one("tools")),
        message=_lines(one("message")),
        settings={name: one(name).strip() for name in SETTINGS},
    )


def take_answer(column: Column, body: Mapping[str, Any]) -> None:
    """Put a model's answer into its conversation.

    Args:
        column: The conversation.
        body: The chat completion.
    """
    choice = body["choices"][0]
    kept = (*_SENT, "reasoning_content")
    message = {name: choice["message"].get(name) for name in kept}
    column.messages.append({name: value for name, value in message.items() if value is not None})
    if choice.get("finish_reason") == "length":
        column.note = "The answer was cut off: the most tokens were reached."


def _sent(message: Mapping[str, Any]) -> dict[str, Any]:
    sent = {name: message[name] for name in _SENT if message.get(name) is not None}
    # A model may have answered nothing; only calls may stand without a text.
    return sent if "tool_calls" in sent or "content" in sent else sent | {"content": ""}


def _replies(column: Column, message: str) -> list[dict[str, Any]]:
    replies: list[dict[str, Any]] = []
    calls, results = column.open_calls, column.results
    if any(text.strip() for text in results) or (calls and message.strip()):
        for number, call in enumerate(calls):
            text = _lines(results[number]) if number < len(results) else ""
            if not text.strip():
                name = call["function"].get("name") or "the tool"
                column.error = f"Enter what {name} returned."
                return []
            replies.append({"role": "tool", "tool_call_id": call.get("id"), "content": text})
    if message.strip():
        replies.append({"role": "user", "content": message})
    return replies


def _messages(text: str) -> list[dict[str, Any]]:
    if not text.strip():
        return []
    try:
        # Stricter than the standard library: what it takes can be sent on.
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(_is_message(each) for each in found):
        raise ApiError(400, "A conversation must be a JSON list of messages.", param="conversation")
    return found


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    calls = value.get("tool_calls") or []
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls
    )


def _tools(state: Playground) -> list[Any]:
    if not state.tools.strip():
        return []
    try:
        tools = orjson.loads(state.tools)
    except orjson.JSONDecodeError as error:
        state.errors["tools"] = f"This is no JSON: {error}."
        return []
    if not isinstance(tools, list) or not all(isinstance(each, dict) for each in tools):
        state.errors["tools"] = _TOOLS_SHAPE
        return []
    return tools


def _numbers(state: Playground) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, kind in SETTINGS.items():
        if not state.settings[name]:
            continue
        try:
            number = kind(state.settings[name])
            fits = math.isfinite(number)
        except (ValueError, OverflowError):
            fits = False
        if fits:
            numbers[name] = number
        else:
            state.errors[name] = _KINDS[kind]
    return numbers


def _lines(text: str) -> str:
    """Return a text as it was typed in: forms send line ends as CR LF."""
    return text.replace("\r\n", "\n")


_UNANSWERED = frozenset({"errored_run", "pending_run", "no_answer"})
"""Why loaders skip runs whose request can be read all the same."""


def run_prompt(row: Mapping[str, Any], models: Sequence[str]) -> Playground:
    """Return the playground with what a run sent to its model; the last question is still to send.

    Args:
        row: The run's row, with `inputs`, `outputs` and `extra` as JSON.
        models: Who is to be asked.

    Raises:
        ApiError: 400 where the run holds no chat.
    """
    session = _read(run_of(row))
    messages = wire_messages(session)[:-1]
    system = message = ""
    first = messages[0] if messages else {"role": ""}
    if first["role"] in {"system", "developer"} and isinstance(first["content"], str):
        system = messages.pop(0)["content"]
    if messages and messages[-1]["role"] == "user" and isinstance(messages[-1]["content"], str):
        message = messages.pop()["content"]
    tools = session.get("tools")
    return Playground(
        [Column(model, deepcopy(messages)) for model in models],
        system=system,
        tools=json.dumps(tools, ensure_ascii=False, indent=2) if tools else "",
        message=message,
    )


def _read(run: dict[str, Any]) -> FineTuningSession:
    skips: list[Skip] = []
    for tried in (run, without_answer(run)):
        for session in readable(str(run["id"]), partial(read_run, tried), skips.append):
            return session
        if skips[-1].code not in _UNANSWERED:
            break
    reason = skips[-1].reason.rstrip(".")
    raise ApiError(400, f"The playground can't go on with this run: {reason} ({skips[-1].code}).")
