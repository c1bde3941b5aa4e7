"""LoRA adapters beside the weights of their base, which many models so share in memory.

Importing this module imports torch.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

_MATRIX = re.compile(r"base_model\.model\.(.+)\.lora_A\.weight")


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """Two matrices for each adapted layer, by its name: (inputs, rank) and (rank, outputs).

    The second one has LoRA's factor in it.
    """

    matrices: dict[str, tuple[Any, Any]]

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        return sum(matrix.nbytes for pair in self.matrices.values() for matrix in pair)


def read_adapter(folder: Path, model: Any) -> LoraAdapter:
    """Read an adapter in PEFT's format, in the type of a model and where that is.

    It is one of those that `base_reference.shareable` lets through.

    Raises:
        OSError, ValueError, LookupError, safetensors.SafetensorError: It can't be read.
    """
    config = json.loads((folder / "adapter_config.json").read_text())
    rank = config["r"]
    factor = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    tensors = load_file(folder / "adapter_model.safetensors", device=str(model.device))
    matrices = {}
    for key, down in tensors.items():
        if found := _MATRIX.fullmatch(key):
            up = tensors[key.replace("lora_A", "lora_B")]
            # Contiguous as they are used, with nothing left to transpose.
            matrices[found[1]] = (
                down.to(model.dtype).T.contiguous(),
                (up.float() * factor).to(model.dtype).T.contiguous(),
            )
    return LoraAdapter(matrices)


class AdapterSwitch:
    """Adds to the layers of a model what the adapters of the tokens of a step add.

    Used on one thread only.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._hooked: set[str] = set()
        self._segments: list[tuple[int, int, LoraAdapter]] = []

    def set(self, adapters: Sequence[tuple[LoraAdapter | None, int]]) -> None:
        """Say whose the tokens of the next step are: an adapter, or None, and how many."""
        self._segments.clear()
        begin = 0
        for adapter, count in adapters:
            if adapter is not None:
                before = self._segments[-1] if self._segments else None
                if before and before[1] == begin and before[2] is adapter:
                    self._segments[-1] = (before[0], begin + count, adapter)
                else:
                    self._segments.append((begin, begin + count, adapter))
                self._hook(adapter)
            begin += count

    def _hook(self, adapter: LoraAdapter) -> None:
        for name in adapter.matrices.keys() - self._hooked:
            self._hooked.add(name)

            def add(_: Any, given: tuple[Any, ...], output: Any, *, name: str = name) -> None:
                for begin, end, its in self._segments:
                    if pair := its.matrices.get(name):
                        low = given[0][..., begin:end, :].flatten(0, -2) @ pair[0]
                        part = output[..., begin:end, :]
                        part += (low @ pair[1]).view(part.shape)

            self._model.get_submodule(name).register_forward_hook(add)
