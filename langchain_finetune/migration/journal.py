"""The journal of a recording, its answers and their usage.

A line is appended, and on the disk, before a request is sent, and one when its outcome is known:
`{"event": "asked", "prompt": ..., "number": 0, "at": ..., "stored": true}`, then `answered` with
the completion, `failed` with a reason, `free` (it was not carried out) or `unknown`.
"""

import os
import threading
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from langchain_finetune.content import mapping
from langchain_finetune.durable import flush
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.private_files import open_private
from langchain_finetune.tolerant_json import dumps

Key = tuple[str, int]
"""A prompt's id and the number of its answer: 0 at temperature 0, then those of the app's."""


class AnswerUsage(BaseModel):
    """Tokens that the model's provider counted.

    Attributes:
        prompt_tokens: Of the prompts.
        cached_tokens: Those of them that the provider had cached.
        completion_tokens: Of the answers.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, completion: Any) -> "AnswerUsage":
        """Return the sum with the usage of a chat completion."""
        usage = mapping(mapping(completion).get("usage"))
        cached = mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
        return AnswerUsage(
            prompt_tokens=self.prompt_tokens + _whole(usage.get("prompt_tokens")),
            cached_tokens=self.cached_tokens + _whole(cached),
            completion_tokens=self.completion_tokens + _whole(usage.get("completion_tokens")),
        )

    def cost(self, price: InferencePrice | None) -> float | None:
        """Return the cost in USD, or None if the price is not known."""
        if price is None:
            return None
        return price.cost(self.prompt_tokens, self.completion_tokens, self.cached_tokens)


def _whole(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


class _Function(BaseModel):
    name: str
    arguments: str | dict[str, Any]


class _ToolCall(BaseModel):
    function: _Function


class _CustomCall(BaseModel):
    custom: dict[str, Any]


class _Message(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall | _CustomCall] | None = None
    function_call: _Function | None = None


class _Choice(BaseModel):
    message: _Message | None = None


class _Completion(BaseModel):
    choices: list[_Choice]


def is_completion(data: Any) -> bool:
    """Return whether data of a server is a chat completion; it may have no choice, or an empty one.

    Example:
        >>> is_completion({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]})
        True
        >>> is_completion({"choices": None}), is_completion({"choices": [{"message": {"role": 5}}]})
        (False, False)
    """
    try:
        _Completion.model_validate(data, strict=True)
    except ValidationError:
        return False
    return True


@dataclass(frozen=True)
class RecordedAnswer:
    """One answer of the model.

    Attributes:
        prompt_id: The prompt.
        number: 0 at temperature 0; from 1 those at the app's own temperature.
        completion: The chat completion, as the server gave it.
        seconds: From the request to the whole answer; None if it was looked up later.
    """

    prompt_id: str
    number: int
    completion: dict[str, Any]
    seconds: float | None

    @property
    def choice(self) -> Any:
        """Its first choice; empty if there is none."""
        choices = self.completion.get("choices")
        return mapping(choices[0]) if isinstance(choices, list) and choices else {}

    @property
    def message(self) -> dict[str, Any]:
        """Its message, as it appears in a training line: without fields that are empty."""
        kept = ("refusal", "tool_calls", "function_call")
        found = mapping(self.choice.get("message"))
        said = {name: found[name] for name in kept if found.get(name)}
        return {"role": "assistant", "content": found.get("content"), **said}

    @property
    def cut_off(self) -> str | None:
        """Why it is not training data: `length`, `content_filter`, `empty`; or None."""
        reason = self.choice.get("finish_reason")
        if reason in {"length", "content_filter"}:
            return str(reason)
        message = mapping(self.choice.get("message"))
        said = any(message.get(name) for name in ("content", "refusal", "tool_calls"))
        return None if said or message.get("function_call") else "empty"


@dataclass
class AnswerJournal:
    """The journal of answers. Each event is on the disk when `add` returns.

    Attributes:
        path: Its file.
        writes: Whether events are added; if not, the file is only read.
        answered: Answers by prompt and number.
        failed: Code of each answer that the server refused for good, and whether asking again may
            help.
        open: When an answer was asked for whose outcome is not known, in seconds since 1970.
        stored: Answers that the server was asked to store, the newest last.
        unknown: Answers that may have been paid for and can't be had.
        usage: Tokens of the answers.
    """

    path: Path
    writes: bool = True
    answered: dict[Key, RecordedAnswer] = field(default_factory=dict)
    failed: dict[Key, tuple[str, bool]] = field(default_factory=dict)
    open: dict[Key, float] = field(default_factory=dict)
    stored: dict[Key, None] = field(default_factory=dict)
    unknown: set[Key] = field(default_factory=set)
    usage: AnswerUsage = field(default_factory=AnswerUsage)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file = (
            FileIO(open_private(self.path), "r+b") if self.writes else FileIO(self.path, "rb")
        )
        content = self._file.readall() or b""
        # A process that died while it wrote leaves a line without its end.
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._note(orjson.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                self.close()
                raise FineTuningError(
                    f"{self.path} is damaged in line {number}. Its answers were paid for: repair "
                    "the line, or remove it."
                ) from error
        if not self.writes:
            self._file.close()
            return
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        self._file.seek(0, os.SEEK_END)
        flush(self.path.parent)

    @property
    def begun(self) -> bool:
        """Whether an answer was asked for, other than one that was not carried out."""
        return bool(self.answered or self.failed or self.open or self.unknown)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def add(self, event: Literal["asked", "answered", "failed", "free", "unknown"], key: Key,
            **fields: Any) -> None:  # fmt: skip
        """Append an event; `free`: it is known that a request was not carried out.

        Raises:
            OSError: It can't be written, such as on a full disk.
        """
        data = {"event": event, "prompt": key[0], "number": key[1], **fields}
        line = dumps(data, orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            end = self._file.tell()
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.seek(end)
                self._file.truncate(end)
                raise
            self._note(orjson.loads(line))

    def _note(self, data: dict[str, Any]) -> None:
        key = (str(data["prompt"]), int(data["number"]))
        self.open.pop(key, None)
        self.unknown.discard(key)
        self.failed.pop(key, None)
        match data["event"]:
            case "asked":
                self.open[key] = float(data["at"])
                self.stored.pop(key, None)
                if data["stored"]:
                    self.stored[key] = None
            case "answered":
                completion = dict(data["completion"])
                self.answered[key] = RecordedAnswer(*key, completion, data.get("seconds"))
                self.usage = self.usage.plus(completion)
            case "failed":
                self.failed[key] = (str(data["code"]), bool(data["may_pass"]))
            case "unknown":
                self.unknown.add(key)
            case "free":
                pass
            case _:
                raise ValueError("An unknown event.")
