"""Completions in the shape of OpenAI's older API."""

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_finetune.local.serving.answer import ChoicesWriter, End, Piece, Text, Token
from langchain_finetune.local.serving.completions.protocol import CompletionRequest


class CompletionWriter(ChoicesWriter):
    """Writes the completions of prompts, which are given as texts."""

    prefix = "cmpl"
    whole_object = chunk_object = "text_completion"

    def __init__(self, request: CompletionRequest, prompts: Sequence[str]) -> None:
        super().__init__(request, len(prompts) * request.n)
        self._echoes = [text if request.echo else "" for text in prompts for _ in range(request.n)]
        self._lengths = list(map(len, self._echoes))

    def choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return a whole answer as a choice."""
        texts = [piece for piece in pieces if isinstance(piece, Text)]
        text = self._echoes[index] + "".join(piece.text for piece in texts)
        end = pieces[-1]
        assert isinstance(end, End)
        tokens = [token for piece in texts for token in piece.tokens]
        return self._choice(index, text, tokens, end.finish_reason)

    def deltas(self, index: int, piece: Piece, *, first: bool) -> Iterator[dict[str, Any]]:
        """Yield a piece as choices of a stream's chunks."""
        if first and self._echoes[index]:
            yield self._choice(index, self._echoes[index])
        if isinstance(piece, Text):
            yield self._choice(index, piece.text, piece.tokens, offset=self._lengths[index])
            self._lengths[index] += len(piece.text)
        elif isinstance(piece, End):
            yield self._choice(index, "", reason=piece.finish_reason)

    def _choice(
        self,
        index: int,
        text: str,
        tokens: Sequence[Token] = (),
        reason: str | None = None,
        *,
        offset: int = 0,
    ) -> dict[str, Any]:
        return {
            "index": index,
            "text": text,
            "logprobs": _logprobs(tokens, offset) if self._logprobs else None,
            "finish_reason": reason,
        }


def _logprobs(tokens: Sequence[Token], offset: int) -> dict[str, Any]:
    texts = [token.text for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{other.text: other.logprob for other in token.top} for token in tokens],
        "text_offset": [offset + sum(map(len, texts[:place])) for place in range(len(texts))],
    }
