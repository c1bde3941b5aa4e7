"""Completions in the shape of OpenAI's older API."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.deltas import End, Piece, Text, Token
from langchain_finetune.local.serving.sse import DONE, event


@dataclass(frozen=True)
class CompletionEnvelope:
    """What all parts of one answer have in common.

    Attributes:
        model: Name of the model, as asked for.
        prompts: The texts that come back before each answer; empty where they do not.
        include_usage: A stream ends with a chunk about the tokens used.
        logprobs: Tokens come with their log-probabilities.
        n: How many answers each prompt has.
        id: Name of the answer.
        created: Seconds since 1970.
    """

    model: str
    prompts: Sequence[str]
    include_usage: bool
    logprobs: bool
    n: int
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
        }

    def completion(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """Return a whole answer: a `text_completion` object with a choice for each."""
        choices, ends = [], []
        for index, pieces in enumerate(answers):
            texts = [piece for piece in pieces if isinstance(piece, Text)]
            end = next(piece for piece in pieces if isinstance(piece, End))
            ends.append(end)
            text = self._echo(index) + "".join(piece.text for piece in texts)
            tokens = [token for piece in texts for token in piece.tokens]
            choices.append(self._choice(index, text, tokens, end.finish_reason))
        return self._head() | {"choices": choices, "usage": self._usage(ends)}

    async def events(self, pieces: AsyncIterator[tuple[int, Piece]]) -> AsyncIterator[str]:
        """Yield an answer as server-sent events, then `[DONE]`.

        Args:
            pieces: Each with the number of its choice.
        """
        shown: dict[int, int] = {}
        ends = []
        try:
            async for index, piece in pieces:
                if index not in shown:
                    shown[index] = len(self._echo(index))
                    if echo := self._echo(index):
                        yield self._chunk(self._choice(index, echo, [], None))
                if isinstance(piece, Text):
                    choice = self._choice(index, piece.text, piece.tokens, None, shown[index])
                    shown[index] += len(piece.text)
                    yield self._chunk(choice)
                elif isinstance(piece, End):
                    ends.append(piece)
                    yield self._chunk(self._choice(index, "", [], piece.finish_reason))
            if self.include_usage:
                yield event(self._head() | {"choices": [], "usage": self._usage(ends)})
        except ApiError as error:
            yield event(error.body())
        yield DONE

    def _echo(self, index: int) -> str:
        return self.prompts[index // self.n] if self.prompts else ""

    def _chunk(self, choice: dict[str, Any]) -> str:
        chunk = self._head() | {"choices": [choice]}
        return event(chunk | {"usage": None} if self.include_usage else chunk)

    def _choice(
        self,
        index: int,
        text: str,
        tokens: Sequence[Token],
        reason: str | None,
        offset: int = 0,
    ) -> dict[str, Any]:
        return {
            "index": index,
            "text": text,
            "logprobs": _logprobs(tokens, offset) if self.logprobs else None,
            "finish_reason": reason,
        }

    def _usage(self, ends: Sequence[End]) -> dict[str, int]:
        # The answers to one prompt stand side by side, and the prompt counts once.
        prompts = sum(end.prompt_tokens for end in ends[:: self.n])
        answers = sum(end.completion_tokens for end in ends)
        return {
            "prompt_tokens": prompts,
            "completion_tokens": answers,
            "total_tokens": prompts + answers,
        }


def _logprobs(tokens: Sequence[Token], offset: int) -> dict[str, Any]:
    texts = [_name(token) for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{_name(other): other.logprob for other in token.top} for token in tokens],
        "text_offset": [offset + sum(map(len, texts[:place])) for place in range(len(texts))],
    }


def _name(token: Token) -> str:
    return token.data.decode(errors="replace")
