"""When OpenAI stops models and its fine-tuning: dated data, with its source.

Source: OpenAI's page on deprecations, https://developers.openai.com/api/docs/deprecations, as of
November 2026. The dates hold at OpenAI itself; other servers of its API have their own.
"""

import datetime as dt
import warnings
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from langchain_finetune.errors import EngineError, ModelRetirementWarning
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.errors import is_missing
from langchain_finetune.finetune.engines.openai import retrieve_model
from langchain_finetune.finetune.flow import Flow
from langchain_finetune.finetune.retry import Retry, ask

SOURCE = "https://developers.openai.com/api/docs/deprecations"


@dataclass(frozen=True)
class Closing:
    """The end of OpenAI's self-serve fine-tuning, step by step.

    Attributes:
        newcomers: Closed to organisations that never fine-tuned.
        inactive: Closed to those that did not use a fine-tuned model in the 60 days before.
        everyone: No new jobs at all.
    """

    newcomers: dt.date
    inactive: dt.date
    everyone: dt.date

    def sentence(self) -> str:
        """Return who is shut out since when."""
        return (
            f"OpenAI's fine-tuning is closed since {self.newcomers} to organisations that had "
            f"never used it, since {self.inactive} to those that did not use a fine-tuned model "
            f"in the last 60 days, and from {self.everyone} to all ({SOURCE})."
        )


CLOSING = Closing(dt.date(2026, 5, 7), dt.date(2026, 7, 2), dt.date(2027, 1, 6))

_AUTUMN_2026 = dt.date(2026, 10, 23)
_JANUARY_2027 = dt.date(2027, 1, 14)

SHUTDOWNS = {
    "gpt-3.5-turbo": _AUTUMN_2026,
    "gpt-4": _AUTUMN_2026,
    "gpt-4.1-nano": _AUTUMN_2026,
    "gpt-4o-2024-05-13": _AUTUMN_2026,
    "o4-mini": _AUTUMN_2026,
    "gpt-4o": _JANUARY_2027,
    "gpt-4o-mini": _JANUARY_2027,
    "gpt-4.1": _JANUARY_2027,
    "gpt-4.1-mini": _JANUARY_2027,
}
"""When a base stops, and with it every fine-tune of it; by the name without its date."""


def is_openai(base_url: str) -> bool:
    """Tell whether an address is OpenAI's own."""
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def shutdown_of(base: str) -> dt.date | None:
    """Return when OpenAI stops a base and its fine-tunes; None where nothing is announced.

    Example:
        >>> shutdown_of("gpt-4.1-mini-2025-04-14")
        datetime.date(2027, 1, 14)
    """
    name = base.split(":")[1] if base.startswith("ft:") else base
    for family in sorted(SHUTDOWNS, key=len, reverse=True):
        if name == family or name.startswith(f"{family}-"):
            return SHUTDOWNS[family]
    return None


def warn_before_submitting(base: str, place: Account) -> Flow[None]:
    """Warn with `ModelRetirementWarning` where the base or the engine's training is to stop.

    The date that the engine gives with the model (`shutdown_date`) counts before the dated data
    of this package. An engine that does not tell of its models is no obstacle.
    """
    if place.local:
        return
    today = dt.datetime.fromtimestamp(place.now(), dt.UTC).date()
    openai = is_openai(place.base_url)
    told = yield from _served_date(base, place)
    stops = told or (shutdown_of(base) if openai else None)
    if stops:
        source = f"the model list at {place.base_url}" if told else SOURCE
        tense = "was shut down" if stops <= today else "will be shut down"
        warnings.warn(
            f"The base {base} {tense} on {stops}, and every model fine-tuned from it ({source}). "
            "Choose a base that stays.",
            ModelRetirementWarning,
            stacklevel=2,
        )
    if openai:
        warnings.warn(CLOSING.sentence(), ModelRetirementWarning, stacklevel=2)


def _served_date(base: str, place: Account) -> Flow[dt.date | None]:
    try:
        model = yield from ask(
            partial(retrieve_model, name=base),
            place.base_url,
            none_if=is_missing,
            retry=Retry(attempts=2),
        )
    except EngineError:
        return None
    text = getattr(model, "shutdown_date", None)
    try:
        return dt.date.fromisoformat(text[:10]) if isinstance(text, str) else None
    except ValueError:
        return None
