"""LoRA, DPO, early stop, and going on after a stop, in the training process by itself."""

import json
import time

import pytest

from langchain_finetune.local.base_reference import belongs
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import finish, preference, start, weights


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_lora_is_merged_and_its_matrices_kept(tmp_path, base):
    examples = [example(n, n + 1) for n in range(6)]
    process = start(tmp_path, base, examples, n_epochs=1, batch_size=3, lora_rank=4)
    events, status, log = finish(process)
    assert status == 0, log
    assert events[0]["method"] == "lora"
    assert belongs(tmp_path / "models" / "model" / "adapter", base)
    assert events[0]["total_steps"] == 2
    expected = {"n_epochs": 1, "batch_size": 3, "learning_rate_multiplier": 1.0, "lora_rank": 4}
    expected |= {"lora_alpha": 8, "lora_targets": "all-linear", "packing": False}
    assert events[0]["hyperparameters"] == expected
    folder = tmp_path / "models" / "model"
    files = {path.name for path in folder.iterdir()}
    assert "model.safetensors" in files
    assert "adapter_config.json" not in files

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == ("tiny", 4)
    merged = AutoModelForCausalLM.from_pretrained(folder)
    untrained = AutoModelForCausalLM.from_pretrained(base)
    text = torch.arange(20)[None]
    with torch.no_grad():
        before = untrained(text).logits
        apart = PeftModel.from_pretrained(untrained, folder / "adapter")(text).logits
        assert torch.allclose(merged(text).logits, apart, atol=1e-5)
        assert not torch.equal(before, apart)


@pytest.mark.train
def test_a_stopped_training_goes_on_as_if_nothing_had_been(tmp_path, base):
    examples = [example(n, n + 1) for n in range(12)]
    # Many steps after the fourth, so that it is still at work when it hears of the stop.
    options = {"validation": examples[:4], "n_epochs": 12, "batch_size": 4}
    through, _, _ = finish(start(tmp_path / "through", base, examples, **options))

    process = start(tmp_path / "stopped", base, examples, **options)
    with process:
        seen = [json.loads(process.stdout.readline()) for _ in range(5)]
        process.stdin.write("stop\n")
        process.stdin.flush()
        *_, stopped = [*seen, *map(json.loads, process.stdout)]
        assert process.wait() == 0
    assert stopped["event"] == "stopped"
    assert 4 <= stopped["step"] < 36
    assert not (tmp_path / "stopped" / "models").exists()

    again, status, log = finish(start(tmp_path / "stopped", base, examples, **options))
    assert status == 0, log
    assert again[0]["resumed_from"] == stopped["step"]
    steps = [event["step"] for event in again if event["event"] == "metrics"]
    # Those before are told again: the engine that heard of them may have been killed.
    assert steps == list(range(1, 37))
    assert again[1]["train_loss"] == through[1]["train_loss"]
    for first, second in zip(through[-1]["checkpoints"], again[-1]["checkpoints"], strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "through")


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_a_killed_lora_training_ends_with_the_same_weights(tmp_path, base):
    examples = [example(n, n + 1) for n in range(12)]
    options = {"n_epochs": 4, "batch_size": 4, "lora_rank": 4}
    finish(start(tmp_path / "through", base, examples, **options))

    killed = tmp_path / "killed"
    with start(killed, base, examples, **options) as process:
        while not list((killed / "work").glob("checkpoint-*/complete")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    events, status, log = finish(start(killed, base, examples, **options))
    assert status == 0, log
    assert events[0]["resumed_from"] >= 3
    assert len(weights(killed)) == 6
    assert weights(killed) == weights(tmp_path / "through")


@pytest.mark.train
def test_early_stop_and_the_best_epoch(tmp_path, base):
    """The better it knows calls, the worse it knows other words: each epoch is worse."""
    examples = [example(n, n + 1) for n in range(12)]
    said = {"role": "assistant", "content": "zzz qqq xxx kkk " * 12}
    other = [{"messages": [{"role": "user", "content": "Hm?"}, said]}] * 4
    options = {"n_epochs": 20, "batch_size": 4, "learning_rate_multiplier": 30.0}
    process = start(
        tmp_path, base, examples, validation=other, early_stopping_patience=2, **options
    )
    events, status, log = finish(process)
    assert status == 0, log
    validated = {each["step"]: each["valid_loss"] for each in events[1:-1] if "valid_loss" in each}
    best = min(validated, key=validated.get)
    assert max(validated) == best + 2 * 3 < 60
    done = events[-1]
    assert done["step"] == best
    kept = sorted({best, *list(validated)[-3:]})
    assert [each["step"] for each in done["checkpoints"]] == kept
    folders = {f"step-{step}" for step in kept if step != best} | {"model"}
    assert {path.name for path in (tmp_path / "models").iterdir()} == folders
    assert done["trained_tokens"] == events[0]["trained_tokens"] * len(validated) // 20


@pytest.mark.train
def test_the_best_of_validations_within_epochs(tmp_path, base):
    examples = [example(n, n + 1) for n in range(12)]
    said = {"role": "assistant", "content": "zzz qqq xxx kkk " * 12}
    other = [{"messages": [{"role": "user", "content": "Hm?"}, said]}] * 4
    options = {"n_epochs": 5, "batch_size": 2, "learning_rate_multiplier": 30.0}
    options |= {"eval_steps": 2, "early_stopping_patience": 1}
    events, status, log = finish(start(tmp_path, base, examples, validation=other, **options))
    assert status == 0, log
    validated = {each["step"]: each["valid_loss"] for each in events[1:-1] if "valid_loss" in each}
    best = min(validated, key=validated.get)
    # It ends at once, in the first of the epochs of six steps.
    assert list(validated) == list(range(2, best + 3, 2))
    assert best + 2 < 6
    done = events[-1]
    assert (done["step"], [each["step"] for each in done["checkpoints"]]) == (best, [best])
    assert done["checkpoints"][0]["valid_loss"] == validated[best]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model"]
    assert 0 < done["trained_tokens"] < events[0]["trained_tokens"] // 5


@pytest.mark.train
def test_dpo_prefers_what_it_is_told_to(tmp_path, base):
    pairs = [preference(n) for n in range(16)]
    events, status, log = finish(
        start(tmp_path, base, pairs, validation=pairs, method="dpo", n_epochs=3, lora_rank=0)
    )
    assert status == 0, log
    assert events[0]["hyperparameters"]["beta"] == 0.1
    first, *_, last = [event for event in events if "valid_loss" in event]
    assert last["valid_loss"] < first["valid_loss"]
    assert last["valid_reward_accuracy"] == 1
    assert "plus" not in log


def test_preferences_without_a_difference(tmp_path, base):
    same = preference(1)
    same["non_preferred_output"] = same["preferred_output"]
    events, status, _ = finish(start(tmp_path, base, [preference(0), same], method="dpo"))
    assert status == 1
    assert events[0]["code"] == "invalid_training_file"
    assert "Line 2: Both answers are the same" in events[0]["message"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nope", "no layer 'nope'. It has down_proj, gate_proj"),
        ("embed_tokens", "shares its weights with lm_head"),
        ("lm_head", "shares its weights with model.embed_tokens"),
        ("mlp", "LoRA can't be put on this base model"),
    ],
)
def test_layers_that_lora_can_not_be_put_on(tmp_path, base, target, why):
    process = start(tmp_path, base, [example(1, 2)] * 3, lora_rank=2, lora_targets=[target])
    events, status, _ = finish(process)
    assert status == 1
    assert events[-1]["code"] == "invalid_hyperparameters"
    assert why in events[-1]["message"]


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.parametrize(
    ("tied", "targets"),
    [(True, "all-linear"), (False, "all-linear"), (False, ["embed_tokens", "q_proj"])],
)
def test_the_served_model_is_the_trained_one(tmp_path, tied, targets, monkeypatch):
    """What the trainer's own model answers in the end, and what the exported folder does."""
    import threading

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langchain_finetune.local.training import fit as fitting
    from langchain_finetune.local.training import memory
    from langchain_finetune.local.training.checkpoints import folder_of
    from langchain_finetune.local.training.encoding import Encoder
    from langchain_finetune.local.training.export import export
    from langchain_finetune.local.training.plan import make_plan
    from langchain_finetune.methods import Hyperparameters

    monkeypatch.setattr(fitting, "trains_in_bfloat16", lambda: False)
    monkeypatch.setattr(fitting, "device", lambda: "cpu")
    if not tied:
        # Then activations are computed again, which needs inputs with gradients.
        monkeypatch.setattr(memory, "model_memory", lambda: 0)
    trained = {}

    class Watched(fitting._Progress):
        def on_train_end(self, *_, model, **__):
            trained["model"] = model

    monkeypatch.setattr(fitting, "_Progress", Watched)
    base = make_tiny_model(tmp_path / "base", tied=tied)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    encoded = Encoder.of(tokenizer, model.config, model.generation_config).encode(
        enumerate((example(n, n + 1) for n in range(6)), start=1)
    )
    # A rate at which a base that was left as it is would answer otherwise.
    asked = Hyperparameters(
        n_epochs=4, batch_size=2, lora_rank=4, lora_targets=targets, learning_rate_multiplier=50
    )
    plan = make_plan(asked, examples=6, parameters=model.num_parameters())
    work = tmp_path / "work"
    fitted = fitting.fit(
        model, tokenizer, encoded, None, plan=plan, seed=3, work=work, resumed_from=None,
        stop=threading.Event(), report=lambda _: None,
    )  # fmt: skip
    target = tmp_path / "served"
    export(
        folder_of(work, fitted.steps), target, tokenizer, base=str(base), name="tiny",
        dtype=torch.float32, lora=True,
    )  # fmt: skip
    text = torch.tensor([encoded[0].columns["input_ids"]])

    def answers(model):
        with torch.no_grad():
            return model.eval()(input_ids=text).logits.float().log_softmax(-1)

    expected = answers(trained["model"])

    def divergence(model):
        return (expected.exp() * (expected - answers(model))).sum(-1).max()

    assert divergence(AutoModelForCausalLM.from_pretrained(target)) < 1e-4
    assert divergence(AutoModelForCausalLM.from_pretrained(base)) > 1e-2


@pytest.mark.train
def test_two_processes_train_as_one_does(tmp_path, base):
    """On a CPU, as on two GPUs: each takes half of every batch."""
    examples = [example(n, n + 1) for n in range(16)]
    options = {"validation": examples[:4], "n_epochs": 2, "batch_size": 8}
    alone, _, _ = finish(start(tmp_path / "alone", base, examples, **options))
    both, status, log = finish(start(tmp_path / "both", base, examples, processes=2, **options))
    assert status == 0, log
    assert [event["event"] for event in both] == [event["event"] for event in alone]
    assert both[0] == alone[0]
    for one, two in zip(alone[1:-1], both[1:-1], strict=True):
        assert (one.pop("event"), two.pop("event")) == ("metrics", "metrics")
        assert two == pytest.approx(one, rel=0.01, abs=0.02)
    folders = {path.name for path in (tmp_path / "both" / "models").iterdir()}
    assert folders == {path.name for path in (tmp_path / "alone" / "models").iterdir()}
