"""What this machine can compute with. `torch` is imported on first use: that takes seconds."""

import os

SMALL_MODEL = 100_000_000
"""Parameters below which a model is tiny: trained in full, and served in 32 bits on a CPU."""


def share_the_cpu() -> None:
    """Keep threads that wait from spinning; call it before `torch` is imported.

    Where training and answering, or anything else, compete for the cores, a spinning thread
    takes the time of the one that it waits for: a training step was ten times slower so.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def device() -> str:
    """Return `cuda` or `mps` where a GPU of that kind is there, else `cpu`."""
    import torch  # noqa: PLC0415 - seconds

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_fast_bfloat16() -> bool:
    """Tell whether 16-bit floats are faster here than 32-bit ones.

    A CPU without AVX512_BF16 or AMX emulates them, which is slower than not using them.
    """
    import torch  # noqa: PLC0415 - seconds

    if (where := device()) != "cpu":
        # Apple's GPUs know the type, but most of them are no faster with it.
        return where == "cuda" and bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def serving_threads(parameters: int) -> int:
    """Return how many CPU threads an answer should take.

    A tiny model is fastest on one thread: sharing out its small matrices costs more than it
    gains, and a training run that goes on beside it keeps the other cores.
    """
    return 1 if parameters < SMALL_MODEL else max(1, os.cpu_count() or 1)
