"""QLoRA: LoRA on a base in 4 bits, in the training process by itself, and what it leaves."""

import json

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_reference import belongs, in_four_bits
from langchain_finetune.local.jobs.create import CreateJob
from langchain_finetune.local.model_export.card import Exported, readme
from langchain_finetune.local.training import four_bits
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.four_bits import load_in_four_bits, require_four_bits
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import finish, preference, start, weights

EXAMPLES = [example(n, n + 1) for n in range(12)]
SETTINGS = {"batch_size": 4, "lora_rank": 4, "load_in_4bit": True}
TEXT = list(range(20, 60))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from transformers import AutoModelForCausalLM

    folder = make_tiny_model(tmp_path_factory.mktemp("base"))
    model = AutoModelForCausalLM.from_pretrained(folder)
    for layer in model.model.layers.parameters():
        # Large enough that what 4 bits change of them shows in the answers.
        layer.data *= 8
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, base):
    folder = tmp_path_factory.mktemp("trained")
    options = {"validation": EXAMPLES[:4], "n_epochs": 8, "learning_rate_multiplier": 30}
    return folder, *finish(start(folder, base, EXAMPLES, **options, **SETTINGS))


def chosen(folder, events):
    return folder / "work" / f"checkpoint-{events[-1]['step']}"


def divergence(one, other):
    """Mean divergence of two models over a text, in nats per token."""
    import torch

    with torch.no_grad():
        ids = torch.tensor([TEXT])
        first, second = (model(ids).logits.float().log_softmax(-1) for model in (one, other))
    return (first.exp() * (first - second)).sum(-1).mean().item()


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_the_model_that_is_left_is_the_one_that_was_trained(trained, base):
    folder, events, status, log = trained
    assert status == 0, log
    assert events[0]["method"] == "qlora"
    assert events[0]["hyperparameters"]["load_in_4bit"] is True
    losses = [each["valid_loss"] for each in events if "valid_loss" in each]
    assert min(losses) < losses[0]

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = folder / "models" / "model"
    served = AutoModelForCausalLM.from_pretrained(model)
    assert not hasattr(served.config, "quantization_config")
    as_trained = PeftModel.from_pretrained(
        load_in_four_bits(str(base))[0], chosen(folder, events)
    ).eval()
    untrained = load_in_four_bits(str(base))[0].eval()
    assert divergence(as_trained, untrained) > 1e-3
    assert divergence(as_trained, served) < 1e-6
    # On the base in full it is another one: that must not be what answers.
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert divergence(as_trained, PeftModel.from_pretrained(whole, chosen(folder, events))) > 1e-5
    assert not belongs(model / "adapter", base)
    assert in_four_bits(model / "adapter")


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_gradients_are_the_same_after_a_validation(base):
    import torch
    from peft import LoraConfig, get_peft_model

    model, _ = load_in_four_bits(str(base))
    torch.manual_seed(0)
    model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    matrices = [each for each in model.parameters() if each.requires_grad]
    ids = torch.tensor([TEXT])
    for each in matrices:
        torch.nn.init.normal_(each, std=0.1)

    def gradients():
        loss = model.train()(input_ids=ids, labels=ids).loss
        return torch.autograd.grad(loss, matrices)

    before = gradients()
    with torch.no_grad():
        model.eval()(input_ids=ids)
    for one, other in zip(before, gradients(), strict=True):
        assert torch.equal(one, other)
    # Those of the first layer have come through all weights above it, as those stand for.
    assert before[0].norm() > 0


@pytest.mark.train
def test_the_base_takes_a_fraction_of_the_memory(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    settings = {"vocab_size": 64, "hidden_size": 512, "intermediate_size": 1024}
    LlamaForCausalLM(LlamaConfig(**settings, num_hidden_layers=2)).save_pretrained(tmp_path)
    small, _ = load_in_four_bits(str(tmp_path))
    whole = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert small.num_parameters() == whole.num_parameters()
    assert small.get_memory_footprint() < 0.17 * whole.get_memory_footprint()


@pytest.mark.train
def test_a_stopped_training_goes_on_as_if_nothing_had_been(tmp_path, base):
    options = {"validation": EXAMPLES[:4], "n_epochs": 8, **SETTINGS}
    finish(start(tmp_path / "through", base, EXAMPLES, **options))

    process = start(tmp_path / "stopped", base, EXAMPLES, **options)
    with process:
        seen = [json.loads(process.stdout.readline()) for _ in range(5)]
        process.stdin.write("stop\n")
        process.stdin.flush()
        *_, stopped = [*seen, *map(json.loads, process.stdout)]
        assert process.wait() == 0
    assert stopped["event"] == "stopped"
    assert 4 <= stopped["step"] < 24

    events, status, log = finish(start(tmp_path / "stopped", base, EXAMPLES, **options))
    assert status == 0, log
    assert events[0]["resumed_from"] == stopped["step"]
    assert weights(tmp_path / "stopped") == weights(tmp_path / "through")


@pytest.mark.train
def test_two_processes_train_as_one_does(tmp_path, base):
    options = {"n_epochs": 1, **SETTINGS}
    alone, _, _ = finish(start(tmp_path / "alone", base, EXAMPLES, **options))
    both, status, log = finish(start(tmp_path / "both", base, EXAMPLES, processes=2, **options))
    assert status == 0, log
    losses = [[each["train_loss"] for each in events[1:-1]] for events in (alone, both)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.train
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_other_methods(tmp_path, base, method):
    examples = [preference(n) for n in range(4)]
    if method == "kto":
        examples = [
            {"messages": each["messages"], "label": n % 2 == 0}
            for n, each in enumerate(EXAMPLES[:4])
        ]
    options = {"method": method, "n_epochs": 1, **SETTINGS}
    events, status, log = finish(start(tmp_path, base, examples, **options))
    assert status == 0, log
    assert events[-1]["event"] == "done"
    assert in_four_bits(tmp_path / "models" / "model" / "adapter")


def test_it_means_lora_also_for_tiny_bases():
    asked = Hyperparameters(load_in_4bit=True)
    plan = make_plan(asked, examples=100, parameters=1_000_000)
    assert plan.lora
    assert plan.hyperparameters.lora_rank == 16
    without = make_plan(Hyperparameters(load_in_4bit=False), examples=100, parameters=1_000_000)
    assert "load_in_4bit" not in without.hyperparameters.model_dump()


def asked(**hyperparameters):
    return CreateJob.model_validate(
        {"model": "nano", "training_file": "file-1", "hyperparameters": hyperparameters}
    )


def test_it_is_refused_with_all_weights():
    with pytest.raises(ApiError, match="a lora_rank of 0 trains every weight") as caught:
        asked(load_in_4bit=True, lora_rank=0).method_settings()
    assert caught.value.param == "load_in_4bit"
    asked(load_in_4bit=False, lora_rank=0).method_settings()


def test_it_is_refused_without_its_extra(base, monkeypatch):
    require_four_bits(base)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ApiError, match=r"run pip install .*\[qlora\]") as caught:
        require_four_bits(base)
    assert (caught.value.status, caught.value.param) == (400, "load_in_4bit")


def test_it_is_refused_on_apples_gpus(base, monkeypatch):
    monkeypatch.setattr(four_bits, "device", lambda: "mps")
    with pytest.raises(ApiError, match="leave it out"):
        require_four_bits(base)


def test_it_is_refused_for_weights_that_are_quantized_already(tmp_path):
    settings = {"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ApiError, match="quantized already"):
        require_four_bits(tmp_path)
    # A base of the Hub is only here once the training has begun.
    with pytest.raises(TrainingFailure, match="quantized already"):
        load_in_four_bits(str(tmp_path))


def test_cards_say_what_the_weights_are():
    def card(form, *, quantized=True):
        return readme(Exported("ft:a", form, "Qwen/Qwen3-8B", None, "", None, False, quantized))

    assert "what those 4 bits stand for" in card("hf")
    assert "On the base in more bits they make another model" in card("adapter")
    assert "4 bits" not in card("hf", quantized=False)
