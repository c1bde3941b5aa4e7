"""Reads a chat completion request; what can't be done is refused, never left out in silence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.convert.checks import LOCAL, check_example, errors_of
from langchain_finetune.local.api_error import ApiError

_NOT_FOR_REQUESTS = {
    # These rules are about what is learnt; a request has its answer still to come, and its history
    # is what it is.
    "arguments_against_schema",
    "duplicate_call_id",
    "empty_target",
    "example_too_large",
    "no_assistant_message",
    "no_final_answer",
    "no_target",
    "special_token",
    "tool_not_offered",
    "unanswered_tool_call",
    "unasked_tool_result",
}

_WITHOUT_EFFECT = frozenset(
    {
        # They change nothing about the answer.
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)

_ONLY: Mapping[str, tuple[Any, ...]] = {
    # Fields that this engine can't carry out, with the values that ask for nothing special.
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}

_READ = frozenset(
    {
        "functions",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tools",
        "top_p",
    }
)

MAX_STOPS = 4
"""Most stop strings of a request (OpenAI's API reference)."""


@dataclass(frozen=True)
class ChatRequest:
    """A request that can be carried out.

    Attributes:
        model: Name of the model.
        body: The request itself, for its messages and tools.
        legacy: It offers `functions`, so calls are answered in that form.
        calls: Tool calls may be made.
        parallel: More than one tool call may be made.
        stream: Answer piece by piece.
        include_usage: End the stream with a chunk about the tokens used.
        max_tokens: Most tokens of the answer; None for the engine's own limit.
        temperature: 0 for the likeliest token; None for what the model's makers advise.
        top_p: Share of likeliest tokens to draw from; None as above.
        seed: Start of the random numbers.
        stop: Strings that end the answer.
    """

    model: str
    body: Mapping[str, Any]
    legacy: bool
    calls: bool
    parallel: bool
    stream: bool
    include_usage: bool
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: tuple[str, ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "ChatRequest":
        """Check a request's body.

        Raises:
            ApiError: 400; the field is malformed, unknown, or asks for what is not supported.
        """
        given = {name: value for name, value in body.items() if value is not None}
        _check_names(given)
        _check_messages(given)
        stream = _take(given, "stream", bool) or False
        options = _take(given, "stream_options", dict) or {}
        if options and not stream:
            raise _invalid("stream_options", "is for streams only")
        choices = {given.get("tool_choice"), given.get("function_call")}
        offered = not given.get("tools") and bool(given.get("functions"))
        calls = "none" not in choices
        without = {"tools", "functions"} if not calls else set()
        return cls(
            model=_take(given, "model", str) or "",
            body={name: value for name, value in given.items() if name not in without},
            legacy=offered,
            calls=calls,
            parallel=_take(given, "parallel_tool_calls", bool) is not False,
            stream=stream,
            include_usage=bool(options.get("include_usage")),
            max_tokens=_max_tokens(given),
            temperature=_number(given, "temperature", lambda value: 0 <= value <= 2),  # noqa: PLR2004
            top_p=_number(given, "top_p", lambda value: 0 < value <= 1),
            seed=_take(given, "seed", int),
            stop=_stop(given),
        )


def _check_names(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in _ONLY:
            if value not in _ONLY[name]:
                raise ApiError(
                    400,
                    f"This engine does not support this value of '{name}'.",
                    code="unsupported_value",
                    param=name,
                )
        elif name not in _READ and name not in _WITHOUT_EFFECT:
            raise ApiError(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )


def _check_messages(given: Mapping[str, Any]) -> None:
    for finding in errors_of(check_example(given, LOCAL)):
        if finding.code not in _NOT_FOR_REQUESTS:
            place = "" if finding.index is None else f"Message {finding.index}: "
            param = "messages" if finding.index is None else f"messages[{finding.index}]"
            raise ApiError(400, place + finding.message, code=finding.code, param=param)


def _take(given: Mapping[str, Any], name: str, kind: type) -> Any:
    value = given.get(name)
    # A bool is an int to Python, and none to anybody else.
    if value is not None and (not isinstance(value, kind) or (kind is int and value is True)):
        raise _invalid(name, f"must be of type {kind.__name__}")
    return value


def _number(given: Mapping[str, Any], name: str, is_valid: Callable[[float], bool]) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_valid(value):
        raise _invalid(name, "is outside of its range")
    return float(value)


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value: int | None = _take(given, name, int)
        if value is not None:
            if value < 1:
                raise _invalid(name, "must be 1 at least")
            return value
    return None


def _stop(given: Mapping[str, Any]) -> tuple[str, ...]:
    stop = given.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(text, str) and text for text in stop):
        raise _invalid("stop", "must be a string or a list of strings")
    if len(stop) > MAX_STOPS:
        raise _invalid("stop", f"takes at most {MAX_STOPS} strings")
    return tuple(stop)


def _invalid(name: str, fault: str) -> ApiError:
    return ApiError(400, f"'{name}' {fault}.", code="invalid_value", param=name)
