"""The engine's process: one for each home, on this machine's own address.

Importing this module is cheap; FastAPI and all that trains is loaded when the engine starts.
"""

import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from langchain_finetune.errors import EngineError
from langchain_finetune.home import RunningEngine, ensure_home, ensure_key, home_path

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

ALIASES_VARIABLE = "LANGCHAIN_FINETUNE_ALIASES"

_HOSTS = frozenset({"127.0.0.1", "localhost"})
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
_GRACE_S = 3


class AnotherEngineError(EngineError):
    """Another engine serves this home already."""

    exit_code = 3
    """Exit status of a process that ends for this reason."""


def serve(
    home: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    aliases: Mapping[str, str] | None = None,
    log_file: Path | None = None,
    on_start: Callable[[str], None] | None = None,
    **parts: Any,
) -> None:
    """Run an engine until SIGTERM or SIGINT.

    Args:
        home: Where its state lies; default: `home_path()`.
        host: `127.0.0.1` or `localhost`; the engine serves this machine only.
        port: Where to listen; 0 takes the port of last time if it is free, and any other
            otherwise, so that models made before keep their address. `engine.json` tells it.
        aliases: Other names of models, such as `{"gpt-3.5-turbo": "nano"}`; they come on top of
            those in `$LANGCHAIN_FINETUNE_ALIASES` (`a=b,c=d`).
        log_file: Where the log goes; default: stderr.
        on_start: Called with the address once the engine answers.
        **parts: Passed on to `create_app`, for tests.

    Raises:
        AnotherEngineError: Another engine serves this home.
        EngineError: The port is taken, the host is not this machine, an alias is malformed, or
            the extra `[local]` is not installed.
    """
    if host not in _HOSTS:
        raise EngineError(
            f"The engine serves this machine only: the host must be 127.0.0.1, not {host!r}."
        )
    require_extra()
    names = parse_aliases(os.environ.get(ALIASES_VARIABLE, "").split(",")) | dict(aliases or {})
    home = (home or home_path()).absolute()
    ensure_home(home)
    # Runs, uploads and models are private, whoever may enter the home.
    os.umask(0o077)
    with _only_engine(home), _listening(port or _port_before(home)) as listener:
        from langchain_finetune.local.app import create_app  # noqa: PLC0415 needs the extra

        app = create_app(home, ensure_key(home), aliases=names, **parts)
        _run(app, listener, home, log_file, on_start)


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
            raise EngineError(f"An alias has the form name=model, unlike {alias!r}.")
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


def _port_before(home: Path) -> int:
    """Return the port that this home's engine had last, or 0 where it can't be had again."""
    try:
        port = int((home / "port").read_text())
        with _listening(port):
            return port
    except (FileNotFoundError, ValueError, EngineError):
        return 0


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            raise EngineError(
                f"Port {port} can't be used: choose another one, or 0 for any that is free."
            ) from None
        yield listener


def _run(
    app: "FastAPI",
    listener: socket.socket,
    home: Path,
    log_file: Path | None,
    on_start: Callable[[str], None] | None,
) -> None:
    import uvicorn  # noqa: PLC0415 needs the extra

    from langchain_finetune.local.quiet_log import log_config  # noqa: PLC0415 with the above

    class Server(uvicorn.Server):
        async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
            await super().startup(sockets=list(sockets or []))
            if self.started:
                port = listener.getsockname()[1]
                (home / "port").write_text(str(port))
                url = f"http://127.0.0.1:{port}"
                RunningEngine(url, os.getpid(), version("langchain-finetune")).write(home)
                logger.info("The engine is at %s; its home is %s", url, home)
                if on_start:
                    on_start(url)

    server = Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            ws="none",
            log_config=log_config(str(log_file) if log_file else None),
            # Paths may carry training text, in filters.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    with _signals_stop(server):
        server.run(sockets=[listener])
    if not server.started:
        raise EngineError("The engine could not start; its log says why.")


@contextmanager
def _signals_stop(server: Any) -> Iterator[None]:
    """Keep SIGTERM and SIGINT from ending the process before it has tidied up.

    uvicorn raises the signal once more after its own shutdown.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
