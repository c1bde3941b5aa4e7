"""How tokens of an answer are drawn; importing this imports torch and transformers."""

from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from langchain_finetune.local.serving.protocol import SampledRequest
from langchain_finetune.local.serving.structured.constraint import (
    Adjustment,
    Constraint,
    Grammar,
    ScoreRecorder,
)

_SEEDS = 2**63

# As transformers draws where a model's authors advise nothing.
_TOP_K = 50


class Sampler:
    """Draws the tokens of one answer, by the request and otherwise as the model's authors advise.

    `index` says which one of several answers this is; each has a seed. An answer has at most `room`
    tokens.

    Attributes:
        greedy: The likeliest token is taken.
        temperature: What a score is divided by, where not greedy.
        top_p: The share of the likeliest tokens that may be drawn.
        recorder: Has the scores of the last token, if the request asks for them.
        constraint: Keeps the form of the answer, if it has one.
    """

    def __init__(
        self, request: SampledRequest, advised: Any, grammar: Grammar | None, room: int, index: int
    ) -> None:
        self.greedy = not advised.do_sample
        if request.temperature is not None:
            self.greedy = request.temperature == 0
        elif request.top_p is not None:
            self.greedy = False
        asked, top_p = request.temperature, request.top_p
        self.temperature = (advised.temperature or 1.0) if asked is None else asked
        self.top_p = (advised.top_p or 1.0) if top_p is None else top_p
        self.recorder = ScoreRecorder() if request.alternatives is not None else None
        self.constraint = Constraint(grammar, room, greedy=self.greedy) if grammar else None
        adjusts = request.presence_penalty or request.frequency_penalty or request.biases
        penalty = advised.repetition_penalty or 1.0
        steps = [
            self.recorder,
            RepetitionPenaltyLogitsProcessor(penalty) if penalty != 1 else None,
            Adjustment(request) if adjusts else None,
            self.constraint,
            *(() if self.greedy else self._warpers(advised)),
        ]
        self._steps: list[LogitsProcessor] = [step for step in steps if step]
        self._generator: torch.Generator | None = None
        self._seed = None if request.seed is None else (request.seed + index) % _SEEDS

    def draw(self, tokens: list[int], scores: Any) -> int:
        """Draw the token that follows all `tokens`, by its scores, (1, vocabulary)."""
        scores = scores.float()
        if self._steps:
            before = torch.tensor([tokens], device=scores.device)
            for step in self._steps:
                scores = step(before, scores)
        if self.greedy:
            return int(scores.argmax())
        if self._seed is not None and self._generator is None:
            self._generator = torch.Generator(scores.device).manual_seed(self._seed)
        chances = torch.softmax(scores, dim=-1)
        return int(torch.multinomial(chances, 1, generator=self._generator))

    def _warpers(self, advised: Any) -> list[LogitsProcessor | None]:
        top_k = _TOP_K if advised.top_k is None else advised.top_k
        return [
            TemperatureLogitsWarper(self.temperature) if self.temperature != 1 else None,
            TopKLogitsWarper(top_k) if top_k else None,
            TopPLogitsWarper(self.top_p) if self.top_p < 1 else None,
            MinPLogitsWarper(advised.min_p) if advised.min_p else None,
        ]
