"""Asking the engine until it answers: a few times, with growing pauses, as it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openai import OpenAIError

from langchain_finetune.finetune.engines.errors import (
    error_hint_s,
    explained,
    may_pass,
    nobody_there,
    parsed,
)
from langchain_finetune.finetune.flow import Call, Flow, Sleep, Tell
from langchain_finetune.finetune.job_status import EngineSilent

JOB = ("id", "status")
LIST = ("data",)
_GROWTH = 2.0


@dataclass(frozen=True)
class Retry:
    """How often to ask, and how long to pause.

    Attributes:
        attempts: Questions at most.
        refused_attempts: Questions at most where nobody listens at the address.
        first_s: Seconds of the first pause; each further one is twice as long.
        longest_s: Seconds of a pause at most, where the server does not ask for more.
    """

    attempts: int = 7
    refused_attempts: int = 3
    first_s: float = 0.5
    longest_s: float = 16.0

    def pauses(self) -> list[float]:
        """Return the pauses, one fewer than the questions."""
        return [
            min(self.first_s * _GROWTH**turn, self.longest_s) for turn in range(self.attempts - 1)
        ]


def answered(
    request: Callable[[Any], Any], base_url: str, fields: tuple[str, ...] = ()
) -> Flow[Any]:
    """Return the engine's answer to one question.

    Args:
        request: Given the SDK's client, returns the raw answer.
        base_url: The engine's address, for messages.
        fields: What the answer must have.

    Raises:
        OpenAIError: No answer came, or a refusal.
        EngineError: What answers does not speak OpenAI's API.
    """
    return parsed((yield Call(request)), fields, base_url)


def ask(
    request: Callable[[Any], Any],
    base_url: str,
    fields: tuple[str, ...] = (),
    *,
    none_if: Callable[[OpenAIError], bool] = lambda _: False,
    retry: Retry | None = None,
) -> Flow[Any]:
    """Return the engine's answer; ask again where none came. Only for what may happen twice.

    Args:
        request: Given the SDK's client, returns the raw answer.
        base_url: The engine's address, for messages.
        fields: What the answer must have.
        none_if: Which refusals mean None.
        retry: How often and how fast.

    Raises:
        EngineError: It does not answer, or refuses.
    """
    retry = retry or Retry()
    for turn, pause in enumerate([*retry.pauses(), None], start=1):
        try:
            return (yield from answered(request, base_url, fields))
        except OpenAIError as error:
            if none_if(error):
                return None
            if pause is None or not may_pass(error) or _given_up(error, turn, retry):
                raise explained(error, base_url) from error
            hint = error_hint_s(error)
        yield Tell(EngineSilent())
        yield Sleep(max(pause, hint))
    raise AssertionError


def _given_up(error: OpenAIError, turn: int, retry: Retry) -> bool:
    return nobody_there(error) and turn >= retry.refused_attempts
