#!/bin/sh
# bitsandbytes 0.50.2 with torch 2.13.0, on a CPU with AVX512_BF16: after the first evaluation, no
# gradient flows through a layer of 4 bits any more, so what lies before it stops learning.
#
# `Linear4bit` packs its weights for such a CPU anew when it is first called outside of training
# without a gradient. `train()` does not take that back: the packed kernel goes on, and has no
# backward pass. There is a warning of torch ("may lead to silently incorrect"), and no error: the
# layer before it gets no gradient. In a model with more paths, such as residual ones, the rest still
# learns, so that a training which validates now and then looks sound.
#
# What one would expect: the same gradient before and after an evaluation.
#
# Output seen, 2026-11-30:
#   before an evaluation: gradient of the layer before it True
#   after one: gradient of the layer before it False
#
# Installs the pinned packages in a temporary folder, and fails if the behaviour changes. Needs
# Python 3.11 or newer, a package index, and such a CPU: elsewhere it says so, and shows nothing.
set -eu
grep -q avx512_bf16 /proc/cpuinfo || {
    echo "This CPU has no AVX512_BF16."
    exit 0
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 bitsandbytes==0.50.2 numpy
cat > "$folder/show.py" <<'PYTHON'
import torch
from bitsandbytes.nn import Linear4bit

torch.manual_seed(0)
before = torch.nn.Linear(64, 128)
layer = Linear4bit(128, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
layer.weight.requires_grad_(False)
model = torch.nn.Sequential(before, layer.to("cpu"))
given = torch.randn(8, 64)


def learns():
    before.zero_grad(set_to_none=True)
    model.train()
    model(given).float().pow(2).mean().backward()
    return before.weight.grad is not None


first = learns()
print("before an evaluation: gradient of the layer before it", first)
model.eval()
with torch.no_grad():
    model(given)
second = learns()
print("after one: gradient of the layer before it", second)
assert (first, second) == (True, False), "bitsandbytes behaves otherwise now"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/show.py"
