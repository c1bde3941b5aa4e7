"""LRU cache of loaded models, bounded by memory.

Light to import: the functions that weigh, load and free models are arguments.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from langchain_finetune.local.api_error import ApiError

R = TypeVar("R")


async def in_daemon_thread(work: Callable[[], R]) -> R:
    """Run `work` in a thread of its own and return what it returns, or raise what it raises.

    `asyncio.to_thread` would keep a server that was just started from stopping for as long as
    torch takes to import.
    """
    outcome = Attempt[R]()
    # From here on it can't be cancelled, whether or not somebody still waits.
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        with outcome:
            outcome.set_result(work())

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(outcome)


class Attempt(Future[R]):
    """A result, or the error that ends its context, of whatever kind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            self.set_exception(error)
        return True


MEMORY_VARIABLE = "LCFT_MODEL_MEMORY"
"""Most memory that loaded models may take, such as `4GB`; as `serve --model-memory`."""


class Sized(Protocol):
    """What a pool holds."""

    @property
    def nbytes(self) -> int:
        """Return its memory in bytes."""


T = TypeVar("T", bound=Sized)


class Lease(Generic[T]):
    """A model in memory, which stays there while it is held.

    Call all methods on the event loop's thread. A forgotten one can no longer be leased.
    """

    def __init__(
        self,
        model: T,
        on_idle: Callable[["Lease[T]"], None],
        base: "Lease[T] | None" = None,
    ) -> None:
        self.model = model
        self.base = base
        self.users = 0
        self.forgotten = False
        self._on_idle = on_idle

    def hold(self) -> None:
        """Keep it in memory until `release` is called once more."""
        self.users += 1

    def release(self) -> None:
        """Stop holding it."""
        self.users -= 1
        if not self.users:
            self._on_idle(self)


class ModelPool(Generic[T]):
    """The models of an engine that are in memory.

    One is loaded at a time. Requests wait, in order, until others have released enough memory; no
    request holds one model while it waits for another, so there is no deadlock. `weigh` returns
    how many bytes a folder's model will take, `load` loads it, an adapter onto its base, and `free`
    gives back the memory of those that are gone; all three functions run in threads.
    """

    def __init__(
        self,
        limit: int,
        *,
        weigh: Callable[[Path], int],
        load: Callable[[Path, T | None], T],
        free: Callable[[], None],
    ) -> None:
        self.limit = limit
        self.nbytes = 0
        self._weigh = weigh
        self._load = load
        self._free = free
        self._leases: OrderedDict[tuple[str, Path], Lease[T]] = OrderedDict()
        self._turn = asyncio.Lock()
        self._loading: asyncio.Task[Lease[T]] | None = None
        self._loads = ""
        self._short = False
        self._idle = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """Names of the models in memory, least recently used first."""
        return [name for name, _ in self._leases]

    async def lease(
        self, name: str, folder: Path, base: tuple[str, Path] | None = None
    ) -> Lease[T]:
        """Return a model, loaded if it is not in memory; the caller holds it.

        One with a `base`, a name and a folder, is an adapter: as long as it is in memory, so is
        the base, which others may share.

        Raises:
            ApiError: 400 with the code `model_too_large`; and what `load` raises.
        """
        key = (name, folder)
        # While one waits for room all queue up, or it might never get any.
        if key in self._leases and not self._short:
            return self._held(key)
        async with self._turn:
            if self._loading:
                # Its client has gone, but it still takes its room.
                await asyncio.wait({self._loading})
                self._loading = None
            if key not in self._leases:
                nbytes = await asyncio.to_thread(self._weigh, folder)
                more = await asyncio.to_thread(self._weigh, base[1]) if base else 0
                if nbytes + more > self.limit:
                    message = (
                        f"The model '{name}' takes {_readable(nbytes + more)} of memory, and the "
                        f"engine keeps at most {_readable(self.limit)} of models: start it with a "
                        f"larger --model-memory (or {MEMORY_VARIABLE})."
                    )
                    raise ApiError(400, message, code="model_too_large", param="model")
                if base is None:
                    await self._bring_in(key, nbytes, None)
                else:
                    if base not in self._leases:
                        await self._bring_in(base, more, None)
                    held = self._held(base)
                    try:
                        await self._bring_in(key, nbytes, held)
                    finally:
                        held.release()
            return self._held(key)

    async def forget(self, name: str) -> None:
        """Unload a model; an answer that it is writing now is still finished."""
        if self._loading and self._loads == name:
            # It would come in afterwards. The request that waits for it may use it once.
            await asyncio.wait({self._loading})
        for key in [key for key in self._leases if key[0] == name]:
            self._drop(key)
        await asyncio.to_thread(self._free)

    def _held(self, key: tuple[str, Path]) -> Lease[T]:
        self._leases.move_to_end(key)
        lease = self._leases[key]
        lease.hold()
        return lease

    async def _bring_in(self, key: tuple[str, Path], nbytes: int, base: Lease[T] | None) -> None:
        await self._make_room(nbytes)
        self._loads = key[0]
        loading = self._loading = asyncio.create_task(self._fill(key, nbytes, base))
        # Python warns about errors that are never retrieved.
        loading.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({loading})
        self._loading = None
        loading.result()

    async def _fill(self, key: tuple[str, Path], nbytes: int, base: Lease[T] | None) -> Lease[T]:
        self.nbytes += nbytes
        on = base.model if base else None
        if base:
            base.hold()
        try:
            model = await in_daemon_thread(lambda: self._load(key[1], on))
        except BaseException:
            if base:
                base.release()
            raise
        finally:
            self.nbytes -= nbytes
        lease = self._leases[key] = Lease(model, self._on_idle, base)
        self.nbytes += model.nbytes
        return lease

    async def _make_room(self, nbytes: int) -> None:
        if self.nbytes + nbytes <= self.limit:
            return
        try:
            while self.nbytes + nbytes > self.limit:
                idle = next((key for key, lease in self._leases.items() if not lease.users), None)
                if idle:
                    self._drop(idle)
                else:
                    self._short = True
                    self._idle.clear()
                    await self._idle.wait()
        finally:
            self._short = False
        await asyncio.to_thread(self._free)

    def _drop(self, key: tuple[str, Path]) -> None:
        lease = self._leases.pop(key)
        lease.forgotten = True
        if not lease.users:
            self._on_idle(lease)

    def _on_idle(self, lease: Lease[T]) -> None:
        if lease.forgotten:
            self.nbytes -= lease.model.nbytes
            if lease.base:
                lease.base.release()
        self._idle.set()


def _readable(nbytes: int) -> str:
    """Return a number of bytes in a readable form.

    Example:
        >>> _readable(2_500_000_000)
        '2.5 GB'
    """
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 10**8 else f"{nbytes / 1e6:.1f} MB"
