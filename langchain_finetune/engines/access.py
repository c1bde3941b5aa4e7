"""Where an account is reached, and with what key."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr


def is_address(text: str) -> bool:
    """Return whether a text is a valid base URL of an API."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Unbalanced brackets, or a port that is not a number.
        return False


def _checked_address(text: str) -> str:
    if not is_address(text):
        raise ValueError("An address is needed, such as http://127.0.0.1:8000/v1.")
    return text


Address = Annotated[str, AfterValidator(_checked_address)]
"""The base URL of an API."""


def same_address(one: str, other: str) -> bool:
    """Return whether two base URLs are the same, except for a trailing slash."""
    return one.rstrip("/") == other.rstrip("/")


@dataclass(frozen=True)
class Access:
    """Address and key of an account; empty where an engine has none, or requires none."""

    base_url: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
