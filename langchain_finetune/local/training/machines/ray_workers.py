"""Training processes on a Ray cluster: each one beside an actor, which Ray places.

An actor starts one training process and passes its reports on. It ends with its driver, the process
that the engine has started, and the training process with the actor.
"""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.machines.process import (
    TrainingProcess,
    difference,
    digest,
    log_of,
    versions,
)
from langchain_finetune.local.training.machines.settings import (
    ANY_CLUSTER,
    Machines,
    host_and_port,
)
from langchain_finetune.local.training.machines.waiting import UNAVAILABLE, Wait
from langchain_finetune.local.training.spec import Spec

_CONNECT_S, _LOOK_S = 10.0, 0.5
_START_S = 120.0
"""How long an actor may take to begin."""


class Placed(TrainingProcess):
    """The actor: a training process on the machine that Ray has chosen."""

    def about(self) -> tuple[str, int, dict[str, str], str | None]:
        """Return address, a free port and versions here, and what is seen of the specification."""
        import ray  # noqa: PLC0415 - an extra

        os.umask(0o077)
        address = ray.util.get_node_ip_address()
        with socket.create_server((address, 0)) as listener:
            port = int(listener.getsockname()[1])
        return address, port, versions(), digest(self._specification)


class RayWorker:
    """A training process on a Ray cluster; `log` is for what it writes to standard error."""

    # Ray shows each actor its own GPU alone.
    local_rank = 0

    def __init__(self, ray: Any, actor: Any, where: str, log: Path) -> None:
        self.where = where
        self._ray = ray
        self._actor = actor
        self._log = log
        self._started: Any = None

    def start(self, place: Mapping[str, str]) -> None:
        """Start it; what goes wrong is noticed when its lines are read."""
        self._started = self._actor.start.remote(dict(place), self._log)

    def items(self) -> Iterator[bytes | int | None]:
        """Yield its lines and its exit status; None if its actor or machine is gone."""
        try:
            # An actor of several threads begins its tasks in any order.
            self._ray.get(self._started)
            for item in self._actor.items.options(num_returns="streaming").remote():
                yield self._ray.get(item)
        except self._ray.exceptions.RayError as error:
            sys.stderr.write(f"Ray lost the process on {self.where}: {type(error).__name__}\n")
            yield None

    def ask_to_stop(self) -> None:
        """Ask it to stop."""
        self._actor.ask_to_stop.remote()

    def end(self) -> None:
        """End it."""
        self._ray.kill(self._actor)


@contextmanager
def ray_workers(
    machines: Machines, spec: Spec, specification: Path, wait: Wait, *, alone: bool
) -> Iterator[tuple[list[RayWorker], str, int]]:
    """Return workers on a Ray cluster, with the address and a port of the first one.

    Raises:
        TrainingFailure: `trainer_unavailable`: the cluster can't be reached or has no room in time,
            or one of its machines has other versions or does not see the engine's home.
    """
    ray = _connected(machines.address or ANY_CLUSTER)
    try:
        there = ray.cluster_resources()
        resources = {name: 1.0 for name in ("CPU", "GPU") if there.get(name)}
        number = 1 if alone else machines.processes or max(1, int(there.get("GPU", 0)))
        group = ray.util.placement_group([resources] * number)
        has = ", ".join(f"{there[name]:g} {name}s" for name in resources)
        missing = (
            f"The Ray cluster has no room for ranks 0 to {number - 1}, each with"
            f" {' and '.join(f'a {name}' for name in resources)}: it has {has} in all."
        )
        while not group.wait(_LOOK_S):
            if not wait.goes_on(lambda: missing):
                yield [], "", 0
                return
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        actors = [
            ray.remote(Placed)
            .options(
                num_cpus=1,
                num_gpus=resources.get("GPU", 0),
                # Its lines are read while it is asked to stop.
                max_concurrency=3,
                scheduling_strategy=strategy(group, placement_group_bundle_index=rank),
            )
            .remote(specification)
            for rank in range(number)
        ]
        found = [_about(ray, rank, actor, spec, specification) for rank, actor in enumerate(actors)]
        workers = [
            RayWorker(ray, actor, address, log_of(spec.work, rank))
            for rank, (actor, (address, _)) in enumerate(zip(actors, found, strict=True))
        ]
        yield workers, *found[0]
    finally:
        # Also ends what it has placed.
        ray.shutdown()


def _connected(address: str) -> Any:
    """Return Ray, connected to a cluster."""
    # The engine sends nothing anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415

        if address != ANY_CLUSTER:
            # Ray itself tries for a minute.
            socket.create_connection(host_and_port(address), timeout=_CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        # Its own message says which versions differ, or that no cluster runs here.
        reason = " ".join(str(error).split())
        message = f"The Ray cluster {address!r} can't be used: {reason}"
        raise TrainingFailure(UNAVAILABLE, message) from error
    return ray


def _about(ray: Any, rank: int, actor: Any, spec: Spec, specification: Path) -> tuple[str, int]:
    """Return an actor's address and a free port there, once it is known to fit the engine."""
    try:
        address, port, theirs, seen = ray.get(actor.about.remote(), timeout=_START_S)
    except ray.exceptions.RayError as error:
        raise TrainingFailure(
            UNAVAILABLE,
            f"The actor of rank {rank} did not start ({type(error).__name__}): this version of"
            " langchain-finetune has to be installed on each machine of the cluster.",
        ) from error
    if other := difference(theirs):
        message = f"The versions at {address} are not those of the engine's machine: {other}."
        raise TrainingFailure(UNAVAILABLE, message)
    if seen != digest(specification):
        raise TrainingFailure(
            UNAVAILABLE,
            f"The machine {address} (rank {rank}) does not see the engine's home: it has to be"
            f" shared, at the same path as {spec.work.parent.parent}, on each machine.",
        )
    return address, port
