"""Runs the engine: one process per home.

Importing this module is cheap; FastAPI and the training libraries are loaded on start.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from langchain_finetune.errors import EngineError
from langchain_finetune.extras import require_modules
from langchain_finetune.home import RunningEngine, ensure_home, ensure_key, home_path
from langchain_finetune.local.addresses import LOOPBACK, Certificate, Endpoint, choose_endpoints
from langchain_finetune.local.training.machines.settings import Machines

ALIASES_VARIABLE = "LCFT_ALIASES"
"""Other names of models, `a=b,c=d`; as `serve --alias`."""

UPSTREAM_MODELS_VARIABLE = "LCFT_UPSTREAM_MODELS"
"""Names of models at the upstream, `a=b,c=d`; as `serve --upstream-model`."""

STORE_VARIABLE = "LCFT_STORE"
"""PostgreSQL server of runs and datasets, `postgresql://user@host/database`; as `serve --store`."""

_REQUIRED_MODULES = (
    "fastapi",
    "jinja2",
    "llguidance",
    "uvicorn",
    "python_multipart",
    "torch",
    "transformers",
    "trl",
)
_MIN_PUBLIC_KEY_LENGTH = 24
"""Characters of a key that cannot be guessed; a generated one has 37."""


_LOCK_S = 0.5


class AnotherEngineError(EngineError):
    """Another engine is already running on this home."""

    exit_code = 3
    """Exit status of the process."""


def serve(
    home: Path | None = None,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    aliases: Mapping[str, str] | None = None,
    model_memory: str | None = None,
    upstream: str | None = None,
    upstream_models: Mapping[str, str] | None = None,
    store: str | None = None,
    machines: Machines | None = None,
    log_file: Path | None = None,
    on_start: Callable[[str], None] | None = None,
    certificate: Certificate | None = None,
    insecure_public: bool = False,
    **parts: Any,
) -> None:
    """Run an engine until SIGTERM or SIGINT.

    A public host requires a certificate or `insecure_public`; programs on this machine then use a
    separate loopback address, without TLS. Port 0 picks the port of the previous run if it is free,
    so that existing models keep their address. Aliases and upstream models are in addition to those
    of the environment. Training processes run on the `machines`, or here alone. `on_start` is
    called with the loopback URL once the engine is ready; `parts` are passed on to `create_app`,
    for tests.

    Raises:
        AnotherEngineError: Another engine is running on this home.
        EngineError: The port is in use, a public address is not encrypted, an alias or another
            setting is invalid, the store's server can't be used, or the extra `[local]` is not
            installed.
        FineTuningError: The home cannot be used, or other users can read the key in it.
    """
    loopback, public = choose_endpoints(
        host, port, certificate=certificate, insecure_public=insecure_public
    )
    require_extra()
    from langchain_finetune.local.serving import read_settings  # noqa: PLC0415 - requires the extra

    serving = read_settings(
        os.environ,
        memory=model_memory,
        upstream=upstream,
        upstream_models=_aliases(UPSTREAM_MODELS_VARIABLE, upstream_models),
    )
    names = _aliases(ALIASES_VARIABLE, aliases)
    _require_no_alias(serving.upstream.models if serving.upstream else {}, names)
    home = (home or home_path()).absolute()
    ensure_home(home)
    # Runs, uploads and models are private, whatever the mode of the home.
    os.umask(0o077)
    key = ensure_key(home)
    if public and len(key) < _MIN_PUBLIC_KEY_LENGTH:
        raise EngineError(
            "The key is too short for a public address: it must have at least"
            f" {_MIN_PUBLIC_KEY_LENGTH} characters."
        )
    with _engine_lock(home), ExitStack() as sockets:
        public_socket = sockets.enter_context(public.bind()) if public else None
        loopback = _previous_port(home, loopback, public_socket)
        listener = sockets.enter_context(loopback.bind())
        if machines and machines.nodes > 1:
            machines = _listening(machines, sockets)
        from langchain_finetune.local.app import create_app  # noqa: PLC0415 - requires the extra
        from langchain_finetune.local.http_server import run_http_server  # noqa: PLC0415 - as above
        from langchain_finetune.local.store.retention import limits_of  # noqa: PLC0415 - as above

        app = create_app(
            home,
            key,
            aliases=names,
            limits=limits_of(),
            store_server=store or os.environ.get(STORE_VARIABLE, "").strip() or None,
            serving=serving,
            machines=machines,
            **parts,
        )
        run_http_server(
            app,
            home,
            log_file,
            loopback=(loopback, listener),
            public=(public, public_socket) if public and public_socket else None,
            on_start=on_start,
        )


def _listening(machines: Machines, sockets: ExitStack) -> Machines:
    """Return the machines with a socket at which others join, also while no job runs."""
    joining = sockets.enter_context(Endpoint(*machines.host_and_port).bind())
    joining.listen()
    return machines.model_copy(update={"listener": joining.fileno()})


def _require_no_alias(upstream_models: Mapping[str, str], aliases: Mapping[str, str]) -> None:
    """Refuse upstream names of aliases, which are resolved before requests are forwarded."""
    for name in upstream_models:
        if name in aliases:
            raise EngineError(
                f"{name!r} is an alias of {aliases[name]!r}. Use --upstream-model"
                f" {aliases[name]}={upstream_models[name]}, or remove the alias."
            )


def parse_aliases(given: Iterable[str]) -> dict[str, str]:
    """Parse aliases such as `gpt-3.5-turbo=nano`; empty ones are ignored.

    Raises:
        EngineError: An alias is malformed.
    """
    aliases = {}
    for alias in filter(str.strip, given):
        name, _, target = (part.strip() for part in alias.partition("="))
        if not name or not target:
            raise EngineError(f"An alias must have the form name=model, not {alias!r}.")
        aliases[name] = target
    return aliases


def _aliases(variable: str, given: Mapping[str, str] | None) -> dict[str, str]:
    return parse_aliases(os.environ.get(variable, "").split(",")) | dict(given or {})


def require_extra() -> None:
    """Check that the engine's dependencies are installed, without importing them.

    Raises:
        MissingExtraError: A dependency is missing.
    """
    require_modules("The embedded engine", "local", *_REQUIRED_MODULES)


@contextmanager
def _engine_lock(home: Path) -> Iterator[None]:
    lock = FileLock(home / "engine.lock", mode=0o600)
    try:
        # Clients that look whether an engine runs have it for an instant.
        lock.acquire(timeout=_LOCK_S)
    except Timeout:
        running = RunningEngine.read(home)
        state = f"running on this home at {running.url}" if running else "starting on this home"
        raise AnotherEngineError(
            f"Another engine is {state}: stop it with `langchain-finetune stop`, or choose another "
            "home."
        ) from None
    try:
        # An engine that was killed may have left the file, with a wrong address.
        (home / "engine.json").unlink(missing_ok=True)
        yield
    finally:
        (home / "engine.json").unlink(missing_ok=True)
        lock.release()


def _previous_port(home: Path, loopback: Endpoint, public: socket.socket | None) -> Endpoint:
    """Return the loopback endpoint with the port of the previous run, if it is available."""
    if loopback.port:
        return loopback
    try:
        previous = replace(loopback, port=int((home / "port").read_text()))
        if public is None or public.getsockname()[1] != previous.port:
            with previous.bind():
                return previous
    except (FileNotFoundError, ValueError, EngineError):
        pass
    return loopback
