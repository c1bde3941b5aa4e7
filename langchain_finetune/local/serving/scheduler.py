"""Continuous batching: the answers of a model are written together, and come and go at any token.

One thread runs all models, a step of each in turn. Importing this module imports torch.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch

from langchain_finetune.local.hardware import serving_threads
from langchain_finetune.local.serving.decoder import Decoder, KeyValues, Portion
from langchain_finetune.local.serving.loading import LoadedModel
from langchain_finetune.local.serving.model_pool import Attempt
from langchain_finetune.local.serving.prefix_cache import SHORTEST, KeptPrefixes, shared
from langchain_finetune.local.serving.sampling import Sampler

MOST_ANSWERS = 32
"""Answers that are written at once, of all models; more would keep each from getting on."""

PROMPT_TOKENS = 512
"""Most tokens of prompts that a step takes in, so that a long one does not hold up the others."""


class Sink(Protocol):
    """Takes what is written; called on the thread of the models."""

    @property
    def cancelled(self) -> bool:
        """Whether the rest of the answer is not wanted."""

    def put(self, token: int) -> None:
        """Take a token."""

    def end(self) -> None:
        """Take note that no token follows."""

    def close(self, error: BaseException | None) -> None:
        """Take note that the answer is over; the last call."""


class BatchRow:
    """An answer that is being written, of at most `room` tokens.

    Attributes:
        tokens: The prompt's, and then those of the answer.
        past: What the model remembers of them; None before its first step.
    """

    def __init__(
        self, loaded: LoadedModel, prompt: list[int], room: int, sampler: Sampler, sink: Sink
    ) -> None:
        self.loaded = loaded
        self.tokens = list(prompt)
        self.past: Any = None
        self.sink = sink
        self._taken = 0
        self._leader: BatchRow | None = None
        self._last = len(prompt) + room
        self.sampler = sampler

    @property
    def nbytes(self) -> int:
        """Memory that it may come to take, in bytes."""
        return self._last * self.loaded.decoder.token_bytes

    @property
    def waiting(self) -> int:
        """How many tokens the model has yet to take in before it can write the next."""
        return len(self.tokens) - self._taken

    def start(self, rows: "list[BatchRow]") -> bool:
        """Take the past of a text that begins the same; return whether to go on in this step.

        `rows` are all of the model. Where one of them is reading such a text now, it waits for it.
        """
        if self.past is not None:
            return True
        if not self.loaded.decoder.together:
            self.past = self.loaded.decoder.sequence()
            return True
        others = [row for row in rows if row.loaded is self.loaded and row.past is not None]
        reading = [row for row in others if row.waiting > 1]
        if self._leader in reading:
            return False
        for row in reading:
            ahead = shared(self.tokens[:-1], row.tokens) - len(row.past.tokens)
            if self._leader is None and ahead > SHORTEST:
                self._leader = row
                return False
        self.past = self.loaded.prefixes.begin(self.tokens, [row.past for row in others])
        self._taken, self._leader = len(self.past.tokens), None
        return True

    def portion(self, most: int) -> Portion:
        """Return the next tokens to take in."""
        return Portion(
            self.past, self.tokens[self._taken : self._taken + most], self.loaded.adapter
        )

    def advance(self, count: int, scores: Any) -> bool:
        """Go on after a step that took in `count` tokens; return whether the answer is over."""
        self._taken += count
        if self.waiting:
            return False
        token = self.draw(scores)
        self.tokens.append(token)
        self.sink.put(token)
        if token not in self.loaded.ends and len(self.tokens) < self._last:
            return False
        self.sink.end()
        return True

    def draw(self, scores: Any) -> int:
        """Draw the next token, by its scores, (1, vocabulary)."""
        return self.sampler.draw(self.tokens, scores)


class Scheduler:
    """Writes answers, on its thread, whose keys and values take at most `memory` bytes together.

    Those that find no room wait in order; one that would take more than all of it goes alone. What
    is left of the memory keeps texts for those that begin the same.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._kept = KeptPrefixes()
        self._new: queue.SimpleQueue[BatchRow] = queue.SimpleQueue()
        self._waiting: deque[BatchRow] = deque()
        self._rows: list[BatchRow] = []
        threading.Thread(target=self._run, name="models", daemon=True).start()

    def submit(self, row: BatchRow) -> None:
        """Have an answer written; its sink receives the tokens."""
        self._new.put(row)

    def _run(self) -> None:
        while True:
            self._take_in()
            # In calls of their own: what a loop's variables name would stay in memory.
            self._admit()
            self._step_all()

    def _take_in(self) -> None:
        if not self._rows and not self._waiting:
            self._waiting.append(self._new.get())
        while not self._new.empty():
            self._waiting.append(self._new.get())

    def _admit(self) -> None:
        for row in [row for row in self._waiting if row.sink.cancelled]:
            self._waiting.remove(row)
            row.sink.close(None)
        while self._waiting and self._fits(self._waiting[0]):
            self._rows.append(self._waiting.popleft())
            self._kept.shrink(self._memory - self._taken())

    def _taken(self) -> int:
        return sum(row.nbytes for row in self._rows)

    def _fits(self, row: BatchRow) -> bool:
        if not self._rows:
            return True
        enough = self._taken() + row.nbytes <= self._memory
        return len(self._rows) < MOST_ANSWERS and enough

    def _step_all(self) -> None:
        for row in [row for row in self._rows if row.sink.cancelled]:
            self._end(row, None)
        for decoder in dict.fromkeys(row.loaded.decoder for row in self._rows):
            rows = [row for row in self._rows if row.loaded.decoder is decoder]
            if decoder.together:
                self._step(decoder, _portions(rows))
            else:
                for row in rows:
                    row.start(rows)
                    self._step(decoder, [(row, row.portion(row.waiting))])

    def _step(self, decoder: Decoder, work: list[tuple[BatchRow, Portion]]) -> None:
        tokens = sum(len(portion.tokens) for _, portion in work)
        # It holds for the whole process.
        torch.set_num_threads(serving_threads(work[0][0].loaded.parameters, tokens))
        scores, error = _tried(lambda: decoder.step([portion for _, portion in work]))
        if error is None:
            for number, (row, portion) in enumerate(work):
                count = len(portion.tokens)
                over, error = _tried(lambda: row.advance(count, scores[number : number + 1]))  # noqa: B023
                if over or error:
                    self._end(row, error)
        elif len(work) > 1:
            # Whose fault it is shows when each is alone.
            for each in work:
                self._step(decoder, [each])
        else:
            self._end(work[0][0], error)

    def _end(self, row: BatchRow, error: BaseException | None) -> None:
        self._rows.remove(row)
        if isinstance(row.past, KeyValues) and error is None:
            self._kept.keep(row.loaded.prefixes, row.past)
            self._kept.shrink(self._memory - self._taken())
        row.sink.close(error)


def _portions(rows: list[BatchRow]) -> list[tuple[BatchRow, Portion]]:
    """Return what a step takes in: a token of each answer, and of the prompts as much as fits."""
    left = PROMPT_TOKENS
    work = []
    for row in rows:
        if (row.waiting > 1 and not left) or not row.start(rows):
            continue
        portion = row.portion(left if row.waiting > 1 else 1)
        left -= len(portion.tokens) if row.waiting > 1 else 0
        work.append((row, portion))
    # Those of an adapter stand together, to be added to in one go.
    return sorted(work, key=lambda each: id(each[1].adapter))


def _tried(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Return what `work` returns, or the error that it raises."""
    outcome = Attempt[Any]()
    with outcome:
        outcome.set_result(work())
    error = outcome.exception()
    return (None, error) if error else (outcome.result(), None)
