"""The hardware of this machine. `torch` is imported on first use, which takes seconds."""

import ctypes
import gc
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.local.api_error import ApiError

_MEMORY_LIMITS = (
    # Limits of containers, in versions 2 and 1 of Linux control groups.
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

SMALL_MODEL = 100_000_000
"""Parameters below which a model is tiny: trained in full, and served in 32 bits on a CPU."""


TRAINING_BYTES, SERVING_BYTES, PROCESS_BYTES = 8, 4, 500_000_000
"""Estimates on a CPU: bytes a parameter to train with LoRA (32-bit weights, and as much again for
activations and merging) and to serve, and of a process that has loaded torch. A training takes more
where there is more: that of SmolLM2-135M took 3.0 GB, with two chats of 310 tokens at once."""


@dataclass(frozen=True)
class Hardware:
    """The hardware that PyTorch detects.

    Attributes:
        cuda_gpus: Number of GPUs of CUDA or ROCm.
        cuda_bfloat16: Whether they support bfloat16 natively, as NVIDIA's do since Ampere.
        apple_gpu: Whether there is an Apple GPU.
        cpu_bfloat16: Whether the CPU has AVX512_BF16 or AMX.
        cpu_amx: Whether it has AMX for the type.
    """

    cuda_gpus: int = 0
    cuda_bfloat16: bool = False
    apple_gpu: bool = False
    cpu_bfloat16: bool = False
    cpu_amx: bool = False

    @property
    def device(self) -> str:
        """`cuda` or `mps` if there is such a GPU, otherwise `cpu`.

        Example:
            >>> Hardware(cuda_gpus=2, apple_gpu=True).device
            'cuda'
        """
        if self.cuda_gpus:
            return "cuda"
        return "mps" if self.apple_gpu else "cpu"

    @property
    def fast_bfloat16(self) -> bool:
        """Whether 16-bit floats are faster than 32-bit ones on the device.

        Without native support they are emulated, which is slower. Apple's GPUs support the type,
        but most are not faster with it.

        Example:
            >>> Hardware(cuda_gpus=1, cpu_bfloat16=True).fast_bfloat16
            False
        """
        return {"cuda": self.cuda_bfloat16, "mps": False, "cpu": self.cpu_bfloat16}[self.device]

    @property
    def trains_in_bfloat16(self) -> bool:
        """Whether training is faster in 16 bits, which multiplies large matrices.

        With AVX512_BF16 alone, PyTorch 2.13 multiplied such at 79 GFLOP/s where it did 140 in
        32 bits (one core; matrices of 600 to 4,096 rows). An answer reads weights more than it
        multiplies, so serving goes by `fast_bfloat16`.

        Example:
            >>> Hardware(cpu_bfloat16=True).trains_in_bfloat16
            False
        """
        return self.fast_bfloat16 and (self.device != "cpu" or self.cpu_amx)

    @classmethod
    def here(cls) -> "Hardware":
        """Return the hardware of this machine."""
        import torch  # noqa: PLC0415 - takes seconds

        if torch.cuda.is_available():
            # By default, PyTorch also counts emulation.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
            return cls(cuda_gpus=torch.cuda.device_count(), cuda_bfloat16=bool(native))
        capabilities = torch.cpu.get_capabilities()
        return cls(
            apple_gpu=torch.backends.mps.is_available(),
            cpu_bfloat16=any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16")),
            cpu_amx=bool(capabilities.get("amx_bf16")),
        )


def share_the_cpu() -> None:
    """Prevent waiting threads from spinning; must be called before `torch` is imported.

    If training, serving and other processes compete for the cores, a spinning thread slows down
    the thread that it waits for: training steps took up to ten times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def release_memory() -> None:
    """Return memory that is no longer used to the system, where its C library is glibc.

    Without it, 2.5 GB stayed taken after a training that then loaded another 0.5 GB.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def device() -> str:
    """Return `cuda` or `mps` if there is such a GPU, otherwise `cpu`."""
    return Hardware.here().device


def has_fast_bfloat16() -> bool:
    """Return whether 16-bit floats are faster than 32-bit ones; see `Hardware`."""
    return Hardware.here().fast_bfloat16


def trains_in_bfloat16() -> bool:
    """Return whether training is faster in 16 bits; see `Hardware`."""
    return Hardware.here().trains_in_bfloat16


def serving_threads(parameters: int, tokens: int) -> int:
    """Return the number of CPU threads for a step of a model that takes in so many tokens.

    A step of little work is fastest on one thread: waking the others, which do not spin (see
    `share_the_cpu`), costs more than they save, and a concurrent training can use them. To read a
    weight from memory takes about as long as to multiply by it 100 times. SmolLM2-135M was faster
    on one thread up to 100 tokens a step: 1.4 x for one token, 1.5 x for one of each of 16 answers.

    Example:
        >>> serving_threads(135_000_000, 4)
        1
    """
    little = parameters * (100 + tokens) < 3 * 10**10
    return 1 if little else max(1, os.cpu_count() or 1)


def model_memory() -> int:
    """Return the default memory limit of loaded models, in bytes.

    It is half of the device's memory; the other half is for training.
    """
    import psutil  # noqa: PLC0415 - requires the extra
    import torch  # noqa: PLC0415 - takes seconds

    if device() == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory) // 2
    limits = [path.read_text().strip() for path in _MEMORY_LIMITS if path.is_file()]
    total = int(psutil.virtual_memory().total)
    return min([total, *(int(limit) for limit in limits if limit.isdigit())]) // 2


RESERVE_BYTES = 200 * 2**20
"""Space to keep free for the databases, which grow with every event and run."""

COPIES = 10
"""Space of a job as multiples of its base's weights: four models and twice the trainer's state."""


def require_space(home: Path, base: Path | str) -> None:
    """Refuse a training for which the home's disk lacks space; a Hub model's size is unknown.

    Raises:
        ApiError: 400 with the code `insufficient_disk_space`.
    """
    weights = sum(file.stat().st_size for file in Path(base).glob("*.safetensors"))
    free = shutil.disk_usage(home).free
    needed = RESERVE_BYTES + COPIES * weights
    if free < needed:
        raise ApiError(
            400,
            f"The engine's disk has {_gigabytes(free)} free, but this training may require"
            f" {_gigabytes(needed)}. Delete files or models, or move the engine's home.",
            code="insufficient_disk_space",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
