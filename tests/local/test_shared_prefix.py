"""What examples begin with alike is computed once, and the same is learnt."""

from functools import partial

import pytest

from tests.local.tiny_model import make_tiny_model

IGNORED = -100
SHARED = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch
    from transformers import AutoModelForCausalLM

    base = make_tiny_model(tmp_path_factory.mktemp("base"))
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def batch(*, trained_from):
    """Four examples of different lengths, padded; they are trained from that token on."""
    import torch

    rows = [
        [3 + n % 90 for n in range(SHARED)] + [50 + k + n for n in range(5 * k + 1)]
        for k in range(4)
    ]
    longest = max(map(len, rows))
    labels = [[IGNORED] * trained_from + row[trained_from:] for row in rows]
    padded = {
        "input_ids": [row + [0] * (longest - len(row)) for row in rows],
        "attention_mask": [[1] * len(row) + [0] * (longest - len(row)) for row in rows],
        "labels": [row + [IGNORED] * (longest - len(row)) for row in labels],
    }
    return {name: torch.tensor(values) for name, values in padded.items()}


# Only what follows; also some of what is alike; from a place after which one example ends.
@pytest.mark.parametrize("trained_from", [SHARED, SHARED - 30, SHARED - 1])
def test_the_same_is_learnt(model, trained_from):
    import torch

    from langchain_finetune.local.training.shared_prefix import learn_shared, shared_length
    from langchain_finetune.local.training.trainers import _learn

    inputs = batch(trained_from=trained_from)
    length = shared_length(inputs["input_ids"], inputs["labels"])
    assert length == SHARED - 1
    learn = partial(_learn, model)
    apart = {name: inputs[name] for name in ("input_ids", "attention_mask")} | {"use_cache": False}
    found = []
    for sums in (
        learn(apart, inputs["labels"][:, 1:]),
        learn_shared(learn, model.config, inputs, length),
    ):
        model.zero_grad()
        sums[0].backward()
        gradient = torch.cat([each.grad.flatten() for each in model.parameters()])
        found.append((sums.tolist(), gradient))
    (sums, gradient), (others, other) = found
    assert others == pytest.approx(sums, rel=1e-5)
    assert (gradient - other).norm() < 1e-4 * gradient.norm()


def test_labels_that_differ_are_not_shared():
    from langchain_finetune.local.training.shared_prefix import shared_length

    inputs = batch(trained_from=SHARED)
    inputs["labels"][2, 170] = 5
    assert shared_length(inputs["input_ids"], inputs["labels"]) == 169
    # A short beginning costs more than it saves.
    inputs["labels"][2, 40] = 5
    assert shared_length(inputs["input_ids"], inputs["labels"]) == 0


def test_a_model_that_learns_nothing_through_its_cache_does_not_share(model, monkeypatch):
    from transformers import DynamicCache

    from langchain_finetune.local.training.shared_prefix import shares_exactly
    from langchain_finetune.local.training.trainers import _learn

    learn = partial(_learn, model)
    model.zero_grad()
    assert shares_exactly(learn, model)
    assert all(weight.grad is None for weight in model.parameters())

    def detached(cache, repeats):
        for layer in cache.layers:
            layer.keys = layer.keys.detach().repeat_interleave(repeats, dim=0)
            layer.values = layer.values.detach().repeat_interleave(repeats, dim=0)

    def missing(_cache, _repeats):
        raise NotImplementedError

    for other in (detached, missing):
        monkeypatch.setattr(DynamicCache, "batch_repeat_interleave", other)
        assert not shares_exactly(learn, model)
