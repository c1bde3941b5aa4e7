"""Reads a chat completion request; what can't be done is refused, never left out in silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.checks import LOCAL, check_example, errors_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.request_fields import (
    RequestFields,
    Sampling,
    fields_given,
    invalid,
    missing,
    read_sampling,
    take,
    take_integer,
    take_max_tokens,
)
from langchain_finetune.local.serving.response_format import Shape, read_shape, read_tool_choice

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

WITHOUT_EFFECT = frozenset(
    {
        # They change nothing about the answer. A prediction makes OpenAI's servers faster.
        "metadata",
        "prediction",
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
    "modalities": (["text"],),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}

_READ = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
    }
)

_STREAM_OPTIONS = frozenset({"include_obfuscation", "include_usage"})

MAX_CHOICES = 128
"""Most answers of a request (OpenAI's API reference)."""

MAX_TOP_LOGPROBS = 20
"""Most alternatives of a token (OpenAI's API reference)."""


@dataclass(frozen=True)
class ChatRequest:
    """A request that can be carried out.

    Attributes:
        model: Name of the model.
        body: The request itself, for its messages and tools.
        legacy: It offers `functions`, so calls are answered in that form.
        calls: Tool calls may be made.
        parallel: More than one tool call may be made.
        named: A single tool had to be called, by its name.
        shape: The form that the answer must have; None for any text.
        stream: Answer piece by piece.
        include_usage: End the stream with a chunk about the tokens used.
        n: How many answers.
        sampling: How tokens are drawn.
    """

    model: str
    body: Mapping[str, Any]
    legacy: bool
    calls: bool
    parallel: bool
    named: bool
    shape: Shape | None
    stream: bool
    include_usage: bool
    n: int
    sampling: Sampling

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "ChatRequest":
        """Check a request's body.

        Raises:
            ApiError: 400; the field is malformed, unknown, or asks for what is not supported.
        """
        given = fields_given(body, known=_READ | WITHOUT_EFFECT, only=_ONLY)
        _check_messages(given)
        stream, include_usage = read_stream(given)
        choice = read_tool_choice(given)
        parallel = take(given, "parallel_tool_calls", bool) is not False
        legacy = not given.get("tools") and bool(given.get("functions"))
        shape = read_shape(given, choice, parallel=parallel and not legacy and not choice.named)
        sampling = _sampling(given)
        if sampling.stop and shape and not shape.free:
            # It would cut the JSON in two.
            raise invalid("stop", "can't be combined with a response format or a forced tool")
        without = {"tools", "functions"} if choice.mode == "none" else set()
        return cls(
            model=take(given, "model", str) or "",
            body={name: value for name, value in given.items() if name not in without},
            legacy=legacy,
            calls=choice.mode != "none" and (shape is None or bool(shape.tools)),
            parallel=parallel,
            named=choice.named,
            shape=shape,
            stream=stream,
            include_usage=include_usage,
            n=take_integer(given, "n", 1, MAX_CHOICES) or 1,
            sampling=sampling,
        )


def read_stream(given: RequestFields) -> tuple[bool, bool]:
    """Return whether the answer is a stream, and whether that ends with the tokens used.

    Raises:
        ApiError: 400; the fields are malformed or contradict each other.
    """
    stream = take(given, "stream", bool) or False
    options = take(given, "stream_options", dict) or {}
    if options and not stream:
        raise invalid("stream_options", "is for streams only")
    for name in options:
        if name not in _STREAM_OPTIONS:
            raise ApiError(
                400,
                f"Unknown parameter: 'stream_options.{name}'.",
                code="unknown_parameter",
                param=f"stream_options.{name}",
            )
    return stream, take(options, "include_usage", bool) or False


def _sampling(given: RequestFields) -> Sampling:
    top = take_integer(given, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    wanted = take(given, "logprobs", bool)
    if top and not wanted:
        raise invalid("top_logprobs", "needs 'logprobs' to be true")
    return read_sampling(
        given,
        max_tokens=take_max_tokens(given, "max_completion_tokens", "max_tokens"),
        logprobs=(top or 0) if wanted else None,
    )


def _check_messages(given: RequestFields) -> None:
    if "messages" not in given:
        raise missing("messages")
    for finding in errors_of(check_example(given, LOCAL)):
        if finding.code not in _NOT_FOR_REQUESTS:
            place = "" if finding.index is None else f"Message {finding.index}: "
            param = "messages" if finding.index is None else f"messages[{finding.index}]"
            raise ApiError(400, place + finding.message, code=finding.code, param=param)
