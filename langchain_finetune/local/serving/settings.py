"""Settings of serving, from the environment and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2
from pydantic import ByteSize, SecretStr, TypeAdapter, ValidationError

from langchain_finetune.errors import EngineError
from langchain_finetune.local.serving.model_pool import MEMORY_VARIABLE

UPSTREAM_VARIABLE = "LANGCHAIN_FINETUNE_UPSTREAM"
"""Address of a server that writes the answers; as `serve --upstream`."""

UPSTREAM_KEY_VARIABLE = "LANGCHAIN_FINETUNE_UPSTREAM_API_KEY"
"""The upstream's key."""


@dataclass(frozen=True)
class UpstreamSettings:
    """Another server of OpenAI's API, which answers instead of the engine.

    Attributes:
        url: Where its API begins, such as `http://gpu-box:8000/v1`.
        key: Sent as `Authorization: Bearer`; None for no key.
        models: Its names of models by this engine's, where they are not the same.
    """

    url: str
    key: SecretStr | None = None
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServingSettings:
    """How an engine serves.

    Attributes:
        memory: Most bytes of the weights of all models in memory; None for the engine's choice.
        upstream: The server that answers; None for the engine itself.
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

    Args:
        environment: Such as `os.environ`; the upstream's key is read from here only, since others
            can read a command line.
        memory: Such as `4GB` or `512MiB`.
        upstream: The address of another server.
        upstream_models: Its names of models by this engine's.

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
    return ServingSettings(
        memory=_bytes(memory) if memory else None,
        upstream=UpstreamSettings(
            _url(upstream), SecretStr(key) if key else None, upstream_models or {}
        )
        if upstream
        else None,
    )


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
