"""Where a job's training processes run: the settings of `serve --trainer`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from langchain_finetune.errors import EngineError
from langchain_finetune.extras import require_modules

TRAINER_VARIABLE = "LCFT_TRAINER"
"""Who starts training processes: `torchrun` or `ray`; as `serve --trainer`."""

ADDRESS_VARIABLE = "LCFT_TRAINER_ADDRESS"
"""Address that other machines join, or of the Ray cluster; as `serve --trainer-address`."""

NODES_VARIABLE = "LCFT_TRAINER_NODES"
"""Number of machines that train together; as `serve --trainer-nodes`."""

PROCESSES_VARIABLE = "LCFT_TRAINER_PROCESSES"
"""Training processes of this machine, or of a Ray cluster; as `serve --trainer-processes`."""

ANY_CLUSTER = "auto"
"""Ray's name for the cluster that this machine belongs to."""

_PORTS = range(1, 2**16)


class Machines(BaseModel):
    """Where the processes of a training run.

    Attributes:
        trainer: `torchrun`: on this machine, and on others that join; `ray`: on a Ray cluster.
        address: `HOST:PORT` of this machine, that others join; or that of the Ray cluster.
        nodes: Number of machines, this one among them; for `torchrun`.
        processes: Number of processes, on this machine or of the cluster; None for one a GPU.
        wait_s: How long machines, or the cluster's room, are waited for.
        listener: Descriptor of the socket at which other machines join, where there is one already.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trainer: Literal["torchrun", "ray"]
    address: str | None = None
    nodes: int = 1
    processes: int | None = None
    wait_s: float = 300.0
    listener: int | None = None

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The two parts of the address."""
        assert self.address
        return host_and_port(self.address)


def host_and_port(address: str) -> tuple[str, int]:
    """Return the two parts of an address such as `node-1:29400` or `[::1]:29400`.

    Raises:
        EngineError: It is none.

    Example:
        >>> host_and_port("[::1]:29400")
        ('::1', 29400)
    """
    host, _, port = address.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) not in _PORTS:
        raise EngineError(
            f"The trainer's address must be HOST:PORT, such as 10.0.0.1:29400, not {address!r}."
        )
    return host, int(port)


def read_machines(
    environment: Mapping[str, str],
    *,
    trainer: str | None = None,
    address: str | None = None,
    nodes: int | None = None,
    processes: int | None = None,
) -> Machines | None:
    """Read and check the settings; arguments take precedence over the environment.

    Raises:
        EngineError: One of them is not valid.
        MissingExtraError: Ray is not installed.

    Example:
        >>> read_machines({}, trainer="torchrun", processes=2).processes
        2
    """
    given = {
        "address": address or environment.get(ADDRESS_VARIABLE) or None,
        "nodes": nodes or environment.get(NODES_VARIABLE) or None,
        "processes": processes or environment.get(PROCESSES_VARIABLE) or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    trainer = trainer or environment.get(TRAINER_VARIABLE)
    if not trainer:
        if given:
            raise EngineError(f"The trainer's {', '.join(given)} need --trainer torchrun or ray.")
        return None
    try:
        machines = Machines.model_validate({"trainer": trainer, **given})
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        wanted = "torchrun or ray" if name == "trainer" else "a number"
        found = trainer if name == "trainer" else given[str(name)]
        raise EngineError(f"The trainer's {name} must be {wanted}, not {found!r}.") from None
    if machines.nodes < 1 or (machines.processes or 1) < 1:
        raise EngineError("The numbers of the trainer's nodes and processes must be at least 1.")
    if trainer == "ray":
        return _of_ray(machines)
    if (machines.nodes > 1) != bool(machines.address):
        raise EngineError(
            "--trainer-nodes and --trainer-address belong together: the number of machines, and"
            " the address of this one, HOST:PORT, that the others join."
        )
    if machines.address and machines.host_and_port[0] in {"0.0.0.0", "::"}:  # noqa: S104 - refused
        raise EngineError(
            "The trainer's address must be one by which other machines reach this one."
        )
    return machines


def _of_ray(machines: Machines) -> Machines:
    require_modules("Training on a Ray cluster", "ray", "ray")
    if machines.nodes > 1:
        raise EngineError("Ray chooses the machines: set --trainer-processes, not the nodes.")
    if machines.address not in {None, ANY_CLUSTER}:
        host_and_port(machines.address or "")
    return machines
