"""When OpenAI stops models and its fine-tuning: dated data, with its source.

Source: OpenAI's page on deprecations, https://developers.openai.com/api/docs/deprecations, as of
November 2026. The dates hold at OpenAI itself; other servers of its API have their own.
"""

import datetime as dt
from dataclasses import dataclass
from urllib.parse import urlsplit

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
