#!/bin/sh
# peft 0.21.0 with torch 2.13.0: a LoRA model whose layers have torch's wrapper for activation
# checkpointing is saved without its matrices. The file is there, and empty; nothing is raised, and
# nothing is warned of.
#
# That is how transformers' Trainer saves with FSDP2 where `fsdp_config` has `activation_checkpointing`:
# accelerate wraps each layer, and the state dict's names don't show that. peft looks for the matrices
# by the names of modules, which have `_checkpoint_wrapped_module` in them. Loading such a checkpoint
# warns of missing keys, and the model is the base.
#
# What one would expect: the same four matrices with and without the wrapper, or an error.
#
# Output seen, 2026-11-30:
#   without the wrapper: 4 matrices
#   with it, the same names in the state dict: True, 0 matrices
#
# Installs the pinned packages in a temporary folder, and fails if the behaviour changes. Needs
# Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 peft==0.21.0
cat > "$folder/show.py" <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Linear(4, 4)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer(), Layer()])


def saved(model):
    model.save_pretrained(sys.argv[1])
    with safe_open(f"{sys.argv[1]}/adapter_model.safetensors", "pt") as tensors:
        return len(tensors.keys())


model = get_peft_model(Model(), LoraConfig(r=2, target_modules=["proj"]))
names, first = list(model.state_dict()), saved(model)
print("without the wrapper:", first, "matrices")
layers = model.base_model.model.layers
for place, layer in enumerate(layers):
    layers[place] = checkpoint_wrapper(layer)
same, second = list(model.state_dict()) == names, saved(model)
print(f"with it, the same names in the state dict: {same}, {second} matrices")
assert (first, same, second) == (4, True, 0), "peft behaves otherwise now"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/show.py" "$folder/saved"
