"""Linear layers of models on a CPU by oneDNN, PyTorch's own kernels for it.

PyTorch 2.13 multiplies 32-bit matrices by MKL, which took 2.2 times as long on a CPU by AMD (300 to
1,200 rows), and arranges a 16-bit weight anew for each product, which took 1.8 times as long as
with one that was arranged once (1 to 4 rows). Importing this module imports torch.
"""

from typing import Any

import torch

# What PyTorch's own compiler calls for a linear layer has no public name, and is not in all builds.
_onednn = torch.ops.mkldnn


def pack(model: torch.nn.Module) -> None:
    """Arrange the weights of a model for inference; one that is tied to the embedding stays.

    In 16 bits, its answers stay the same to the bit. Does nothing where PyTorch lacks oneDNN, where
    that lacks the model's type, and on other processors than x86, where it was not tried.
    """
    if not _knows(next(model.parameters()).dtype):
        return
    embedding = model.get_input_embeddings().weight
    for name, layer in list(model.named_modules()):
        if type(layer) is torch.nn.Linear and layer.weight is not embedding:
            model.set_submodule(name, _PackedLinear(layer))


def train_by_onednn(model: torch.nn.Module) -> None:
    """Have the layers of a 32-bit model multiply by oneDNN; its parameters stay as they are."""
    if not _knows(torch.float32):
        return
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight.dtype == torch.float32:
            layer.__class__ = _TrainedLinear


def _knows(kind: torch.dtype) -> bool:
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    if not x86 or not torch.backends.mkldnn.is_available():
        return False
    half = kind == torch.bfloat16 and _onednn._is_mkldnn_bf16_supported()  # noqa: SLF001
    return bool(kind == torch.float32 or half)


def _product(given: Any, weight: Any, bias: Any = None) -> Any:
    return _onednn._linear_pointwise(given, weight, bias, "none", [], "")  # noqa: SLF001


class _PackedLinear(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = _onednn._reorder_linear_weight(linear.weight.detach(), None)  # noqa: SLF001
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, given: torch.Tensor) -> Any:
        return _product(given, self.weight, self.bias)


class _TrainedLinear(torch.nn.Linear):  # type: ignore[misc]
    def forward(self, given: torch.Tensor) -> Any:
        return _Product.apply(given, self.weight, self.bias)


class _Product(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, given: Any, weight: Any, bias: Any) -> Any:
        # A frozen weight needs no inputs, which are most of the memory of a step.
        ctx.save_for_backward(given if ctx.needs_input_grad[1] else None, weight)
        return _product(given, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        [grad] = grads
        given, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        of_given = _product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = None
        if ctx.needs_input_grad[1]:
            # oneDNN has no sum over no rows, which the head gets where nothing is to be learnt.
            given = given.flatten(0, -2)
            of_weight = _product(rows.t(), given.t()) if len(rows) else torch.zeros_like(weight)
        return of_given, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None
