"""From a request to an answer: renders the prompt, and lets the model write.

Importing this module takes seconds: it imports torch and transformers.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.chat_template import (
    SHOWS_FORMAT,
    RenderingError,
    render,
    supports_developer,
    to_template_input,
    with_format,
)
from langchain_finetune.local.control_tokens import kept_as_text
from langchain_finetune.local.serving.answer import CompleteCall, End, FinishReason, Piece, Text
from langchain_finetune.local.serving.chat.protocol import ChatRequest
from langchain_finetune.local.serving.loading import LoadedModel
from langchain_finetune.local.serving.model_pool import Lease
from langchain_finetune.local.serving.protocol import SampledRequest, invalid
from langchain_finetune.local.serving.sampling import Sampler
from langchain_finetune.local.serving.scheduler import BatchRow, Scheduler
from langchain_finetune.local.serving.stream import LenientParser, TextFilter, TokenStream
from langchain_finetune.local.serving.structured.constraint import (
    Constraint,
    ConstraintError,
    Grammar,
)
from langchain_finetune.local.serving.structured.grammar import compile_shape
from langchain_finetune.local.serving.structured.shape import Shape

logger = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 1024
"""Most tokens of an answer, where the request does not say."""


@dataclass(frozen=True)
class Prompt:
    """A rendered request, whose answer may have `room` tokens.

    `tools` is None where answers have no calls; with `one_call`, an answer ends with its first.
    """

    text: str
    tokens: list[int]
    room: int
    request: SampledRequest
    tools: list[dict[str, Any]] | None = None
    one_call: bool = False
    grammar: Grammar | None = None


def compile_grammar(loaded: LoadedModel, shape: Shape) -> Grammar:
    """Prepare the form of an answer for a model; may take a second, so call it in a thread.

    Raises:
        ApiError: 400; a schema can't be enforced, or the model's calls can't be read.
    """
    start = compile_shape(shape, loaded.form, loaded.vocabulary, loaded.special)
    return Grammar(loaded.vocabulary, start, loaded.ends, loaded.closings)


def render_chat(loaded: LoadedModel, request: ChatRequest, grammar: Grammar | None) -> Prompt:
    """Render a chat for a model.

    Raises:
        ApiError: 400; a message can't be rendered, the prompt is too long
            (`context_length_exceeded`), or the model lacks a token with a bias.
    """
    tokenizer = loaded.tokenizer
    try:
        given = to_template_input(
            request.chat, keep_developer=supports_developer(tokenizer.chat_template)
        )
        if tokenizer.init_kwargs.get(SHOWS_FORMAT):
            given = with_format(given, request.response_format.shown)
        kept, mark = kept_as_text(given, loaded.control_tokens)
        text = render(tokenizer, kept, add_generation_prompt=True)
    except RenderingError as error:
        message, param = f"Message {error.index}: {error.message}", f"messages[{error.index}]"
        raise ApiError(400, message, code="invalid_value", param=param) from error
    except (TemplateError, ValueError) as error:
        message = "The model's chat template does not take such a chat."
        raise ApiError(400, message, code="invalid_value", param="messages") from error
    if (shape := request.shape) and not shape.free:
        # What the template writes before any such answer, such as an empty thought.
        text += loaded.form.opening + ("" if shape.tools else loaded.form.text)
    parts = list(filter(None, text.split(mark))) if mark else [text]
    encoded = tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
    return _prompt(
        loaded,
        "".join(parts),
        [token for tokens in encoded for token in tokens],
        request,
        "messages",
        tools=given.tools if request.calls else None,
        one_call=request.one_call,
        grammar=grammar,
    )


def encode_text(loaded: LoadedModel, given: str | list[int], request: SampledRequest) -> Prompt:
    """Take a text, or its tokens, as it is.

    Raises:
        ApiError: 400; it is too long (`context_length_exceeded`), or no such tokens exist.
    """
    if isinstance(given, str):
        tokens = loaded.tokenizer(given, verbose=False)["input_ids"]
    else:
        tokens = given
    if not tokens or not all(0 <= token < len(loaded.tokenizer) for token in tokens):
        raise invalid("prompt", "must have at least one token, and none that the model lacks")
    text = given if isinstance(given, str) else loaded.tokenizer.decode(given)
    return _prompt(loaded, text, tokens, request, "prompt")


def _prompt(
    loaded: LoadedModel,
    text: str,
    tokens: list[int],
    request: SampledRequest,
    param: str,
    **answer: Any,
) -> Prompt:
    if any(token >= len(loaded.tokenizer) for token in request.biases):
        raise invalid("logit_bias", "must have no token that the model lacks")
    length = len(tokens)
    asked = request.token_limit or DEFAULT_MAX_TOKENS
    room = asked if loaded.context is None else min(asked, loaded.context - length)
    if room < 1:
        raise ApiError(
            400,
            f"This model's maximum context length is {loaded.context} tokens. "
            f"However, your {param} resulted in {length} tokens.",
            code="context_length_exceeded",
            param=param,
        )
    return Prompt(text, tokens, room, request, **answer)


@dataclass(frozen=True)
class BegunAnswer:
    """An answer: its pieces, of which the last one is an `End`.

    Iterating raises ApiError: 500, the model broke off; 400 where it was because of a schema. After
    `cancel`, or the last piece, the model stops with the next token; it is held until then.
    """

    pieces: AsyncGenerator[Piece]
    cancel: Callable[[], None]


def begin(
    scheduler: Scheduler, lease: Lease[LoadedModel], prompt: Prompt, index: int
) -> BegunAnswer:
    """Have a model write; `index` says which one of several answers this is."""
    loaded, request = lease.model, prompt.request
    advised = loaded.model.generation_config
    sampler = Sampler(request, advised, prompt.grammar, prompt.room, index)
    stream = TokenStream(
        loaded, _parser(loaded, prompt), sampler.recorder, request.alternatives or 0, lease.release
    )
    lease.hold()
    scheduler.submit(BatchRow(loaded, prompt.tokens, prompt.room, sampler, stream))
    return BegunAnswer(_pieces(loaded, prompt, stream, sampler.constraint), stream.cancel)


async def _pieces(
    loaded: LoadedModel, prompt: Prompt, stream: TokenStream, constraint: Constraint | None
) -> AsyncGenerator[Piece]:
    text = TextFilter(prompt.request.stops)
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
                if prompt.one_call:
                    break
            elif not isinstance(item, Text):
                yield item
            elif (shown := text.feed(item)).text:
                yield shown
        if (shown := text.end()).text:
            yield shown
        cut = text.stopped or (calls and prompt.one_call)
        whole = cut or _is_whole(loaded, stream, constraint, prompt)
        reason: FinishReason = "tool_calls" if calls else "stop"
        yield End(reason if whole else "length", len(prompt.tokens), len(stream.tokens))
    finally:
        stream.cancel()


def _is_whole(
    loaded: LoadedModel, stream: TokenStream, constraint: Constraint | None, prompt: Prompt
) -> bool:
    """Return whether an answer came to its own end, not just to that of its budget."""
    ended = bool(stream.tokens) and stream.tokens[-1] in loaded.ends
    if constraint is None or ended:
        return ended or len(stream.tokens) < prompt.room
    # The constraint follows a token when the next one is due.
    constraint.take(stream.tokens[-1])
    return constraint.complete


def _parser(loaded: LoadedModel, prompt: Prompt) -> LenientParser | None:
    if prompt.tools is None:
        return None
    return LenientParser(
        loaded.form,
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
