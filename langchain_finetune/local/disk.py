"""Is there room on the disk for what is asked?"""

import shutil
from pathlib import Path

from langchain_finetune.local.api_error import ApiError

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
