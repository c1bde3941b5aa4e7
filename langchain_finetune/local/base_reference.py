"""Which base the adapter of a tuned model belongs to, so that it is served on the weights of that.

The merged weights lie beside the adapter, and answer where the base is gone or has changed.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

REFERENCE = "base.json"
"""File beside an adapter that has the fingerprint of the base that it was trained on, or says that
it was trained on that base in 4 bits."""

_FOUR_BITS = "load_in_4bit"

_PLAIN = {
    "peft_type": "LORA",
    "bias": "none",
    "fan_in_fan_out": False,
    "use_dora": False,
    "lora_bias": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_parameters": None,
    "layer_replication": None,
}
_SAMPLES, _SAMPLE_BYTES = 64, 2**16


def shareable(config: Mapping[str, Any], tensors: Iterable[str], linear: Iterable[str]) -> bool:
    """Return whether an adapter is a plain LoRA of linear layers that take tokens in their order.

    `tensors` are the keys of its file, `linear` the names of the base's linear layers. Those of
    experts get the tokens that were chosen for them.
    """
    layers = {f"base_model.model.{name}" for name in linear if "expert" not in name}
    return all(config.get(name, plain) == plain for name, plain in _PLAIN.items()) and all(
        key.partition(".lora_")[0] in layers and key.endswith(("lora_A.weight", "lora_B.weight"))
        for key in tensors
    )


def fingerprint(base: Path) -> str:
    """Return a hash of a base's weights, by samples from all of its files; it takes milliseconds.

    Training changes all weights, so another version of a base has other samples.
    """
    files = sorted(base.glob("*.safetensors"))
    return _fingerprint(tuple((file, *_state(file)) for file in files))


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = sha256()
    for file, size, _ in files:
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            for number in range(_SAMPLES):
                opened.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(opened.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def write_reference(adapter: Path, base: Path) -> None:
    """Note in an adapter's folder which base it belongs to."""
    (adapter / REFERENCE).write_text(json.dumps({"fingerprint": fingerprint(base)}))


def belongs(adapter: Path, base: Path) -> bool:
    """Return whether an adapter was trained on just this base."""
    try:
        noted = json.loads((adapter / REFERENCE).read_text())["fingerprint"]
        return bool(noted == fingerprint(base))
    except (OSError, ValueError, LookupError, TypeError):
        # Of an earlier version, or the base went this moment.
        return False


def write_four_bits(adapter: Path) -> None:
    """Note in an adapter's folder that its base was in 4 bits, so that it belongs to no files."""
    (adapter / REFERENCE).write_text(json.dumps({_FOUR_BITS: True}))


def in_four_bits(adapter: Path) -> bool:
    """Return whether an adapter was trained on its base in 4 bits."""
    try:
        return json.loads((adapter / REFERENCE).read_text()).get(_FOUR_BITS) is True
    except (OSError, ValueError, AttributeError):
        # Of an earlier version.
        return False
