"""What a model reads, and the form that its answer must have. Importing this brings torch."""

from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from llguidance import LLMatcher

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.chat_template import (
    RenderingError,
    render,
    supports_developer,
    to_template_input,
)
from langchain_finetune.local.serving.chat.request import ChatRequest
from langchain_finetune.local.serving.loading import LoadedModel
from langchain_finetune.local.serving.request_fields import Sampling, invalid, unsupported
from langchain_finetune.local.serving.response_format import Shape
from langchain_finetune.local.serving.structured.grammar import compile_shape
from langchain_finetune.local.serving.structured.token_budget import Closer

DEFAULT_MAX_TOKENS = 1024
"""Most tokens of an answer, where the request does not say."""


@dataclass(frozen=True)
class Grammar:
    """The form that an answer must have.

    Attributes:
        start: Tells which tokens may come next; a copy of it follows each answer.
        closer: Ends an answer in time.
    """

    start: LLMatcher
    closer: Closer


@dataclass(frozen=True)
class Prompt:
    """A rendered request.

    Attributes:
        text: What the model reads.
        inputs: The same as tensors.
        length: How many tokens that is.
        room: How many tokens the answer may have.
        tools: What may be called.
        calls: Calls are looked for in the answer.
        grammar: The form of the answer; None for any text.
    """

    text: str
    inputs: dict[str, Any]
    length: int
    room: int
    tools: list[dict[str, Any]]
    calls: bool
    grammar: Grammar | None


def compile_grammar(loaded: LoadedModel, shape: Shape) -> Grammar:
    """Prepare the form of an answer for a model; may take a second, so call it in a thread.

    Raises:
        ApiError: 400; a schema can't be enforced, or the model's calls can't be read.
    """
    if shape.tools and loaded.response_template is None:
        raise unsupported("tool_choice", "this engine does not know how this model writes calls")
    start = compile_shape(shape, loaded.frame, loaded.vocabulary, loaded.special)
    return Grammar(start, Closer(loaded.vocabulary, start, loaded.ends))


def render_chat(loaded: LoadedModel, request: ChatRequest, grammar: Grammar | None) -> Prompt:
    """Render a chat for a model.

    Raises:
        ApiError: 400; a message can't be rendered, the prompt is too long
            (`context_length_exceeded`), or a token with a bias is none of the model's.
    """
    tokenizer = loaded.tokenizer
    try:
        given = to_template_input(
            request.body, keep_developer=supports_developer(tokenizer.chat_template)
        )
        text = render(tokenizer, given, add_generation_prompt=True)
    except RenderingError as error:
        raise ApiError(
            400,
            f"Message {error.index}: {error.message}",
            code="invalid_value",
            param=f"messages[{error.index}]",
        ) from error
    except (TemplateError, ValueError) as error:
        raise ApiError(
            400,
            "The model's chat template does not take such a chat.",
            code="invalid_value",
            param="messages",
        ) from error
    if grammar and not (request.shape and request.shape.free):
        # What the template writes before any answer, such as an empty thought.
        text += loaded.frame.opening
    encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
    inputs = dict(encoded)
    inputs.pop("token_type_ids", None)
    return _prompt(
        loaded,
        text,
        inputs,
        request.sampling,
        tools=given.tools,
        calls=request.calls,
        grammar=grammar,
        param="messages",
    )


def encode_text(loaded: LoadedModel, given: str | list[int], sampling: Sampling) -> Prompt:
    """Take a text, or its tokens, as it is.

    Args:
        loaded: The model.
        given: The text or its tokens.
        sampling: How the answer is drawn; it says how long that may be.

    Raises:
        ApiError: 400; it is too long (`context_length_exceeded`), or no such tokens exist.
    """
    if isinstance(given, str):
        tokens = loaded.tokenizer(given, verbose=False)["input_ids"]
    else:
        tokens = given
    if not tokens or not all(0 <= token < len(loaded.tokenizer) for token in tokens):
        raise invalid("prompt", "must have one token at least, and none that the model lacks")
    ids = torch.tensor([tokens])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    text = given if isinstance(given, str) else loaded.tokenizer.decode(given)
    return _prompt(
        loaded,
        text,
        inputs,
        sampling,
        tools=[],
        calls=False,
        grammar=None,
        param="prompt",
    )


def _prompt(
    loaded: LoadedModel,
    text: str,
    inputs: dict[str, Any],
    sampling: Sampling,
    *,
    tools: list[dict[str, Any]],
    calls: bool,
    grammar: Grammar | None,
    param: str,
) -> Prompt:
    if any(token >= len(loaded.tokenizer) for token in sampling.logit_bias):
        raise invalid("logit_bias", "must have no token that the model lacks")
    length = inputs["input_ids"].shape[-1]
    asked = sampling.max_tokens or DEFAULT_MAX_TOKENS
    room = asked if loaded.context is None else min(asked, loaded.context - length)
    if room < 1:
        raise ApiError(
            400,
            f"This model's maximum context length is {loaded.context} tokens. "
            f"However, your {param} resulted in {length} tokens.",
            code="context_length_exceeded",
            param=param,
        )
    on_device = {name: tensor.to(loaded.model.device) for name, tensor in inputs.items()}
    return Prompt(text, on_device, length, room, tools, calls, grammar)
