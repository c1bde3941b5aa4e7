"""Rate limits as a server's headers tell them: how long to wait before the next request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
_LONGEST_S = 600.0


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration as OpenAI writes it; None if it is not one.

    Example:
        >>> seconds_of("6m0s"), seconds_of("120ms"), seconds_of("1.5"), seconds_of("soon")
        (360.0, 0.12, 1.5, None)
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@dataclass
class _Bucket:
    """What is left of one limit; it fills up steadily until `reset_s` after it was reported.

    Without the limit itself, nothing is known of how it fills up until then.
    """

    left: float
    limit: float | None
    told_at: float
    reset_s: float

    def __post_init__(self) -> None:
        used = 0.0 if self.limit is None else self.limit - self.left
        self.rate = max(used, 0.0) / self.reset_s if self.reset_s else 0.0

    def wait_s(self, needed: float, now: float) -> float:
        passed = now - self.told_at
        rest = self.reset_s - passed
        if self.limit is not None:
            # A request of more than the limit itself would wait for ever.
            needed = min(needed, self.limit)
        missing = needed - (self.left + self.rate * passed)
        if missing <= 0 or rest <= 0:
            return 0.0
        return min(missing / self.rate, rest) if self.rate > 0 else rest


@dataclass
class RateLimits:
    """The limits of requests and tokens, and the pause that the server asks for.

    Headers: `x-ratelimit-limit-*`, `x-ratelimit-remaining-*` and `x-ratelimit-reset-*` with
    `requests` and `tokens` (OpenAI's guide to rate limits). Times are of a monotonic clock.

    Example:
        >>> limits = RateLimits()
        >>> limits.told({"x-ratelimit-remaining-requests": "0",
        ...              "x-ratelimit-reset-requests": "2s"}, now=10.0, waiting=0)
        >>> limits.wait_s(tokens=100, now=11.0)
        1.0
    """

    paused_until: float = 0.0
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def told(self, headers: Mapping[str, str], now: float, waiting: int) -> None:
        """Take note of an answer's headers; `waiting` requests are not answered yet."""
        for kind in ("requests", "tokens"):
            left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
            reset = seconds_of(headers.get(f"x-ratelimit-reset-{kind}") or "")
            if left is None or reset is None:
                continue
            limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
            # The server may not have counted those that are on their way.
            left -= waiting if kind == "requests" else 0
            self._buckets[kind] = _Bucket(left, limit, now, min(reset, _LONGEST_S))

    def pause(self, seconds: float, now: float) -> None:
        """Send nothing for some seconds, as the server asked with 429."""
        self.paused_until = max(self.paused_until, now + min(seconds, _LONGEST_S))

    def wait_s(self, tokens: int, now: float) -> float:
        """Return the seconds to wait before a request of some tokens."""
        needed = {"requests": 1.0, "tokens": float(tokens)}
        waits = [bucket.wait_s(needed[kind], now) for kind, bucket in self._buckets.items()]
        return max([self.paused_until - now, 0.0, *waits])

    def sent(self, tokens: int) -> None:
        """Take note that a request is being sent."""
        for kind, amount in (("requests", 1), ("tokens", tokens)):
            if kind in self._buckets:
                self._buckets[kind].left -= amount


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
