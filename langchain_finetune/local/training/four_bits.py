"""QLoRA: LoRA on a base whose linear layers are held in 4 bits while it trains.

bitsandbytes holds them as 4-bit NormalFloat, their scales in 8 bits, and computes with the numbers
that those stand for. So what trains is another base, near to the one in the files, and the model
that is left is made of it: with the matrices on the weights in the files, nobody would have
validated what answers. With `nano`, after 18 steps on calculator chats, the divergence
from the trained model was below 1e-6 per trained token so, and 1e-3 on the weights in the files
(0.0002 and 0.23 over all tokens, in 16 bits).
"""

import json
import os
from pathlib import Path
from typing import Any

from langchain_finetune.extras import install_command, missing_modules
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import device, trains_in_bfloat16
from langchain_finetune.local.training.events import TrainingFailure

PARAMETER = "load_in_4bit"

QUANTIZED = (
    f"{PARAMETER}: the weights of this base model are quantized already. Choose the base model"
    " that it was made from."
)


def require_four_bits(base: Path | str) -> None:
    """Refuse to train a base in 4 bits where that can't be done.

    A base that has to be downloaded first is checked by the training process.

    Raises:
        ApiError: 400 for the parameter `load_in_4bit`.
    """
    if fault := fault_of_four_bits(base):
        raise ApiError(400, fault, param=PARAMETER)


def fault_of_four_bits(base: Path | str) -> str | None:
    """Return why a base can't be trained in 4 bits here, and what to do; None if it can."""
    if missing_modules(["bitsandbytes"]):
        return (
            f"{PARAMETER} needs the extra qlora in the engine's environment: run"
            f" {install_command('qlora')} there, or leave {PARAMETER} out."
        )
    if device() == "mps":
        return (
            f"{PARAMETER} is for NVIDIA's GPUs and for CPUs; this machine trains on Apple's GPU:"
            " leave it out."
        )
    try:
        config = json.loads((Path(base) / "config.json").read_bytes())
    except (OSError, ValueError):
        # It is not here yet, or can't be loaded, as the training process says.
        return None
    if "quantization_config" in config:
        return QUANTIZED
    return None


def load_in_four_bits(base: str) -> tuple[Any, Any]:
    """Return a base with its linear layers in 4 bits, and transformers' `output_loading_info`.

    Each weight is quantized as it is read, so that never all of them are here in more bits. The
    output layer and what is not linear are kept in the type that trainings compute in.

    Raises:
        OSError, ValueError: It can't be loaded.
        TrainingFailure: `invalid_hyperparameters`: Its weights are quantized already.
    """
    import torch  # noqa: PLC0415 - seconds
    from bitsandbytes.nn.modules import Linear4bit  # noqa: PLC0415 - of the extra
    from transformers import (  # noqa: PLC0415
        AutoConfig,
        AutoModelForCausalLM,
        BitsAndBytesConfig,
    )

    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    if getattr(config, "quantization_config", None):
        raise TrainingFailure("invalid_hyperparameters", QUANTIZED)
    dtype = torch.bfloat16 if trains_in_bfloat16() else torch.float32
    # Processes that train together load it each onto its own GPU.
    place = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device() == "cuda" else "cpu"
    model, info = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        device_map={"": place},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        ),
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            # With AVX512_BF16, bitsandbytes packs weights anew at the first validation, and goes on
            # with them in training: through those no gradient flows, and it only warns.
            layer.support_avx512bf16_for_cpu = False
    return model, info


def put_four_bits(model: Any, base: str) -> None:
    """Give a base in full the weights that it has in 4 bits; it stays where it is, in its type.

    Raises:
        OSError, ValueError: The base can't be loaded.
    """
    from bitsandbytes.functional import dequantize_4bit  # noqa: PLC0415 - of the extra
    from bitsandbytes.nn.modules import Linear4bit  # noqa: PLC0415

    quantized, _ = load_in_four_bits(base)
    for name, layer in quantized.named_modules():
        if isinstance(layer, Linear4bit):
            weight = model.get_submodule(name).weight
            weight.data = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(weight)
