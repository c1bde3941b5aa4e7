"""What is done with a model's scores before a token is drawn (transformers' logits processors).

Each processor is for one answer. A mask of allowed tokens does not make a weak model stop: it may
write into a string for ever. So a `Grammar` brings a constrained answer to its end in time.
Importing this module imports torch.
"""

import string
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import LogitsProcessor

from langchain_finetune.local.serving.protocol import SampledRequest

_FAR = 16
_FARTHEST = 256
_CANDIDATES = 8

# What leads to the end soonest, where more than one thing may follow.
_CLOSERS = ("}", "]", '"', ",")

# One character of each kind: to begin a value, or to get on in a string that has a pattern.
_KINDS = (*"0123456789", *string.punctuation, " ", "n", "t", "f", "a", "A")


class Grammar:
    """The form of an answer: how far it is to its end, and which tokens leave enough room.

    A copy of `start` follows each answer and gives the tokens that may come next. `closings` are
    tokens that end something in the form of a model's calls.
    """

    def __init__(
        self,
        tokenizer: LLTokenizer,
        start: LLMatcher,
        ends: list[int],
        closings: Sequence[list[int]] = (),
    ) -> None:
        self.start = start
        self._ends = frozenset(ends)
        self._closings = [each for each in closings if each]
        self._closers = _singles(tokenizer, _CLOSERS)
        self._quotes = _singles(tokenizer, '"')
        self._kinds = _singles(tokenizer, _KINDS)
        self._brackets = _singles(tokenizer, "}]")
        shortest = self.way(start, _FARTHEST)
        # One token can begin something that takes long to close; a guess at how long.
        self._step = max(_FAR, min(_FARTHEST, len(shortest or "")))

    def way(self, matcher: LLMatcher, limit: int) -> list[int] | None:
        """Return tokens that complete the answer; None if more than `limit` are required.

        Short, not the shortest: it takes the nearest end at each fork.
        """
        ahead = matcher.deep_copy()
        way: list[int] = []
        while not ahead.is_accepting():
            forced = ahead.compute_ff_tokens() or self._shortest(ahead)
            way += forced
            if len(way) > limit or not forced or not ahead.consume_tokens(forced):
                return None
        return way

    def next_check(self, matcher: LLMatcher, left: int) -> int:
        """Return at how many tokens left to check again; `left` for at every token from now on."""
        way = self.way(matcher, left)
        if way is None:
            # Hardly any completion is left, and searching for one takes time.
            return left // 2
        return left - (left - len(way)) // (self._step + 1)

    def fitting(
        self, matcher: LLMatcher, left: int, likely: list[int], *, first_only: bool
    ) -> list[int]:
        """Return those tokens after which the answer can still be ended, with `left` to be written.

        Of the `likely` ones, which are allowed and in order, the first that fits may be enough. At
        least one token is returned where the answer can be ended at all, else an empty list.
        """
        fitting = (token for token in likely[:_CANDIDATES] if self._fits(matcher, left, token))
        if found := list(islice(fitting, 1 if first_only else None)):
            return found
        way = self.way(matcher, left)
        if way is None:
            return []
        return way[:1] or sorted(self._ends)

    def _fits(self, matcher: LLMatcher, left: int, token: int) -> bool:
        if token in self._ends:
            return True
        ahead = matcher.deep_copy()
        return ahead.consume_token(token) and self.way(ahead, left - 1) is not None

    def _shortest(self, matcher: LLMatcher) -> list[int]:
        mask = matcher.compute_bitmask()
        # Only inside a string may both brackets stand.
        inside = self._inside(mask)
        for closing in self._closings:
            ahead = matcher.deep_copy()
            taken = ahead.try_consume_tokens(closing) == len(closing)
            if taken and (ahead.is_accepting() or not self._inside(ahead.compute_bitmask())):
                return closing
        closers = self._quotes if inside else self._closers
        for token in closers:
            if _allows(mask, token):
                return [token]
        known = [token for token in self._kinds if _allows(mask, token)]
        if known:
            return [min(known, key=lambda token: self._leads_nowhere(matcher, mask, token))]
        any_byte = next(((place, byte) for place, byte in enumerate(mask) if byte), None)
        return [any_byte[0] * 8 + (any_byte[1] & -any_byte[1]).bit_length() - 1] if any_byte else []

    def _inside(self, mask: bytes) -> bool:
        return len(self._brackets) > 1 and all(_allows(mask, token) for token in self._brackets)

    def _leads_nowhere(self, matcher: LLMatcher, mask: bytes, token: int) -> int:
        """Return 0 if a token leads to an end, 2 if to the same state, and otherwise 1."""
        ahead = matcher.deep_copy()
        if not ahead.consume_token(token):
            return 3
        after = ahead.compute_bitmask()
        if ahead.is_accepting() or any(_allows(after, closer) for closer in self._closers):
            return 0
        return 2 if after == mask else 1


def _allows(mask: bytes, token: int) -> bool:
    """Return whether a token's bit is set."""
    return bool(mask[token // 8] >> token % 8 & 1)


def _singles(tokenizer: LLTokenizer, texts: Iterable[str]) -> list[int]:
    """Return the tokens that are one of these texts each."""
    split = [tokenizer.greedy_tokenize(text) for text in texts]
    return [tokens[0] for tokens in split if len(tokens) == 1]


class ConstraintError(RuntimeError):
    """The grammar has become too complex to follow."""


class Constraint(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Allows only tokens that fit the grammar, and ends the answer after at most `room` tokens.

    If greedy, the likeliest token is taken, so that one that fits is enough.
    """

    def __init__(self, grammar: Grammar, room: int, *, greedy: bool) -> None:
        self._matcher = grammar.start.deep_copy()
        self._grammar = grammar
        self._left = room
        self._check_at = room
        self._greedy = greedy
        self._started = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores, (1, vocabulary), with minus infinity for what may not come next."""
        if self._started:
            self.take(int(input_ids[0, -1]))
        self._started = True
        allowed = self._allowed(scores)
        masked = scores.masked_fill(~allowed, -torch.inf)
        if self._left > self._check_at:
            return masked
        self._check_at = self._grammar.next_check(self._matcher, self._left)
        return masked if self._check_at < self._left else self._only_fitting(masked)

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
        """Whether the answer is complete by the grammar."""
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
        fitting = self._grammar.fitting(self._matcher, self._left, likely, first_only=self._greedy)
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
    """

    def __init__(self, request: SampledRequest) -> None:
        self._request = request
        self._counts: Any = None
        self._bias: Any = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores, (1, vocabulary), adjusted."""
        if self._counts is None:
            self._counts = torch.zeros_like(scores)
            if biases := self._request.biases:
                self._bias = torch.zeros_like(scores)
                self._bias[0, list(biases)] = self._bias.new_tensor(list(biases.values()))
        else:
            self._counts[0, input_ids[0, -1]] += 1
        often = self._request.frequency_penalty * self._counts
        once = self._request.presence_penalty * (self._counts > 0)
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
