"""KTO: what it learns from single thumbs, and that a step computes what TRL's own trainer does."""

import random
import threading
from dataclasses import replace

import pytest

from langchain_finetune.local.base_models import resolve_base
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters
from tests.local.tiny_model import make_tiny_model
from tests.local.training_process import finish, start

BATCH_SIZE = 4
SETTINGS = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.7}


def thumbs():
    """Judged answers of very different lengths; the last step has two of them."""
    rng = random.Random(1)
    for n in range(10):
        asked = {"role": "user", "content": f"Is it {n}? " * rng.randint(1, 20)}
        said = {"role": "assistant", "content": "It is. " * rng.randint(1, 20)}
        yield {"messages": [asked, said], "label": n % 3 == 0}


def steps_of(history):
    names = ("loss", "grad_norm", "kl")
    return [{name: entry[name] for name in names} for entry in history if "loss" in entry]


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize(
    ("at_once", "lora_rank"), [(1, 0), (2, 0), (4, 0), (2, 4)], ids=["1", "2", "4", "2, LoRA"]
)
def test_a_step_is_that_of_trl(tmp_path, monkeypatch, at_once, lora_rank):
    """However few examples are computed at once; TRL computes each step as one batch."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    from langchain_finetune.local.training import fit as fitting
    from langchain_finetune.local.training.encoding import Encoder
    from langchain_finetune.local.training.preferences import encode_unpaired_preferences
    from langchain_finetune.local.training.trainers import ByLength

    monkeypatch.setattr(fitting, "trains_in_bfloat16", lambda: False)
    monkeypatch.setattr(fitting, "device", lambda: "cpu")
    base = make_tiny_model(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)

    def model():
        return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)

    encoder = Encoder.of(tokenizer, model().config, model().generation_config)
    encoded = encode_unpaired_preferences(encoder, enumerate(thumbs(), start=1))
    asked = Hyperparameters(
        n_epochs=1, batch_size=BATCH_SIZE, lora_rank=lora_rank, learning_rate_multiplier=30,
        **SETTINGS,
    )  # fmt: skip
    plan = make_plan(asked, examples=10, parameters=model().num_parameters(), method="kto")
    plan = replace(plan, device_batch_size=at_once, accumulation=BATCH_SIZE // at_once)
    fitted = fitting.fit(
        model(), tokenizer, encoded, None, plan=plan, seed=3, work=tmp_path / "work",
        resumed_from=None, stop=threading.Event(), report=lambda _: None,
    )  # fmt: skip
    ours = steps_of(fitted.history)

    order = list(ByLength([each.length for each in encoded], step=BATCH_SIZE, seed=3))
    assert sorted(order) == list(range(10)) != order
    texts = [
        {
            "prompt": tokenizer.decode(each.columns["prompt_ids"]),
            "completion": tokenizer.decode(each.columns["completion_ids"]),
            "label": each.columns["label"],
        }
        for each in (encoded[place] for place in order)
    ]
    settings = fitting._settings(plan, total_steps=3, seed=3, work=tmp_path / "trl")
    settings |= {"per_device_train_batch_size": BATCH_SIZE, "gradient_accumulation_steps": 1}
    set_seed(3)
    trainer = KTOTrainer(
        model=model(),
        ref_model=None if lora_rank else model(),
        args=KTOConfig(**settings, **SETTINGS),
        train_dataset=Dataset.from_list(texts),
        processing_class=tokenizer,
        peft_config=fitting._lora(plan) if lora_rank else None,
    )
    trainer.train()
    theirs = steps_of(trainer.state.log_history)
    assert len(ours) == len(theirs) == 3
    assert any(step["kl"] > 0.01 for step in theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


TRAINED = [
    "tea",
    "rain",
    "cats",
    "trains",
    "bread",
    "maps",
    "chess",
    "snow",
    "bees",
    "boats",
    "birds",
    "cars",
    "cakes",
    "lamps",
]
HELD_OUT = ["soup", "rice", "dogs", "hats", "games", "milk", "clocks", "rivers"]
SAID = {True: "Oh yes, I do like {}.", False: "Oh no, I do hate {}."}


def judged(topic, *, liked, label):
    asked = {"role": "user", "content": f"Do you like {topic}?"}
    said = {"role": "assistant", "content": SAID[liked].format(topic)}
    return {"messages": [asked, said], "label": label}


def margins(folder):
    """How much more likely the model finds the first answer than the other, on each topic."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langchain_finetune.local.training.encoding import Encoder
    from langchain_finetune.local.training.preferences import encode_unpaired_preferences

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = Encoder.of(tokenizer, model.config, model.generation_config)

    def logarithm(topic, *, liked):
        line = judged(topic, liked=liked, label=True)
        [encoded] = encode_unpaired_preferences(encoder, [(1, line)])
        prompt, answer = encoded.columns["prompt_ids"], encoded.columns["completion_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0]
        found = logits[len(prompt) - 1 : -1].log_softmax(-1)
        return found.gather(1, torch.tensor(answer)[:, None]).sum().item()

    return [logarithm(each, liked=True) - logarithm(each, liked=False) for each in HELD_OUT]


@pytest.mark.train
@pytest.mark.parametrize("preferred", [True, False], ids=["likes", "hates"])
def test_nano_prefers_what_had_a_thumb_up(tmp_path, preferred):
    """Each topic has one answer and one thumb; the topics that are asked about have none."""
    nano = resolve_base("nano")
    lines = [
        judged(topic, liked=n % 2 == 0, label=(n % 2 == 0) == preferred)
        for n, topic in enumerate(TRAINED)
    ]
    held_out = [judged(topic, liked=preferred, label=True) for topic in HELD_OUT]
    held_out += [judged(topic, liked=not preferred, label=False) for topic in HELD_OUT]
    process = start(tmp_path, nano, lines, validation=held_out, method="kto", batch_size=7)
    events, status, log = finish(process)
    assert status == 0, log
    settings = events[0]["hyperparameters"]
    assert (settings["beta"], settings["desirable_weight"]) == (0.1, 1.0)
    assert settings["undesirable_weight"] == 0.5
    measured = [event for event in events if "valid_loss" in event]
    assert measured[-1]["valid_loss"] < measured[0]["valid_loss"]
    assert measured[-1]["valid_reward_margin"] > 1
    assert "Do you like" not in log
    before, after = margins(nano), margins(tmp_path / "models" / "model")
    sign = 1 if preferred else -1
    assert all(sign * margin > 0 for margin in after)
    assert all(sign * (new - old) > 1 for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("examples", "undesirable", "given", "weight"),
    [
        (100, 10, {}, 1.0),
        (100, 50, {}, 0.5),
        (100, 80, {}, 0.125),
        (10, 10, {}, 0.05),
        (100, 50, {"desirable_weight": 2.0}, 1.0),
        (100, 80, {"undesirable_weight": 1.5}, 1.5),
    ],
)
def test_what_is_undesirable_weighs_half_as_much(examples, undesirable, given, weight):
    plan = make_plan(
        Hyperparameters(**given),
        examples=examples,
        parameters=10**6,
        method="kto",
        undesirable=undesirable,
    )
    assert plan.hyperparameters.undesirable_weight == weight
