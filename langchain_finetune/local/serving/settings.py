"""Settings of serving, from the environment and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2
from pydantic import ByteSize, SecretStr, TypeAdapter, ValidationError

from langchain_finetune.errors import EngineError
from langchain_finetune.local.serving.model_pool import MEMORY_VARIABLE

UPSTREAM_VARIABLE = "LCFT_UPSTREAM"
"""Address of a server that writes the answers; as `serve --upstream`."""

UPSTREAM_KEY_VARIABLE = "LCFT_UPSTREAM_API_KEY"
"""The upstream's key."""


@dataclass(frozen=True)
class UpstreamSettings:
    """Another server of OpenAI's API, which answers instead of the engine.

    Its API begins at `url`, such as `http://gpu-box:8000/v1`; the key is sent as a bearer token.
    `models` has its names of models by this engine's, where they are not the same.
    """

    url: str
    key: SecretStr | None = None
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServingSettings:
    """How an engine serves.

    All models' weights take at most `memory` bytes, or what the engine chooses; the upstream, if
    any, answers instead of it.
    """

    memory: int | None = None
    upstream: UpstreamSettings | None = None


def read_settings(
    environment: Mapping[str, str],
    *,
    memory: str | None = None,
    upstream: str | None = None,
    upstream_models: Mapping[str, str] | None = None,
) -> ServingSettings:
    """Read and check the settings; arguments take precedence over the environment.

    The upstream's key comes from the environment only, since others can read a command line.

    Raises:
        EngineError: One of them is not valid.

    Example:
        >>> read_settings({}, memory="2GB").memory
        2000000000
    """
    memory = memory or environment.get(MEMORY_VARIABLE)
    upstream = upstream or environment.get(UPSTREAM_VARIABLE)
    key = _key(environment.get(UPSTREAM_KEY_VARIABLE, ""))
    if upstream_models and not upstream:
        raise EngineError("Names of an upstream's models need --upstream.")
    nbytes = _bytes(memory) if memory else None
    if not upstream:
        return ServingSettings(nbytes)
    secret = SecretStr(key) if key else None
    return ServingSettings(nbytes, UpstreamSettings(_url(upstream), secret, upstream_models or {}))


def _bytes(given: str) -> int:
    try:
        size = int(TypeAdapter(ByteSize).validate_python(given.strip()))
    except ValidationError:
        size = 0
    if size < 1:
        raise EngineError(f"Memory for models must be a size such as 4GB or 512MiB, not {given!r}.")
    return size


def _key(given: str) -> str:
    key = given.strip()
    if not (key.isascii() and key.isprintable()):
        # It is not quoted; an error on sending it would quote it.
        raise EngineError(
            f"{UPSTREAM_KEY_VARIABLE} has characters that a header can't have: copy the key again."
        )
    return key


def _url(given: str) -> str:
    try:
        url = httpx2.URL(given.strip())
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 1) >= 2**16:
        raise EngineError(
            f"An upstream must be an address such as http://gpu-box:8000/v1, not {given!r}."
        )
    if url.userinfo or url.query or url.fragment:
        # It is not quoted: it may contain a key.
        raise EngineError(
            "An upstream's address can't have a user, a query or a fragment; "
            f"set its key in {UPSTREAM_KEY_VARIABLE}."
        )
    path = url.path.rstrip("/") or "/v1"
    return str(url.copy_with(path=path))
