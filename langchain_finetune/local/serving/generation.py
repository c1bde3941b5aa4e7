"""Loads models and lets them write, on the parts of transformers' own server.

Importing this module takes seconds: it brings torch and transformers.
"""

import logging
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.cli.serving.utils import (
    GenerateManager,
    ReasoningText,
    ToolCall,
    _StreamError,
    get_response_template,
)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import (
    SMALL_MODEL,
    device,
    has_fast_bfloat16,
    serving_threads,
)
from langchain_finetune.local.rendering import (
    RenderingError,
    knows_developer,
    render,
    to_template_input,
)
from langchain_finetune.local.serving.parsing import LenientParser
from langchain_finetune.local.serving.request import ChatRequest
from langchain_finetune.local.serving.text import TextFilter
from langchain_finetune.local.serving.wire import Call, End, Piece, Reasoning, Text

logger = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 1024
"""Most tokens of an answer, where the request does not say."""

# transformers' server logs requests; prompts and answers must not come near a log.
set_verbosity_error()
disable_progress_bar()


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: The model itself.
        tokenizer: Its tokenizer.
        response_template: How it writes tool calls; None where nobody knows.
        context: Most tokens of prompt and answer together; None for no limit.
        parameters: Its size.
    """

    model: Any
    tokenizer: Any
    response_template: dict[str, Any] | None
    context: int | None
    parameters: int


@dataclass(frozen=True)
class Prompt:
    """A rendered request.

    Attributes:
        text: What the model reads.
        inputs: The same as tensors.
        length: How many tokens that is.
        room: How many tokens the answer may have.
        tools: What may be called.
    """

    text: str
    inputs: dict[str, Any]
    length: int
    room: int
    tools: list[dict[str, Any]]


def make_manager() -> GenerateManager:
    """Return what runs the models, one answer after the other on a thread of its own."""
    return GenerateManager()


def load(folder: Path) -> LoadedModel:
    """Load a model from a local folder: safetensors only, and no code of its own.

    Raises:
        ApiError: 500 with the code `model_not_loadable`.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError) as error:
        logger.warning("A model folder could not be loaded: %s", type(error).__name__)
        raise ApiError(
            500, "The model's folder can't be loaded.", code="model_not_loadable", param="model"
        ) from error
    parameters = model.num_parameters()
    if device() == "cpu":
        # Tiny models are no faster in 16 bits, and a CPU may have to emulate those.
        half = parameters >= SMALL_MODEL and has_fast_bfloat16()
        model = model.to(torch.bfloat16 if half else torch.float32)
    return LoadedModel(
        model=model.to(device()).eval(),
        tokenizer=tokenizer,
        response_template=get_response_template(tokenizer, model),
        context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        parameters=parameters,
    )


def prepare(loaded: LoadedModel, request: ChatRequest) -> Prompt:
    """Render a request for a model.

    Raises:
        ApiError: 400; a message can't be rendered, or the prompt is too long
            (`context_length_exceeded`).
    """
    tokenizer = loaded.tokenizer
    try:
        given = to_template_input(
            request.body, keep_developer=knows_developer(tokenizer.chat_template)
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
    encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
    length = encoded["input_ids"].shape[-1]
    asked = request.max_tokens or DEFAULT_MAX_TOKENS
    room = asked if loaded.context is None else min(asked, loaded.context - length)
    if room < 1:
        raise ApiError(
            400,
            f"This model's context is {loaded.context} tokens; the messages have {length}.",
            code="context_length_exceeded",
            param="messages",
        )
    inputs = {name: encoded[name].to(loaded.model.device) for name in encoded}
    inputs.pop("token_type_ids", None)
    return Prompt(text, inputs, length, room, given.tools)


async def write(
    manager: GenerateManager, loaded: LoadedModel, request: ChatRequest, prompt: Prompt
) -> AsyncGenerator[Piece]:
    """Let a model write, and yield the pieces of its answer; the last one is an `End`.

    Closing the iterator stops the model.

    Raises:
        ApiError: 500; the model broke off.
    """
    template = loaded.response_template if request.calls else None
    parser = template and LenientParser(
        template,
        prefix=prompt.text,
        tools=prompt.tools,
        special=loaded.tokenizer.all_special_tokens,
    )
    # The manager works its queue off on one thread, so these two hold for the answer behind them.
    manager.submit(torch.set_num_threads, serving_threads(loaded.parameters))
    if request.seed is not None:
        manager.submit(torch.manual_seed, request.seed)
    queue, streamer = manager.generate_streaming(
        loaded.model,
        loaded.tokenizer,
        prompt.inputs,
        _generation_config(loaded, request, prompt.room),
        request_id=secrets.token_hex(4),
        response_parser=parser,
    )
    text = TextFilter(request.stop)
    calls = 0
    try:
        while (item := await queue.get()) is not None and not text.stopped:
            if isinstance(item, _StreamError):
                # What it says may quote the chat.
                logger.error("A model broke off while it was answering")
                raise ApiError(500, "The model broke off.", code="generation_failed")
            if isinstance(item, ToolCall):
                if shown := text.end():
                    yield Text(shown)
                yield Call(item.name, item.arguments)
                calls += 1
                if request.legacy or not request.parallel:
                    break
            elif isinstance(item, ReasoningText):
                yield Reasoning(item)
            elif shown := text.feed(item):
                yield Text(shown)
        if shown := text.end():
            yield Text(shown)
        cut = streamer.total_tokens >= prompt.room and not text.stopped
        yield End(
            "tool_calls" if calls else "length" if cut else "stop",
            prompt.length,
            streamer.total_tokens,
        )
    finally:
        streamer.cancel()


def _generation_config(loaded: LoadedModel, request: ChatRequest, room: int) -> GenerationConfig:
    """Follow the request, and where it says nothing, what the model's makers advise."""
    advised = loaded.model.generation_config
    ends = advised.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    config = GenerationConfig(
        max_new_tokens=room,
        eos_token_id=sorted({*ends, loaded.tokenizer.eos_token_id} - {None}) or None,
        pad_token_id=advised.pad_token_id or loaded.tokenizer.pad_token_id,
        repetition_penalty=advised.repetition_penalty,
        do_sample=bool(advised.do_sample),
    )
    if request.temperature is not None:
        config.do_sample = request.temperature > 0
    elif request.top_p is not None:
        config.do_sample = True
    if config.do_sample:
        config.temperature = (
            advised.temperature if request.temperature is None else request.temperature
        )
        config.top_p = advised.top_p if request.top_p is None else request.top_p
        config.top_k = advised.top_k
    return config
