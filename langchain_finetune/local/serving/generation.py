"""Lets a model write an answer, on the inference thread of transformers' own server.

Importing this module takes seconds: it brings torch and transformers.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.cli.serving.utils import GenerateManager

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import serving_threads
from langchain_finetune.local.serving.deltas import CompleteCall, End, FinishReason, Piece, Text
from langchain_finetune.local.serving.loading import LoadedModel
from langchain_finetune.local.serving.model_pool import Lease
from langchain_finetune.local.serving.prompts import Prompt
from langchain_finetune.local.serving.request_fields import Sampling
from langchain_finetune.local.serving.stream import CancelledAnswerError, TextFilter, TokenStream
from langchain_finetune.local.serving.structured.logits_processors import (
    Adjustment,
    Constraint,
    ConstraintError,
    ScoreRecorder,
)
from langchain_finetune.local.serving.tool_call_parser import LenientParser

logger = logging.getLogger(__name__)

_SEEDS = 2**63


def make_manager() -> GenerateManager:
    """Return what runs the models, one answer after the other on a thread of its own."""
    return GenerateManager()


async def write(
    manager: GenerateManager,
    lease: Lease[LoadedModel],
    prompt: Prompt,
    sampling: Sampling,
    *,
    index: int = 0,
    one_call: bool = False,
) -> AsyncGenerator[Piece]:
    """Let a model write, and yield the pieces of its answer; the last one is an `End`.

    Closing the iterator stops the model.

    Args:
        manager: Runs it.
        lease: The model; it is held until it has really stopped.
        prompt: What it reads, and the form that its answer must have.
        sampling: How tokens are drawn.
        index: Which one of several answers to the same prompt this is; each has a seed.
        one_call: It ends with the first call.

    Raises:
        ApiError: 500; the model broke off. 400 where it was because of a schema.
    """
    loaded = lease.model
    config = _generation_config(loaded, sampling, prompt.room)
    adjustment = Adjustment(sampling) if sampling.adjusts else None
    recorder = ScoreRecorder() if sampling.logprobs is not None else None
    constraint = None
    if prompt.grammar:
        constraint = Constraint(
            prompt.grammar.start.deep_copy(),
            prompt.grammar.closer,
            prompt.room,
            greedy=not config.do_sample,
        )
    stream = TokenStream(loaded, _parser(loaded, prompt), recorder, sampling.logprobs or 0)

    def generate() -> None:
        # These hold for the whole process; answers are written one after the other.
        torch.set_num_threads(serving_threads(loaded.parameters))
        if sampling.seed is not None:
            torch.manual_seed((sampling.seed + index) % _SEEDS)
        # An error that went further would keep the model in memory, until the next answer.
        with suppress(CancelledAnswerError):
            loaded.model.generate(
                **prompt.inputs,
                streamer=stream,
                generation_config=config,
                tokenizer=loaded.tokenizer,
                logits_processor=[step for step in (recorder, adjustment, constraint) if step],
            )

    lease.hold()
    manager.submit(generate).add_done_callback(
        lambda done: stream.close(done.exception(), lease.release)
    )
    text = TextFilter(sampling.stop)
    calls = 0
    try:
        while (item := await stream.queue.get()) is not None and not text.stopped:
            if isinstance(item, BaseException):
                raise _broken(item) from item
            if isinstance(item, CompleteCall):
                if (shown := text.end()).text:
                    yield shown
                yield item
                calls += 1
                if one_call:
                    break
            elif not isinstance(item, Text):
                yield item
            elif (shown := text.feed(item)).text:
                yield shown
        if (shown := text.end()).text:
            yield shown
        whole = (
            text.stopped or (calls and one_call) or _is_whole(loaded, stream, constraint, prompt)
        )
        reason: FinishReason = "tool_calls" if calls else "stop"
        yield End(reason if whole else "length", prompt.length, len(stream.tokens))
    finally:
        stream.cancel()


def _is_whole(
    loaded: LoadedModel, stream: TokenStream, constraint: Constraint | None, prompt: Prompt
) -> bool:
    """Tell whether an answer came to its own end, and not just to that of its budget."""
    ended = bool(stream.tokens) and stream.tokens[-1] in loaded.ends
    if constraint is None or ended:
        return ended or len(stream.tokens) < prompt.room
    # The constraint follows a token when the next one is due.
    constraint.take(stream.tokens[-1])
    return constraint.complete


def _parser(loaded: LoadedModel, prompt: Prompt) -> LenientParser | None:
    if not prompt.calls or not loaded.response_template:
        return None
    return LenientParser(
        loaded.response_template,
        prefix=prompt.text,
        tools=prompt.tools,
        special=loaded.tokenizer.all_special_tokens,
    )


def _broken(error: BaseException) -> ApiError:
    if isinstance(error, ConstraintError):
        logger.warning("A grammar grew too complex for an answer")
        return ApiError(400, "The schema is too complex to be enforced.", code="schema_too_complex")
    # What it says may quote the chat.
    logger.error("A model broke off while it was answering: %s", type(error).__name__)
    return ApiError(500, "The model broke off.", code="generation_failed")


def _generation_config(loaded: LoadedModel, sampling: Sampling, room: int) -> GenerationConfig:
    """Follow the request, and where it says nothing, what the model's makers advise."""
    advised: Any = loaded.model.generation_config
    config = GenerationConfig(
        max_new_tokens=room,
        eos_token_id=loaded.ends or None,
        pad_token_id=advised.pad_token_id or loaded.tokenizer.pad_token_id,
        repetition_penalty=advised.repetition_penalty,
        do_sample=bool(advised.do_sample),
    )
    if sampling.temperature is not None:
        config.do_sample = sampling.temperature > 0
    elif sampling.top_p is not None:
        config.do_sample = True
    if config.do_sample:
        config.temperature = (
            advised.temperature if sampling.temperature is None else sampling.temperature
        )
        config.top_p = advised.top_p if sampling.top_p is None else sampling.top_p
        config.top_k = advised.top_k
    return config
