"""The playground: conversations with up to three models side by side. Pure functions.

The form contains the complete state, so that it works with and without the page's script: for
each model, the conversation so far as JSON, in OpenAI's format and without the system prompt.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import orjson

from langchain_finetune.content import INSTRUCTIONS, entries, mapping
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.display.text import indented_json
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.run_views import model_of, run_of, with_empty_answer
from langchain_finetune.sessions import UNKNOWN_FORMAT, FineTuningSession, Skip, wire_messages

MAX_MODELS = 3

SETTINGS = {"temperature": float, "max_tokens": int, "seed": int}
"""Numeric fields of the form; empty ones are left to the engine."""

_NUMBER_ERRORS = {float: "Enter a number.", int: "Enter a whole number."}
_REQUEST_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal")
_KEPT_FIELDS = (*_REQUEST_FIELDS, "reasoning_content")
_TOOLS_ERROR = 'Enter a JSON list of tools, such as [{"type": "function", "function": {...}}].'
_FORMAT_ERROR = 'Enter a JSON object, such as {"type": "json_object"}.'
_TRAINED_LINES = 200
"""How many lines of a training file say how a model was trained."""

_UNANSWERED = frozenset({"errored_run", "pending_run", "no_answer"})
"""Codes of skipped runs whose request can still be read."""


@dataclass(eq=False)
class Column:
    """A model and its conversation; the name of the model is empty if the column is unused.

    `results` are those of the open tool calls as typed, in their order; `error` says why the model
    has not answered, `note` is a remark on the last answer.
    """

    model: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    error: str = ""
    note: str = ""

    @property
    def open_calls(self) -> list[dict[str, Any]]:
        """Tool calls of the last message, which have no results yet."""
        return list(self.messages[-1].get("tool_calls") or []) if self.messages else []

    @property
    def awaits_answer(self) -> bool:
        """Whether the model has to answer the last message."""
        return bool(self.messages) and self.messages[-1].get("role") != "assistant"

    @property
    def as_json(self) -> str:
        """The conversation as a field of the form."""
        return json.dumps(self.messages, ensure_ascii=False) if self.messages else ""


@dataclass
class Playground:
    """State of the playground, with `MAX_MODELS` columns; tools, format and settings are as typed.

    `message` is the next user message; `errors` are by field, "" is the whole form. `original` is
    what followed the question in the run that is asked again, `history` how many messages came
    before it, and `trained` the model whose training the system prompt, tools and format are of.
    """

    columns: list[Column]
    system: str = ""
    tools: str = ""
    response_format: str = ""
    message: str = ""
    settings: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SETTINGS, ""))
    errors: dict[str, str] = field(default_factory=dict)
    original: Column = field(default_factory=Column)
    history: int = 0
    trained: str = ""

    def clear(self) -> None:
        """Start over with the same models, system prompt, tools, format and settings."""
        self.original, self.history = Column(), 0
        for column in self.columns:
            column.messages, column.results = [], []

    def submit(self) -> list[Column]:
        """Append the typed messages to the conversations; return those that await an answer.

        If the form has errors, nothing changes, and `errors` and the columns report them.
        """
        self._tools()
        self._response_format()
        self._numbers()
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
        waiting = [column for column in used if column.awaits_answer]
        if not waiting:
            self.errors["message"] = "Write a message first."
        else:
            self.message = ""
        return waiting

    def request(self, column: Column) -> dict[str, Any]:
        """Return the chat completion request of a column, after `submit`."""
        system = [{"role": "system", "content": self.system}] if self.system.strip() else []
        tools, answer_format, numbers = self._tools(), self._response_format(), self._numbers()
        if "max_tokens" in numbers:
            numbers["max_completion_tokens"] = numbers.pop("max_tokens")
        return {
            "model": column.model,
            "messages": system + [_request_message(message) for message in column.messages],
            **({"tools": tools} if tools else {}),
            **({"response_format": answer_format} if answer_format else {}),
            **numbers,
        }

    def _tools(self) -> list[Any]:
        tools = self._json("tools")
        if isinstance(tools, list) and all(isinstance(each, dict) for each in tools):
            return tools
        if tools is not None:
            self.errors["tools"] = _TOOLS_ERROR
        return []

    def _response_format(self) -> dict[str, Any]:
        found = self._json("response_format")
        if isinstance(found, dict):
            return found
        if found is not None:
            self.errors["response_format"] = _FORMAT_ERROR
        return {}

    def _json(self, name: str) -> Any:
        """Return the JSON in a field, or None if it is empty or invalid."""
        text = getattr(self, name)
        try:
            return orjson.loads(text) if text.strip() else None
        except orjson.JSONDecodeError as error:
            self.errors[name] = f"This is not valid JSON: {error}."
            return None

    def _numbers(self) -> dict[str, Any]:
        numbers: dict[str, Any] = {}
        for name, number_type in SETTINGS.items():
            if not self.settings[name]:
                continue
            try:
                number = number_type(self.settings[name])
                is_valid = math.isfinite(number)
            except (ValueError, OverflowError):
                is_valid = False
            if is_valid:
                numbers[name] = number
            else:
                self.errors[name] = _NUMBER_ERRORS[number_type]
        return numbers


def read_playground(form: Mapping[str, Sequence[str]]) -> Playground:
    """Return the state that a form contains, from the values of each field.

    Raises:
        ApiError: 400 if a conversation is malformed, which the page itself never sends.
    """

    def value(name: str, number: int = 0) -> str:
        values = form.get(name, [])
        return _unix_lines(values[number]) if number < len(values) else ""

    columns = [
        Column(
            value("model", number).strip(),
            _conversation(value("conversation", number)),
            list(form.get(f"result-{number}", [])),
        )
        for number in range(MAX_MODELS)
    ]
    return Playground(
        columns,
        system=value("system"),
        tools=value("tools"),
        response_format=value("response_format"),
        message=value("message"),
        settings={name: value(name).strip() for name in SETTINGS},
        original=Column(value("original_model"), _conversation(value("original"))),
        # Python refuses to read thousands of digits.
        history=int(value("history")) if re.fullmatch(r"\d{1,9}", value("history")) else 0,
    )


def append_answer(column: Column, body: Mapping[str, Any]) -> None:
    """Append the answer of a chat completion to a conversation."""
    choice = body["choices"][0]
    message = {name: choice["message"].get(name) for name in _KEPT_FIELDS}
    column.messages.append({name: value for name, value in message.items() if value is not None})
    if choice.get("finish_reason") == "length":
        column.note = "The answer was cut off at the token limit."


def _request_message(message: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: message[name] for name in _REQUEST_FIELDS if message.get(name) is not None}
    # A model's answer may be empty; only tool calls are valid without content.
    return fields if "tool_calls" in fields else {"content": "", **fields}


def _replies(column: Column, message: str) -> list[dict[str, Any]]:
    replies: list[dict[str, Any]] = []
    calls, results = column.open_calls, column.results
    if any(text.strip() for text in results) or (calls and message.strip()):
        for number, call in enumerate(calls):
            text = _unix_lines(results[number]) if number < len(results) else ""
            if not text.strip():
                name = call["function"].get("name") or "the tool"
                column.error = f"Enter the result of {name}."
                return []
            replies.append({"role": "tool", "tool_call_id": call.get("id"), "content": text})
    if message.strip():
        replies.append({"role": "user", "content": message})
    return replies


def _conversation(text: str) -> list[dict[str, Any]]:
    if not text.strip():
        return []
    try:
        # Stricter than the standard library: only JSON that can be sent again.
        messages = orjson.loads(text)
    except orjson.JSONDecodeError:
        messages = None
    if not isinstance(messages, list) or not all(_is_message(each) for each in messages):
        raise ApiError(400, "A conversation must be a JSON list of messages.", param="conversation")
    return messages


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    calls = value.get("tool_calls") or []
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls
    )


def _unix_lines(text: str) -> str:
    """Return a text as it was typed: forms send line breaks as CR LF."""
    return text.replace("\r\n", "\n")


def playground_of_run(row: Mapping[str, Any], models: Sequence[str], *, exact: bool) -> Playground:
    """Return a playground that opens at the last question of a run, not yet sent.

    Args:
        row: The model call that gave the answer.
        models: Whom to ask.
        exact: Ask with the request of this very call, which may end with results of tools; by
            default all that followed the last question is shown as the original answer.

    Raises:
        ApiError: 400 if the run does not contain a chat.
    """
    session = _session_of(run_of(row))
    *messages, answer = wire_messages(session)
    original = [answer] if answer["content"] or answer.get("tool_calls") else []
    asked = [place for place, each in enumerate(messages) if each["role"] == "user"]
    if asked and not exact:
        original = [*messages[asked[-1] + 1 :], *original]
        del messages[asked[-1] + 1 :]
    system = message = ""
    first = messages[0] if messages else {"role": ""}
    if first["role"] in {"system", "developer"} and isinstance(first["content"], str):
        system = messages.pop(0)["content"]
    history = max((n for n, each in enumerate(messages) if each["role"] == "user"), default=0)
    if messages and messages[-1]["role"] == "user" and isinstance(messages[-1]["content"], str):
        message = messages.pop()["content"]
    answer_format = session.get("response_format")
    return Playground(
        [Column(model, deepcopy(messages)) for model in models],
        system=system,
        tools=_indented(session.get("tools")),
        response_format=_indented(answer_format if answer_format != UNKNOWN_FORMAT else None),
        message=message,
        original=Column(model_of(row), original),
        history=history,
    )


def playground_of_training(
    lines: Iterable[bytes], trained: str, models: Sequence[str]
) -> Playground:
    """Return a playground with the most frequent system prompt, tools and format of a training.

    Args:
        lines: Lines of the training file, of which the first are read.
        trained: The model that was trained on it.
        models: Whom to ask.
    """
    found = [Counter[str]() for _ in range(3)]
    for line in islice(lines, _TRAINED_LINES):
        given = mapping(orjson.loads(line))
        # A preference has its request one level lower.
        request = mapping(given.get("input", given))
        prompts = [
            each["content"]
            for each in map(mapping, entries(request.get("messages"))[:1])
            if each.get("role") in INSTRUCTIONS and isinstance(each.get("content"), str)
        ]
        texts = (
            "".join(prompts),
            _indented(request.get("tools")),
            _indented(request.get("response_format")),
        )
        for counter, text in zip(found, texts, strict=True):
            counter[text] += 1
    system, tools, answer_format = (
        counter.most_common(1)[0][0] if counter else "" for counter in found
    )
    return Playground(
        list(map(Column, models)),
        system=system,
        tools=tools,
        response_format=answer_format,
        trained=trained,
    )


def _indented(value: Any) -> str:
    return indented_json(value) if value else ""


def _session_of(run: dict[str, Any]) -> FineTuningSession:
    skips: list[Skip] = []
    for attempt in (run, with_empty_answer(run)):
        for session in readable(str(run["id"]), partial(read_run, attempt), skips.append):
            return session
        if skips[-1].code not in _UNANSWERED:
            break
    reason = skips[-1].reason.rstrip(".")
    raise ApiError(400, f"The playground cannot open this run: {reason} ({skips[-1].code}).")
