"""Which device and which precision, by facts of machines that are not here."""

import pytest

from langchain_finetune.local.hardware import Hardware
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters


@pytest.mark.parametrize(
    ("hardware", "device", "fast"),
    [
        (Hardware(), "cpu", False),
        (Hardware(cpu_bfloat16=True), "cpu", True),
        (Hardware(apple_gpu=True, cpu_bfloat16=True), "mps", False),
        (Hardware(cuda_gpus=1, cuda_bfloat16=True), "cuda", True),
        # Of before Ampere, beside a new CPU.
        (Hardware(cuda_gpus=2, cpu_bfloat16=True), "cuda", False),
        (Hardware(cuda_gpus=1, cuda_bfloat16=True, apple_gpu=True), "cuda", True),
    ],
)
def test_device_and_precision(hardware, device, fast):
    assert (hardware.device, hardware.fast_bfloat16) == (device, fast)


@pytest.mark.parametrize(
    ("hardware", "trains"),
    [
        (Hardware(cpu_bfloat16=True), False),
        (Hardware(cpu_bfloat16=True, cpu_amx=True), True),
        (Hardware(cuda_gpus=1, cuda_bfloat16=True), True),
        (Hardware(cuda_gpus=1, cpu_bfloat16=True, cpu_amx=True), False),
    ],
)
def test_training_on_a_cpu_wants_more_than_serving(hardware, trains):
    assert hardware.trains_in_bfloat16 == trains


@pytest.mark.parametrize(("emulates", "gpus"), [(True, 1), (False, 2)])
def test_what_torch_says(monkeypatch, emulates, gpus):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    # A GPU without the type: PyTorch says yes unless it is told to leave emulation out.
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or not emulates,
    )
    found = Hardware.here()
    assert (found.device, found.cuda_gpus, found.fast_bfloat16) == ("cuda", gpus, not emulates)


def test_here():
    assert Hardware.here().device in {"cpu", "cuda", "mps"}


def test_gpus_share_a_step():
    plan = make_plan(Hyperparameters(batch_size=8), examples=100, parameters=600_000_000)
    shares = {number: plan.shared_by(number) for number in (1, 2, 4, 8)}
    for number, share in shares.items():
        assert share.device_batch_size * share.accumulation * number == 8
        assert share.device_batch_size == 8 // number
