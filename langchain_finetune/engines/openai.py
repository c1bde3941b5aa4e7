"""OpenAI, and any other server of its fine-tuning API: prices and the end of its models.

Sources, as of November 2026: OpenAI's price list, and its page on deprecations,
https://developers.openai.com/api/docs/deprecations. Both hold at OpenAI's own address only.
"""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from langchain_openai import ChatOpenAI

from langchain_finetune.engines.access import Access, is_address
from langchain_finetune.engines.flow import Flow
from langchain_finetune.engines.jobs import ModelEnd
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine, retirement
from langchain_finetune.errors import FineTuningError

_HOST = "api.openai.com"
SOURCE = "https://developers.openai.com/api/docs/deprecations"
TRAINING_STOPS = dt.date(2027, 1, 6)
"""From then on OpenAI takes no job of anybody."""

CLOSING = (
    "OpenAI's fine-tuning is closed since 2026-05-07 to organisations that had never used it, "
    "since 2026-07-02 to those that did not use a fine-tuned model in the last 60 days, "
    f"and from {TRAINING_STOPS} to all ({SOURCE})."
)

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
    """Return whether an address is OpenAI's own."""
    host = urlsplit(base_url).hostname or ""
    return host == _HOST or host.endswith(f".{_HOST}")


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _OpenAIEngine(OpenAICompatibleEngine):
    def default_base_url(self) -> str:
        """Return the environment's address, `OPENAI_BASE_URL`, or OpenAI's own.

        Raises:
            FineTuningError: The environment's is not an address.
        """
        address = os.environ.get("OPENAI_BASE_URL") or f"https://{_HOST}/v1"
        if not is_address(address):
            # Not quoted: it may hold a password.
            raise FineTuningError(
                "OPENAI_BASE_URL is not an address such as http://127.0.0.1:8000/v1."
            )
        return address

    def notices(self, base: str, today: dt.date) -> Flow[list[str]]:
        """Return warnings on the retirement of the base and of OpenAI's fine-tuning.

        The date that the engine reports counts before the dated data here.
        """
        found = yield from super().notices(base, today)
        if not is_openai(self.base_url or ""):
            return found
        stops = shutdown_of(base)
        known = [retirement(base, stops, today, SOURCE)] if stops else []
        return [*(found or known), CLOSING]

    def model_end(self, base: str, *listed: Mapping[str, Any]) -> ModelEnd | None:
        """Return the date that the engine reports, else the dated data here if it is OpenAI's."""
        told = super().model_end(base, *listed)
        if not is_openai(self.base_url or ""):
            return told
        stops = shutdown_of(base)
        found = told or (ModelEnd(stops, SOURCE) if stops else None)
        if found is None:
            return None
        return replace(found, training_stops=min(found.stops, TRAINING_STOPS))

    def chat_model(self, access: Access, name: str, settings: dict[str, Any]) -> ChatOpenAI:
        """Return a `ChatOpenAI`; other servers may refuse to tell the usage of streams."""
        settings = {"stream_usage": is_openai(access.base_url) or None, **settings}
        return super().chat_model(access, name, settings)

    def why_not_available(self) -> str:
        """Return since when OpenAI's fine-tuning is closed, if it is OpenAI's."""
        return f" {CLOSING}" if is_openai(self.base_url or "") else ""


ENGINE = _OpenAIEngine(
    name="openai",
    summary="OpenAI, or any server of its fine-tuning API by its address",
    # All bases that can still be trained: gpt-4.1-nano (1.50), gpt-3.5-turbo (8) and the completion
    # models were shut down by October 2026, and o4-mini was paid by the hour.
    prices={"gpt-4.1": 25.0, "gpt-4.1-mini": 5.0, "gpt-4o": 25.0, "gpt-4o-mini": 3.0},
    price_source="OpenAI's price list",
    price_as_of="2026-11",
    # Another server that takes the same names may ask for more.
    price_host=_HOST,
)
