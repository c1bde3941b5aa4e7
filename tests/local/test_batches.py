"""Sharing out a step's examples: by length, or in packed rows; the same is learnt."""

import random

import pytest

from langchain_finetune.local.training.batches import by_length, sized
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import finish, start

IGNORED = -100


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("seed", range(20))
def test_each_step_keeps_its_examples(seed):
    rng = random.Random(seed)
    lengths = [rng.randint(1, 2000) for _ in range(rng.randint(1, 70))]
    batch_size = min(rng.randint(1, 40), len(lengths))
    plan = make_plan(
        Hyperparameters(batch_size=batch_size), examples=len(lengths), parameters=10**6
    )
    step = sized(plan, lengths, seed)
    assert step.device_batch_size * step.accumulation == batch_size
    assert 1 <= step.device_batch_size <= plan.device_batch_size
    order = rng.sample(range(len(lengths)), len(lengths))
    found = list(by_length(order, lengths, batch_size))
    for start_ in range(0, len(order), batch_size):
        part = found[start_ : start_ + batch_size]
        assert set(part) == set(order[start_ : start_ + batch_size])
        assert [lengths[each] for each in part] == sorted(lengths[each] for each in part)


def mixed(n):
    """Chats of which every third is much longer."""
    return [example(k, k + 1) if k % 3 else example(k * 10**300, k + 1) for k in range(n)]


@pytest.mark.train
def test_packed_and_padded_learn_the_same(tmp_path, base):
    import torch
    from safetensors.torch import load_file

    examples = mixed(14)
    options = {"validation": examples[:5], "n_epochs": 2, "batch_size": 6}
    runs = {}
    for packing in (False, True):
        folder = tmp_path / str(packing)
        events, status, log = finish(start(folder, base, examples, packing=packing, **options))
        assert status == 0, log
        assert events[0]["hyperparameters"]["packing"] is packing
        runs[packing] = events, load_file(folder / "models" / "model" / "model.safetensors")
    (padded, weights), (packed, others) = runs[False], runs[True]
    assert packed[0]["trained_tokens"] == padded[0]["trained_tokens"]
    names = ("step", "train_loss", "valid_loss")
    for one, other in zip(padded[1:-1], packed[1:-1], strict=True):
        seen = [{name: each[name] for name in names if name in each} for each in (one, other)]
        assert seen[0] == pytest.approx(seen[1], rel=2e-3)
    for name, weight in weights.items():
        assert torch.allclose(weight.float(), others[name].float(), atol=2e-3)


def collated(rows):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(0, padding_free=True)(rows)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_example_sees_another(base, attention):
    """Logits and loss of a row are those of its examples alone."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        base, attn_implementation=attention, dtype=torch.float32
    )
    rng = random.Random(1)
    rows = []
    for length in (30, 5, 77, 12):
        ids = [rng.randrange(3, 200) for _ in range(length)]
        hidden = length // 3
        rows.append({"input_ids": ids, "labels": [IGNORED] * hidden + ids[hidden:]})
    with torch.no_grad():
        together = model(**collated(rows), use_cache=False)
        alone = [model(**collated([row]), use_cache=False) for row in rows]
    apart = torch.cat([each.logits[0] for each in alone])
    assert torch.allclose(together.logits[0], apart, atol=1e-5)
    # The first token of an example is not foretold from the one before it.
    trained = [sum(label != IGNORED for label in row["labels"][1:]) for row in rows]
    mean = sum(each.loss * n for each, n in zip(alone, trained, strict=True)) / sum(trained)
    assert together.loss.item() == pytest.approx(mean.item(), rel=1e-5)


def test_a_model_that_mixes_examples_is_not_packed(base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langchain_finetune.local.training.batches import require_apart

    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    require_apart(model, tokenizer)
    forward = model.forward

    def without_positions(input_ids=None, use_cache=None, **_):
        return forward(input_ids=input_ids, use_cache=use_cache)

    def without_borders(input_ids=None, attention_mask=None, position_ids=None, use_cache=None):
        return forward(input_ids=input_ids, use_cache=use_cache)

    for other in (without_positions, without_borders):
        model.forward = other
        with pytest.raises(TrainingFailure, match="leave packing out"):
            require_apart(model, tokenizer)
