"""What this machine can compute with. `torch` is imported on first use: that takes seconds."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.local.api_error import ApiError

_MEMORY_LIMITS = (
    # What a container may take, in the second and in the first version of Linux' control groups.
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

SMALL_MODEL = 100_000_000
"""Parameters below which a model is tiny: trained in full, and served in 32 bits on a CPU."""


@dataclass(frozen=True)
class Hardware:
    """What PyTorch finds here, and what follows from it.

    Attributes:
        cuda_gpus: Graphics processors that CUDA (or ROCm) reaches.
        cuda_bfloat16: They compute with bfloat16 themselves: NVIDIA's do from Ampere on.
        apple_gpu: An Apple GPU is there.
        cpu_bfloat16: The CPU has AVX512_BF16 or AMX.
    """

    cuda_gpus: int = 0
    cuda_bfloat16: bool = False
    apple_gpu: bool = False
    cpu_bfloat16: bool = False

    @property
    def device(self) -> str:
        """`cuda` or `mps` where a GPU of that kind is there, else `cpu`.

        Example:
            >>> Hardware(cuda_gpus=2, apple_gpu=True).device
            'cuda'
        """
        if self.cuda_gpus:
            return "cuda"
        return "mps" if self.apple_gpu else "cpu"

    @property
    def fast_bfloat16(self) -> bool:
        """16-bit floats are faster than 32-bit ones on the device that is used.

        What lacks them emulates them, which is slower than not using them. Apple's GPUs know the
        type, but most of them are no faster with it.

        Example:
            >>> Hardware(cuda_gpus=1, cpu_bfloat16=True).fast_bfloat16
            False
        """
        return {"cuda": self.cuda_bfloat16, "mps": False, "cpu": self.cpu_bfloat16}[self.device]

    @classmethod
    def here(cls) -> "Hardware":
        """Return what this machine has."""
        import torch  # noqa: PLC0415 - seconds

        if torch.cuda.is_available():
            # By default, PyTorch also says yes where it emulates the type.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
            return cls(cuda_gpus=torch.cuda.device_count(), cuda_bfloat16=bool(native))
        capabilities = torch.cpu.get_capabilities()
        return cls(
            apple_gpu=torch.backends.mps.is_available(),
            cpu_bfloat16=any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16")),
        )


def share_the_cpu() -> None:
    """Keep threads that wait from spinning; call it before `torch` is imported.

    Where training and answering, or anything else, compete for the cores, a spinning thread
    takes the time of the one that it waits for: a training step was ten times slower so.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def device() -> str:
    """Return `cuda` or `mps` where a GPU of that kind is there, else `cpu`."""
    return Hardware.here().device


def has_fast_bfloat16() -> bool:
    """Tell whether 16-bit floats are faster here than 32-bit ones; see `Hardware`."""
    return Hardware.here().fast_bfloat16


def serving_threads(parameters: int) -> int:
    """Return how many CPU threads an answer should take.

    A tiny model is fastest on one thread: sharing out its small matrices costs more than it
    gains, and a training run that goes on beside it keeps the other cores.
    """
    return 1 if parameters < SMALL_MODEL else max(1, os.cpu_count() or 1)


def model_memory() -> int:
    """Return how many bytes of models an engine keeps, where nobody says.

    It is half of the memory that they lie in: training needs the other one.
    """
    import psutil  # noqa: PLC0415 - comes with the extra
    import torch  # noqa: PLC0415 - seconds

    if device() == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory) // 2
    limits = [path.read_text().strip() for path in _MEMORY_LIMITS if path.is_file()]
    total = int(psutil.virtual_memory().total)
    return min([total, *(int(limit) for limit in limits if limit.isdigit())]) // 2


RESERVE_BYTES = 200 * 2**20
"""What always has to stay free: the databases grow with every event and every run."""

COPIES = 8
"""Times a base's weights that a job may take: four models, and the trainer's state."""


def require_space(home: Path, base: Path | str) -> None:
    """Refuse a training for which the disk has no room.

    Args:
        home: Any folder on the disk that fills.
        base: The base model's folder; of one that is still on the hub, the size is not known.

    Raises:
        ApiError: 400 with the code `insufficient_disk_space`, which says how much is missing.
    """
    weights = sum(file.stat().st_size for file in Path(base).glob("*.safetensors"))
    free = shutil.disk_usage(home).free
    needed = RESERVE_BYTES + COPIES * weights
    if free < needed:
        raise ApiError(
            400,
            f"The engine's disk has {_gigabytes(free)} free, and this training may take"
            f" {_gigabytes(needed)}: delete files or models, or move the engine's home.",
            code="insufficient_disk_space",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
