"""Addresses of engines: how they are given, and clients that keep to them."""

import re
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from langchain_finetune.engines.access import Access

_USER = re.compile(r"(?<=//)[^/?#]*@")

REFUSED_REDIRECT = "langchain_finetune_refused_redirect"
"""Extension of a response: the host that its redirect named and that nothing was sent to."""


def without_secrets(address: str) -> str:
    """Return an address without user, password and query, any of which may be a secret.

    Example:
        >>> without_secrets("https://me:secret@example.com/v1?api_key=secret")
        'https://example.com/v1'
    """
    return _USER.sub("", re.split(r"[?#]", address, maxsplit=1)[0])


def openai_client(access: Access) -> OpenAI:
    """Open the SDK's client, which sends what it is given to no other host.

    Only the content of a file may come from another one, such as a storage service. The answer to
    any other request that is redirected elsewhere is the redirect itself.
    """
    return OpenAI(
        **_options(access), http_client=DefaultHttpxClient(event_hooks={"response": [_stay]})
    )


def aopenai_client(access: Access) -> AsyncOpenAI:
    """Open the SDK's async client in the same way."""

    async def stay(response: Any) -> None:
        _stay(response)

    return AsyncOpenAI(
        **_options(access), http_client=DefaultAsyncHttpxClient(event_hooks={"response": [stay]})
    )


def _options(access: Access) -> dict[str, Any]:
    key = access.api_key.get_secret_value()
    return {"base_url": access.base_url, "api_key": key, "max_retries": 0}


def _stay(response: Any) -> None:
    """Take the location from a redirect to another host, so that it is not followed."""
    if not response.has_redirect_location:
        return
    asked = response.request.url
    if response.request.method == "GET" and asked.path.endswith("/content"):
        return
    try:
        target = asked.join(response.headers["location"])
    except (httpx2.InvalidURL, ValueError):
        target = httpx2.URL("")
    secure = target.scheme in {asked.scheme, "https"}
    if (target.host, target.port) != (asked.host, asked.port) or not secure:
        del response.headers["location"]
        response.extensions[REFUSED_REDIRECT] = target.host
