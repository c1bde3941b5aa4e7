"""What is done with a model's scores before a token is drawn (transformers' logits processors).

Each is for one answer. Importing this module imports torch.
"""

from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import LogitsProcessor

from langchain_finetune.local.serving.request_fields import Sampling
from langchain_finetune.local.serving.structured.token_budget import Closer


class ConstraintError(RuntimeError):
    """The grammar can't be followed any more; it has grown too complex."""


class Constraint(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Lets only tokens through that the grammar allows, and ends the answer in time.

    Args:
        matcher: The grammar at its start; it is changed.
        closer: Ends the answer in time.
        room: Most tokens of the answer.
        greedy: The likeliest token is taken, so that one that fits is enough.
    """

    def __init__(self, matcher: LLMatcher, closer: Closer, room: int, *, greedy: bool) -> None:
        self._matcher = matcher
        self._closer = closer
        self._left = room
        self._look_at = room
        self._greedy = greedy
        self._started = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores, with minus infinity for what may not come next.

        Args:
            input_ids: Prompt and answer up to here, (1, tokens).
            scores: Of every token of the vocabulary, (1, vocabulary).
        """
        if self._started:
            self.take(int(input_ids[0, -1]))
        self._started = True
        allowed = self._allowed(scores)
        masked = scores.masked_fill(~allowed, -torch.inf)
        if self._left > self._look_at:
            return masked
        self._look_at = self._closer.look_again(self._matcher, self._left)
        return masked if self._look_at < self._left else self._only_fitting(masked)

    def take(self, token: int) -> None:
        """Follow the answer by one token.

        Raises:
            ConstraintError: The grammar has grown too complex.
        """
        self._left -= 1
        if not self._matcher.consume_token(token):
            raise ConstraintError

    @property
    def complete(self) -> bool:
        """The answer is all that the grammar asks for."""
        return self._matcher.is_accepting()

    def _allowed(self, scores: Any) -> Any:
        bits = np.unpackbits(
            np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little"
        )
        if self._matcher.is_error():
            raise ConstraintError
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        known = min(len(bits), len(allowed))
        allowed[:known] = torch.from_numpy(bits[:known].astype(bool))
        return allowed.to(scores.device)

    def _only_fitting(self, masked: Any) -> Any:
        top = masked[0].topk(min(16, masked.shape[-1]))
        likely = [
            token
            for token, score in zip(top.indices.tolist(), top.values.tolist(), strict=True)
            if score > -torch.inf
        ]
        fitting = self._closer.fitting(self._matcher, self._left, likely, first_only=self._greedy)
        if not fitting:
            return masked
        kept = torch.full_like(masked, -torch.inf)
        # A token that the model gave no chance at all must still be there to be drawn.
        kept[0, fitting] = masked[0, fitting].clamp(min=torch.finfo(masked.dtype).min)
        return kept


class Adjustment(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Penalties for what the answer has already, and biases, as OpenAI's API reference has them.

    From a token's score goes `frequency_penalty` for each time that the answer has it, and
    `presence_penalty` once; the prompt does not count.

    Args:
        sampling: The penalties and biases; their tokens are in the vocabulary.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._counts: Any = None
        self._bias: Any = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores, adjusted.

        Args:
            input_ids: Prompt and answer up to here, (1, tokens).
            scores: Of every token of the vocabulary, (1, vocabulary).
        """
        sampling = self._sampling
        if self._counts is None:
            self._counts = torch.zeros_like(scores)
            if sampling.logit_bias:
                self._bias = torch.zeros_like(scores)
                tokens = list(sampling.logit_bias)
                self._bias[0, tokens] = self._bias.new_tensor(list(sampling.logit_bias.values()))
        else:
            self._counts[0, input_ids[0, -1]] += 1
        often = sampling.frequency_penalty * self._counts
        once = sampling.presence_penalty * (self._counts > 0)
        return scores - often - once + self._bias


class ScoreRecorder(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Keeps the scores that the next token is drawn from, as the model gave them."""

    def __init__(self) -> None:
        self._scores: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - transformers' own
        """Return the scores unchanged."""
        self._scores = scores
        return scores

    def logprobs(self, token: int, top: int) -> tuple[float, list[tuple[int, float]]]:
        """Return a token's log-probability, and the likeliest ones with theirs."""
        logprobs = torch.log_softmax(self._scores[0].float(), dim=-1)
        best = logprobs.topk(top) if top else None
        likeliest = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
        return float(logprobs[token]), list(likeliest)
