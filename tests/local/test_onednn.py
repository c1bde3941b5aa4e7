"""Linear layers by oneDNN: they answer and learn what PyTorch's own do."""

import copy

import pytest

from tests.local.tiny_model import make_tiny_model

torch = pytest.importorskip("torch")

from transformers import AutoModelForCausalLM  # noqa: E402

from langchain_finetune.local.hardware import serving_threads  # noqa: E402
from langchain_finetune.local.onednn import pack, train_by_onednn  # noqa: E402
from langchain_finetune.local.serving.decoder import Decoder, Portion  # noqa: E402

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available()
    or not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="No x86 processor, or PyTorch without oneDNN",
)
IDS = torch.arange(2, 62).reshape(2, 30)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "apart"])
def model(request, tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), tied=request.param)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def linear_layers(model):
    return [each for each in model.modules() if type(each) is torch.nn.Linear]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_packed_weights_answer_the_same(model, kind):
    if kind == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this CPU")
    packed = copy.deepcopy(model).to(getattr(torch, kind))
    plain = copy.deepcopy(packed)
    pack(packed)
    assert linear_layers(packed) == ([packed.lm_head] if model.config.tie_word_embeddings else [])
    decoders = [Decoder(each) for each in (plain, packed)]
    # Steps of a prompt and of single tokens, together.
    pasts = [(decoder.sequence(), decoder.sequence()) for decoder in decoders]
    for first, second in (([3, 4, 5, 6], [7]), ([8], [9, 10]), ([11], [12])):
        expected, got = (
            decoder.step([Portion(one, first), Portion(other, second)])
            for decoder, (one, other) in zip(decoders, pasts, strict=True)
        )
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_other_types_stay_as_they_are(model):
    double = copy.deepcopy(model).double()
    layers = linear_layers(double)
    pack(double)
    train_by_onednn(double)
    assert linear_layers(double) == layers


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_the_same(model, frozen):
    plain, swapped = copy.deepcopy(model), copy.deepcopy(model)
    train_by_onednn(swapped)
    assert not linear_layers(swapped)
    assert list(swapped.state_dict()) == list(plain.state_dict())
    grads = []
    for each in (plain, swapped):
        if frozen:
            each.requires_grad_(False)
        given = each.get_input_embeddings()(IDS).detach().requires_grad_()
        each(inputs_embeds=given, labels=IDS).loss.backward()
        grads.append([given.grad, *(one.grad for one in each.parameters())])
    assert grads[1][0].abs().max() > 0
    for expected, got in zip(*grads, strict=True):
        assert (expected is None) == (got is None)
        if expected is not None:
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_bias_and_nothing_to_learn():
    plain = torch.nn.Linear(8, 4)
    swapped = torch.nn.Sequential(copy.deepcopy(plain))
    train_by_onednn(swapped)
    for rows in (5, 0):
        given = torch.ones(rows, 8)
        for each in (plain, swapped):
            each.zero_grad()
            each(given).square().sum().backward()
        torch.testing.assert_close(swapped[0].bias.grad, plain.bias.grad)
        torch.testing.assert_close(swapped[0].weight.grad, plain.weight.grad)


@pytest.mark.parametrize(
    ("parameters", "tokens", "one"),
    [(1_300_000, 512, True), (135_000_000, 4, True), (135_000_000, 512, False), (10**9, 1, False)],
)
def test_threads_of_a_step(parameters, tokens, one, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert serving_threads(parameters, tokens) == (1 if one else 8)
