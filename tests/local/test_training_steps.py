"""What a step learns, however its examples are shared out into batches."""

import random
import threading
from dataclasses import replace

import pytest

from langchain_finetune.local.training.checkpoints import best, kept, ran_out_of_patience
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters
from tests.local.tiny_model import example, make_tiny_model

BATCH_SIZE = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


def chats():
    """Of very different lengths, with turns that are not trained between others."""
    rng = random.Random(1)
    for n in range(10):
        (question, answer), tools = example(n, n + 1)["messages"], example(n, n)["tools"]
        result = {"role": "tool", "tool_call_id": "call_1", "content": "7" * rng.randint(1, 300)}
        said = {"role": "assistant", "content": "It is. " * rng.randint(1, 40), "weight": n % 2}
        yield {"messages": [question, answer, result, said], "tools": tools}


def losses_and_gradients(base, sequences, steps):
    """The mean over all trained tokens of each step, and the norm of its gradient."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for places in steps:
        tokens = 0
        loss = torch.zeros(())
        for each in (sequences[place] for place in places):
            labels = torch.tensor(each.labels[1:])
            logits = model(torch.tensor([each.input_ids])).logits[0, :-1]
            loss = loss + torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            tokens += int((labels != -100).sum())
        model.zero_grad()
        (loss / tokens).backward()
        norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
        yield (loss / tokens).item(), torch.stack(norms).norm().item()


@pytest.mark.train
@pytest.mark.parametrize(
    ("size", "packing", "without"),
    [
        (1, False, None),
        (2, False, None),
        (4, False, None),
        (2, True, None),
        (2, False, "logits"),
        (4, False, "memory"),
    ],
)
def test_a_step_learns_the_mean_of_its_tokens(
    tmp_path, base, monkeypatch, capfd, size, packing, without
):
    """Without a learning rate, every step meets the same weights; the last one has two chats."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langchain_finetune.local.training import fit as fitting
    from langchain_finetune.local.training import memory, trainers
    from langchain_finetune.local.training.encoding import Encoder
    from langchain_finetune.local.training.shared_prefix import learn_shared

    monkeypatch.setattr(fitting, "trains_in_bfloat16", lambda: False)
    monkeypatch.setattr(fitting, "device", lambda: "cpu")
    if without == "logits":
        # Above it, TRL computes the loss.
        monkeypatch.setattr(trainers, "MOST_LOGITS", 0)
    if without == "memory":
        monkeypatch.setattr(memory, "model_memory", lambda: 0)
    shared = []

    def counted(*given):
        shared.append(given)
        return learn_shared(*given)

    monkeypatch.setattr(trainers, "learn_shared", counted)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    encoder = Encoder.of(tokenizer, model.config, model.generation_config)
    examples = list(enumerate(chats(), start=1))
    sequences = [each for n, chat in examples for each in encoder.encode_line(n, chat)]
    encoded = encoder.encode(examples)
    asked = Hyperparameters(n_epochs=1, batch_size=BATCH_SIZE, packing=packing)
    plan = replace(
        make_plan(asked, examples=len(sequences), parameters=model.num_parameters()),
        learning_rate=0.0,
        device_batch_size=size,
        accumulation=BATCH_SIZE // size,
    )
    fitted = fitting.fit(
        model, tokenizer, encoded, encoded[1:], plan=plan, seed=3, work=tmp_path,
        resumed_from=None, stop=threading.Event(), report=lambda _: None,
    )  # fmt: skip
    halved = "1 of 4 sequences at once, activations computed again" in capfd.readouterr().err
    assert halved == (without == "memory")
    # The tools are the same in all chats.
    assert bool(shared) == (size > 1 and not packing and without is None)
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(3)).tolist()
    steps = [order[at : at + BATCH_SIZE] for at in range(0, len(order), BATCH_SIZE)]
    logged = [(each["loss"], each["grad_norm"]) for each in fitted.history if "loss" in each]
    assert len(logged) == len(steps) == 3
    for found, expected in zip(logged, losses_and_gradients(base, sequences, steps), strict=True):
        assert found == pytest.approx(expected, rel=2e-3)
    # Validation, too; nine chats leave a batch that is not full.
    [validated] = [each["eval_loss"] for each in fitted.history if "eval_loss" in each]
    [(loss, _)] = losses_and_gradients(base, sequences, [range(1, len(sequences))])
    assert validated == pytest.approx(loss, rel=1e-5)


def test_a_validation_loss_that_is_no_number_is_not_the_best():
    nan, history = float("nan"), []
    for step, loss in enumerate([float("nan"), 0.5, 0.7, float("inf")], start=1):
        history.append({"step": step, "eval_loss": loss})
    assert best(history) == 2
    assert kept(history, [1, 2, 3, 4]) == [2, 3, 4]
    assert ran_out_of_patience(history, 2)
    assert not ran_out_of_patience(history, 3)
    never = [{"step": step, "eval_loss": nan} for step in (1, 2)]
    assert best(never) is None
    assert ran_out_of_patience(never, 2)
    assert not ran_out_of_patience(never, 3)
