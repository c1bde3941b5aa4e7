"""Reads a request of the older Completions API: text that a model goes on with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.serving.chat.request import MAX_CHOICES, read_stream
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
    take_required,
)

DEFAULT_MAX_TOKENS = 16
"""Most tokens of a completion, where the request does not say (OpenAI's API reference)."""

MAX_LOGPROBS = 5
"""Most alternatives of a token (OpenAI's API reference)."""

_ONLY: Mapping[str, tuple[Any, ...]] = {
    # Fields that this engine can't carry out, with the values that ask for nothing special.
    "suffix": ("",),
}

_KNOWN = frozenset(
    {
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "user",
    }
)

PromptText = str | list[int]


@dataclass(frozen=True)
class CompletionRequest:
    """A request that can be carried out.

    Attributes:
        model: Name of the model.
        prompts: Each a text, or its tokens; every one has `n` answers.
        echo: The prompt comes back before the answer.
        stream: Answer piece by piece.
        include_usage: End the stream with a chunk about the tokens used.
        n: How many answers to each prompt.
        sampling: How tokens are drawn.
    """

    model: str
    prompts: tuple[PromptText, ...]
    echo: bool
    stream: bool
    include_usage: bool
    n: int
    sampling: Sampling

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "CompletionRequest":
        """Check a request's body.

        Raises:
            ApiError: 400; the field is malformed, unknown, or asks for what is not supported.
        """
        given = fields_given(body, known=_KNOWN, only=_ONLY)
        stream, include_usage = read_stream(given)
        prompts = _prompts(given)
        n = take_integer(given, "n", 1, MAX_CHOICES) or 1
        if len(prompts) * n > MAX_CHOICES:
            raise invalid("prompt", f"and 'n' ask for more than {MAX_CHOICES} answers")
        best_of = take_integer(given, "best_of", 1, MAX_CHOICES)
        if best_of not in {None, n}:
            raise invalid("best_of", "can't be other than 'n' here")
        echo = take(given, "echo", bool) or False
        logprobs = take_integer(given, "logprobs", 0, MAX_LOGPROBS)
        if echo and logprobs is not None:
            raise invalid("echo", "can't be combined with 'logprobs' here")
        return cls(
            model=take_required(given, "model", str),
            prompts=prompts,
            echo=echo,
            stream=stream,
            include_usage=include_usage,
            n=n,
            sampling=read_sampling(
                given,
                max_tokens=take_max_tokens(given, "max_tokens") or DEFAULT_MAX_TOKENS,
                logprobs=logprobs,
            ),
        )


def _prompts(given: RequestFields) -> tuple[PromptText, ...]:
    prompt = given.get("prompt")
    if prompt is None:
        raise missing("prompt")
    if isinstance(prompt, str) or _is_tokens(prompt):
        prompt = [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise invalid("prompt", "must be text, tokens, or a list of one of them")
    if not all((isinstance(each, str) and each) or _is_tokens(each) for each in prompt):
        raise invalid("prompt", "must be text, tokens, or a list of one of them")
    return tuple(prompt)


def _is_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    )
