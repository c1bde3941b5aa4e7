"""Whether LoRA can be put on the layers of a base model that `lora_targets` names."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError


def require_targets(base: Path | str, targets: Sequence[str]) -> None:
    """Refuse targets that a base does not have, or that can't be merged; takes seconds.

    Only the configuration of the base is read. One that has to be downloaded first is checked by
    the training process.

    Raises:
        ApiError: 400 for the parameter `lora_targets`.
    """
    if not isinstance(base, Path):
        return
    # Seconds, and rarely needed.
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError):
        # The training process says that the base can't be loaded.
        return
    if fault := fault_of_targets(model, targets):
        raise ApiError(400, fault, param="lora_targets")


def fault_of_targets(model: Any, targets: Sequence[str]) -> str | None:
    """Return why LoRA can't be put on the layers that end so, or None.

    An output layer is none of them, since its loss is computed from its weights alone. Neither are
    weights that two layers share, as tied input and output embeddings do: matrices at one of the
    two would be merged into both.
    """
    layers = dict(model.named_modules())
    sharing = defaultdict(list)
    for name, layer in layers.items():
        if (weight := getattr(layer, "weight", None)) is not None:
            sharing[id(weight)].append(name)
    for target in targets:
        # As PEFT matches them.
        named = [name for name in layers if f".{name}".endswith(f".{target}")]
        if not named:
            linear = [name for name, layer in layers.items() if type(layer).__name__ == "Linear"]
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            return f"lora_targets: this base model has no layer {target!r}. It has {known}."
        for name in named:
            shared = sharing.get(id(getattr(layers[name], "weight", None)), [])
            others = [other for other in shared if other != name]
            if others:
                return (
                    f"lora_targets: {name} of this base model shares its weights with"
                    f" {', '.join(others)}, so LoRA can't be put on it alone. Leave {target!r} out,"
                    " or train every weight with a lora_rank of 0."
                )
            if layers[name] is model.get_output_embeddings():
                return (
                    f"lora_targets: {name} is the output layer, on which LoRA is not trained."
                    f" Leave {target!r} out, or train every weight with a lora_rank of 0."
                )
    return None
