"""The engine's process: one for each home, on this machine's own address, and another if asked.

Importing this module is cheap; FastAPI and all that trains is loaded when the engine starts.
"""

import importlib.util
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from langchain_finetune.errors import EngineError
from langchain_finetune.home import RunningEngine, ensure_home, ensure_key, home_path
from langchain_finetune.local.addresses import (
    LOOPBACK,
    Certificate,
    Places,
    choose_places,
    listening,
)

ALIASES_VARIABLE = "LANGCHAIN_FINETUNE_ALIASES"
"""Other names of models, `a=b,c=d`; as `serve --alias`."""

UPSTREAM_MODELS_VARIABLE = "LANGCHAIN_FINETUNE_UPSTREAM_MODELS"
"""Names of models at the upstream, `a=b,c=d`; as `serve --upstream-model`."""

_NEEDED = (
    "fastapi",
    "jinja2",
    "llguidance",
    "uvicorn",
    "python_multipart",
    "torch",
    "transformers",
    "trl",
)
_SAFE_KEY = 24
"""Characters of a key that nobody guesses; the engine's own has 37."""


class AnotherEngineError(EngineError):
    """Another engine serves this home already."""

    exit_code = 3
    """Exit status of a process that ends for this reason."""


def serve(
    home: Path | None = None,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    aliases: Mapping[str, str] | None = None,
    model_memory: str | None = None,
    upstream: str | None = None,
    upstream_models: Mapping[str, str] | None = None,
    log_file: Path | None = None,
    on_start: Callable[[str], None] | None = None,
    certificate: Certificate | None = None,
    insecure_public: bool = False,
    **parts: Any,
) -> None:
    """Run an engine until SIGTERM or SIGINT.

    Args:
        home: Where its state lies; default: `home_path()`.
        host: Where to listen. At another address than a loopback one, others reach the engine:
            that takes a certificate or `insecure_public`. Programs on this machine then still
            find it at a loopback address of its own, without TLS.
        port: Where to listen; 0 takes the port of last time if it is free, and any other
            otherwise, so that models made before keep their address. `engine.json` tells the
            loopback address, the log also the other one.
        aliases: Other names of models, such as `{"gpt-3.5-turbo": "nano"}`; they come on top of
            those in `$LANGCHAIN_FINETUNE_ALIASES` (`a=b,c=d`).
        model_memory: How much the models in memory may take, such as `4GB`; default:
            `$LANGCHAIN_FINETUNE_MODEL_MEMORY`, or half of the memory that is there.
        upstream: Address of a server that writes the answers; default:
            `$LANGCHAIN_FINETUNE_UPSTREAM`, or the engine itself.
        upstream_models: Its names of models by this engine's; they come on top of those in
            `$LANGCHAIN_FINETUNE_UPSTREAM_MODELS` (`a=b,c=d`).
        log_file: Where the log goes; default: stderr.
        on_start: Called with the address once the engine answers.
        certificate: Encrypts what goes to and from others.
        insecure_public: Let others in without TLS: key and chats can be read on their way.
        **parts: Passed on to `create_app`, for tests.

    Raises:
        AnotherEngineError: Another engine serves this home.
        EngineError: The port is taken, others could read what is sent, an alias or another
            setting is malformed, or the extra `[local]` is not installed.
        FineTuningError: The home can't be used, or others can read the key in it.
    """
    places = choose_places(host, port, certificate=certificate, insecure_public=insecure_public)
    require_extra()
    from langchain_finetune.local.serving import read_settings  # noqa: PLC0415 needs the extra

    theirs = parse_aliases(os.environ.get(UPSTREAM_MODELS_VARIABLE, "").split(","))
    serving = read_settings(
        os.environ,
        memory=model_memory,
        upstream=upstream,
        upstream_models=theirs | dict(upstream_models or {}),
    )
    names = parse_aliases(os.environ.get(ALIASES_VARIABLE, "").split(",")) | dict(aliases or {})
    _require_no_alias(serving.upstream.models if serving.upstream else {}, names)
    home = (home or home_path()).absolute()
    ensure_home(home)
    # Runs, uploads and models are private, whoever may enter the home.
    os.umask(0o077)
    key = ensure_key(home)
    if places.public and len(key) < _SAFE_KEY:
        raise EngineError(
            f"The key is too short for an address that others reach: {_SAFE_KEY} characters at"
            " least."
        )
    with _only_engine(home), _sockets(places, home) as (listener, public):
        from langchain_finetune.local.app import create_app  # noqa: PLC0415 needs the extra
        from langchain_finetune.local.http_server import run_http_server  # noqa: PLC0415 as above
        from langchain_finetune.local.store.retention import limits_of  # noqa: PLC0415 as above

        app = create_app(home, key, aliases=names, limits=limits_of(), serving=serving, **parts)
        run_http_server(
            app,
            home,
            log_file,
            listener=listener,
            public=public,
            places=places,
            on_start=on_start,
        )


def _require_no_alias(upstream_models: Mapping[str, str], aliases: Mapping[str, str]) -> None:
    """Refuse an upstream's name for an alias: requests arrive there with what it stands for."""
    for name in upstream_models:
        if name in aliases:
            raise EngineError(
                f"{name!r} is another name of {aliases[name]!r} here: give --upstream-model"
                f" {aliases[name]}={upstream_models[name]}, or leave the alias out."
            )


def parse_aliases(given: Iterable[str]) -> dict[str, str]:
    """Parse aliases such as `gpt-3.5-turbo=nano`; empty ones are passed over.

    Raises:
        EngineError: One has no name on one of its sides.
    """
    aliases = {}
    for alias in given:
        if not alias.strip():
            continue
        name, _, target = (part.strip() for part in alias.partition("="))
        if not name or not target:
            raise EngineError(
                f"A model's other name is given in the form name=model, unlike {alias!r}."
            )
        aliases[name] = target
    return aliases


def require_extra() -> None:
    """Make sure that everything the engine needs is installed, without loading it.

    Raises:
        EngineError: Something is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"The embedded engine needs {', '.join(missing)}: "
            "run pip install 'langchain-finetune[local]'."
        )


@contextmanager
def _only_engine(home: Path) -> Iterator[None]:
    lock = FileLock(home / "engine.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        running = RunningEngine.read(home)
        place = f"serves this home at {running.url}" if running else "is starting on this home"
        raise AnotherEngineError(
            f"Another engine {place}; stop it or choose another home."
        ) from None
    try:
        # What an engine left that was killed would send others to a wrong address.
        (home / "engine.json").unlink(missing_ok=True)
        yield
    finally:
        (home / "engine.json").unlink(missing_ok=True)
        lock.release()


@contextmanager
def _sockets(places: Places, home: Path) -> Iterator[tuple[socket.socket, socket.socket | None]]:
    """Hold the sockets for this machine and for others."""
    with ExitStack() as held:
        public = None
        if places.public:
            public = held.enter_context(listening(places.public.host, places.public.port))
        before = places.port or _port_before(home, places.loopback)
        if public and before == public.getsockname()[1]:
            before = 0
        yield held.enter_context(listening(places.loopback, before)), public


def _port_before(home: Path, host: str) -> int:
    """Return the port that this home's engine had last, or 0 where it can't be had again."""
    try:
        port = int((home / "port").read_text())
        with listening(host, port):
            return port
    except (FileNotFoundError, ValueError, EngineError):
        return 0
