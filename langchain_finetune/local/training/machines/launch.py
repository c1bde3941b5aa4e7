"""Trains with several processes: starts them, passes on what the first reports, ends them all."""

import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from langchain_finetune.local.training.checkpoints import last_checkpoint
from langchain_finetune.local.training.events import (
    EVENTS,
    LESS_MEMORY,
    OUT_OF_MEMORY,
    WORKER_LOST,
    Done,
    Failed,
    Reporter,
    Stopped,
    TrainingFailure,
)
from langchain_finetune.local.training.machines.nodes import nodes
from langchain_finetune.local.training.machines.process import TrainingProcess, processes_here
from langchain_finetune.local.training.machines.ray_workers import ray_workers
from langchain_finetune.local.training.machines.settings import Machines
from langchain_finetune.local.training.machines.waiting import Wait
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.local.training.spec import Spec

_LOOPBACK = "127.0.0.1"

_SETTLE_S = 2.0
"""How long others have to end, once one has failed: the cause may be theirs."""


class Worker(Protocol):
    """Runs one training process, here or elsewhere.

    Attributes:
        where: Name of its machine.
        local_rank: Its number among those of its machine.
    """

    @property
    def where(self) -> str: ...  # noqa: D102 - as above
    @property
    def local_rank(self) -> int: ...  # noqa: D102

    def start(self, place: Mapping[str, str]) -> None:
        """Start the process, with the variables of its place."""

    def items(self) -> Iterator[bytes | int | None]:
        """Yield the lines of its reports, and at last its exit status; None if it is lost."""
        ...

    def ask_to_stop(self) -> None:
        """Ask the process to save its state and to end."""

    def end(self) -> None:
        """End the process."""


def launch(
    spec: Spec,
    specification: Path,
    reporter: Reporter,
    stop: threading.Event,
    endings: list[Callable[[], None]],
) -> None:
    """Train with the processes that the specification's machines are to have.

    What ends them is put into `endings` for the time that they run.

    Raises:
        TrainingFailure: `trainer_unavailable`: machines did not come in time; `worker_lost`: one
            was lost, or killed; or the failure of the first process that failed.
    """
    assert spec.machines
    wait = Wait(spec.machines.wait_s, reporter, stop)
    with _workers(spec.machines, spec, specification, wait) as (workers, address, port):
        if stop.is_set():
            reporter.report(Stopped(step=last_checkpoint(spec.work) or 0))
            return
        if isinstance(size := spec.hyperparameters.batch_size, int) and size % len(workers):
            message = f"batch_size must be a multiple of {len(workers)}, the number of processes."
            raise TrainingFailure("invalid_hyperparameters", message)
        end = partial(_end, workers)
        endings.append(end)
        try:
            for rank, worker in enumerate(workers):
                worker.start(_place(rank, workers, address, port))
            threading.Thread(target=_pass_on, args=(stop, workers[0]), daemon=True).start()
            if failure := _follow(workers, reporter):
                raise failure
        finally:
            end()
            endings.remove(end)


@contextmanager
def _workers(
    machines: Machines, spec: Spec, specification: Path, wait: Wait
) -> Iterator[tuple[Sequence[Worker], str, int]]:
    """Return workers in the order of their ranks, and where the first can listen."""
    # The loss of the other methods is no mean over all tokens of a step: it would be another one.
    alone = not TRAINING[spec.method].packs
    if machines.trainer == "ray":
        with ray_workers(machines, spec, specification, wait, alone=alone) as found:
            yield found
        return
    number = 1 if alone else machines.processes or processes_here()
    here = [TrainingProcess(specification, rank, number) for rank in range(number)]
    if machines.nodes == 1 or alone:
        yield here, _LOOPBACK, _free_port(_LOOPBACK)
        return
    with nodes(machines, specification, wait, first_rank=number) as others:
        host, _ = machines.host_and_port
        yield [*here, *others], host, _free_port(host)


def _free_port(host: str) -> int:
    """Return a port of this machine that nobody listens at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return int(listener.getsockname()[1])


def _place(rank: int, workers: Sequence[Worker], address: str, port: int) -> dict[str, str]:
    """Return the variables by which a process knows its place, as `torchrun` sets them."""
    place = {"RANK": str(rank), "WORLD_SIZE": str(len(workers))}
    if len(workers) == 1:
        return place
    place |= {"LOCAL_RANK": str(workers[rank].local_rank)}
    return place | {"MASTER_ADDR": address, "MASTER_PORT": str(port)}


def _pass_on(stop: threading.Event, first: Worker) -> None:
    stop.wait()
    first.ask_to_stop()


def _end(workers: Sequence[Worker]) -> None:
    threads = [threading.Thread(target=worker.end) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _follow(workers: Sequence[Worker], reporter: Reporter) -> TrainingFailure | None:
    """Follow all processes until the first has done its work, or until one has failed."""
    told: queue.SimpleQueue[tuple[int, bytes | int | None]] = queue.SimpleQueue()
    for rank, worker in enumerate(workers):
        threading.Thread(target=_read, args=(rank, worker, told), daemon=True).start()
    ended: dict[int, int | None] = {}
    failures: dict[int, Failed] = {}
    is_over, until = False, float("inf")
    while len(ended) < len(workers) and not (is_over and 0 in ended):
        left = until - time.monotonic()
        try:
            rank, item = told.get(timeout=None if until == float("inf") else max(0.0, left))
        except queue.Empty:
            break
        if isinstance(item, bytes):
            try:
                event = EVENTS.validate_json(item)
            except ValidationError:
                continue
            if isinstance(event, Failed):
                failures[rank] = event
            elif rank == 0:
                is_over |= isinstance(event, Done | Stopped)
                reporter.report(event)
        else:
            ended[rank] = item
            if item != 0:
                until = min(until, time.monotonic() + _SETTLE_S)
    return None if is_over and ended.get(0) == 0 else _judged(workers, ended, failures)


def _read(
    rank: int, worker: Worker, told: "queue.SimpleQueue[tuple[int, bytes | int | None]]"
) -> None:
    for item in worker.items():
        told.put((rank, item))


_CONSEQUENCES = ("internal_error", WORKER_LOST)
"""Codes of failures that the end of another process may have caused, the likelier cause first."""


def _judged(
    workers: Sequence[Worker], ended: Mapping[int, int | None], failures: Mapping[int, Failed]
) -> TrainingFailure:
    """Return why a training has failed: what others met afterwards is no cause."""
    for rank, failure in sorted(failures.items()):
        if failure.code not in _CONSEQUENCES:
            return _told(rank, workers, failure)
    for rank, status in sorted(ended.items()):
        # A process aborts itself when others are gone.
        if status is None or (status < 0 and status != -signal.SIGABRT):
            how = "was lost" if status is None else f"was ended by {signal.Signals(-status).name}"
            message = f"The training process of rank {rank} on {workers[rank].where} {how}."
            return TrainingFailure(WORKER_LOST, message)
    for code in _CONSEQUENCES:
        for rank, failure in sorted(failures.items()):
            if failure.code == code:
                return _told(rank, workers, failure)
    rank, status = next(((rank, status) for rank, status in ended.items() if status), (0, 0))
    if status == OUT_OF_MEMORY:
        return TrainingFailure("out_of_memory", f"Memory ran out: {LESS_MEMORY}.")
    message = f"The training process of rank {rank} on {workers[rank].where} ended too early"
    return TrainingFailure("server_error", f"{message}, with status {status}; see its log.")


def _told(rank: int, workers: Sequence[Worker], failure: Failed) -> TrainingFailure:
    where = f"Rank {rank} on {workers[rank].where}: " if rank else ""
    return TrainingFailure(failure.code, where + failure.message)
