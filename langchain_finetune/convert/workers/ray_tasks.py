"""Conversion on a cluster of Ray: each task goes to a node, and the results come in order.

These are plain tasks of Ray. Ray Data is not used: it gives all rows the columns and the fields of
each, so a tool call would have the arguments of all tools. A lost task is begun again from here:
Ray itself would begin one for which there is too little memory for ever.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import urlsplit

from langchain_finetune.convert.workers import ray_node
from langchain_finetune.convert.workers.in_order import AHEAD, ATTEMPTS, OrderedTasks, Task
from langchain_finetune.convert.workers.pickled import pickled
from langchain_finetune.convert.workers.work import PartWork, RowWork
from langchain_finetune.errors import ConvertError
from langchain_finetune.extras import require_modules

_DECIDE = (
    *("langchain-finetune", "google-re2", "langchain-core", "orjson", "pyarrow", "rensa"),
    *("tiktoken", "tokenizers", "transformers"),
)
"""Packages on which the result depends."""

_REACHED_S = 10.0
"""Seconds to wait for the head's port."""

_LOOK_S = 10.0
"""Seconds after which it is looked how many CPUs the cluster has."""

_WITHOUT_CPU_S = 300.0
"""Seconds to wait for a cluster without a CPU, which may be about to start a node."""


def results_of_ray(
    tasks: Iterator[Task], work: PartWork | RowWork, address: str
) -> Iterator[tuple[Task, Iterator[Any]]]:
    """Yield each task with the values that a node made of it; see `OrderedTasks.results`.

    Args:
        tasks: What is to be done.
        work: Makes an iterator of plain values of a task's data.
        address: `ray`, or `ray://HEAD:PORT`.

    Raises:
        ConvertError: The cluster can't be reached or is lost, a node lacks something, or a task
            ends each process that begins it.
        MissingExtraError: Ray is not installed.
    """
    code, count = pickled(work), work.count()
    with (
        TemporaryDirectory(prefix="langchain-finetune-ray-") as name,
        _connected(address) as ray,
    ):
        yield from _RayTasks(ray, Path(name), tasks, code, count).results()


class _RayTasks(OrderedTasks):
    def __init__(
        self, ray: Any, folder: Path, tasks: Iterator[Task], code: bytes, count: str
    ) -> None:
        super().__init__(folder, tasks, max(1, _cpus(ray)))
        self._ray = ray
        self._given: dict[Any, int] = {}
        """The number of the task of each result that is waited for."""
        self._looked = self._had_cpu = time.monotonic()
        ray.cloudpickle.register_pickle_by_value(ray_node)
        self._remote = ray.remote(num_cpus=1, max_retries=0)(ray_node.convert_on_node)
        versions = {name: _version(name) for name in _DECIDE}
        self._same = [ray.put(code), ray.put(versions), ray.put(count)]
        """What all tasks are given."""

    def end(self) -> None:
        with suppress(ConnectionError):
            for ref in self._given:
                self._ray.cancel(ref, force=True)
        with suppress(ValueError):  # Another conversion of this process has ended.
            self._ray.cloudpickle.unregister_pickle_by_value(ray_node)

    def assign(self) -> None:
        code, versions, count = self._same
        with _connection():
            while self.idle and len(self._given) < self.workers * AHEAD:
                number = self.idle.popleft()
                data = self._ray.put(self.path(number).read_bytes())
                self._given[self._remote.remote(code, data, versions, count)] = number

    def hear(self, *, wait: bool) -> None:
        given = list(self._given)
        if not given:
            return
        most, seconds = (1, _LOOK_S) if wait else (len(given), 0)
        done: list[Any] = []
        with _connection():
            while not done:
                self._look()
                done, _ = self._ray.wait(given, num_returns=most, timeout=seconds)
                if not wait:
                    break
            for ref in done:
                self._take(ref)
        self.assign()

    def _take(self, ref: Any) -> None:
        """Keep a result, or begin its task again."""
        number = self._given.pop(ref)
        try:
            made = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise ConvertError(f"{self.name(number)} can't be converted: {error.cause}") from error
        except self._ray.exceptions.RayError as error:
            # The process or its node is gone, or what it made.
            who = f"A process of Ray ended {ATTEMPTS} times ({type(error).__name__})"
            self.lost(number, who, "There may be too little memory: leave these chats out.")
            self.idle.appendleft(number)
            return
        if isinstance(made, str):
            raise ConvertError(made)
        (self.folder / f"{number}.done").write_bytes(made)
        self.finish(number)

    def _look(self) -> None:
        """Take in how many CPUs the cluster has now."""
        now = time.monotonic()
        if now < self._looked + _LOOK_S:
            return
        self._looked = now
        if cpus := _cpus(self._ray):
            self.workers = cpus
            self._had_cpu = now
        elif now > self._had_cpu + _WITHOUT_CPU_S:
            raise ConvertError(
                f"Ray's cluster has had no node with a CPU for {_WITHOUT_CPU_S:.0f} s: start some "
                "with `ray start --address=HEAD:6379`, and convert again."
            )


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine if `ray` finds none."""
    modules = ("ray", "grpc") if "://" in address else ("ray",)
    require_modules(f"Converting on {address}", "ray", *modules)
    # With `uv run`, Ray would copy the working directory to all nodes, with what lies in it.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray  # noqa: PLC0415 - of the extra `ray`

    if address == "ray" and ray.is_initialized():
        yield ray  # Who has connected this process disconnects it.
        return
    if "://" in address:
        _require_port(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        # What nodes print may be a text.
        ray.init(
            None if address == "ray" else address,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        ray.shutdown()  # Of what was begun.
        where = "The cluster of Ray on this machine" if address == "ray" else address
        why = " ".join(str(error).split())
        raise ConvertError(
            f"{where} can't be used ({why}). Start its head with `ray start --head`, or convert "
            "without Ray."
        ) from error
    try:
        # Ray's own handler ends this process at once, and leaves the others.
        if handler is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _end)
        yield ray
    finally:
        ray.shutdown()
        if handler and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has set its own.


@contextmanager
def _connection() -> Iterator[None]:
    """Say in words that the connection was lost."""
    try:
        yield
    except ConnectionError as error:
        raise ConvertError(
            "The connection to Ray was lost. What was converted is not kept: convert again, once "
            "the cluster is there."
        ) from error


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End in good order by a signal."""
    raise SystemExit(128 + number)


def _require_port(address: str) -> None:
    """Refuse a head that does not answer; Ray itself would try for half a minute."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname, parts.port), _REACHED_S).close()
    except (OSError, ValueError) as error:
        raise ConvertError(
            f"The head of Ray at {parts.netloc} can't be reached ({error}). It runs with "
            "`ray start --head`, and listens for clients at port 10001 unless "
            "--ray-client-server-port says otherwise."
        ) from error


def _cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
