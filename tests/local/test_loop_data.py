"""What a training loop sends, byte by byte, and what it decides as training here does."""

import json

import numpy as np
import pytest
from transformers import get_cosine_schedule_with_warmup

from langchain_finetune.local.templates.prepare import prepare
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.loop.objectives import pairs_of
from langchain_finetune.local.training.plan import rate_share, warmup_steps
from langchain_finetune.local.training.preferences import encode_preferences
from langchain_finetune.local.training.sequences import IGNORED, Encoded
from support.dialects import RUNS
from support.servers import served
from tests.local.families import FAMILIES, tokenizer_of
from tests.local.test_loop_faults import SERVERS, begin
from tests.local.tiny_model import example
from tests.local.training_process import finish, preference

BATCH = 7
WEIGHTED = {
    "messages": [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Uno", "weight": 0},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Dos", "weight": 1},
    ]
}


def encoder_of(name):
    [family] = [each for each in FAMILIES if each.name == name]
    tokenizer = tokenizer_of(family)
    prepare(tokenizer)
    return Encoder(tokenizer, frozenset({tokenizer.eos_token_id}), max_length=None)


def encoded(encoder, lines):
    """The examples that the family's template can express, as training here has them."""
    for line in lines:
        try:
            sequences = encoder.sequences(line)
        except UnfitExampleError:
            continue
        for each in sequences:
            yield Encoded(each.length, {"input_ids": each.input_ids, "labels": each.labels})


@pytest.mark.parametrize("host", SERVERS)
@pytest.mark.parametrize("family", ["Qwen 3", "Llama 3.1", "SmolLM2"])
def test_tokens_and_weights_are_the_labels_of_training_here(family, host, tmp_path):
    fixtures = [line for _, line in RUNS.values() if "messages" in line]
    lines = [*fixtures, WEIGHTED, *(example(n, n + 1) for n in range(5))]
    examples = [each.columns for each in encoded(encoder_of(family), lines)]
    assert len(examples) > 20
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "examples.json").write_text(json.dumps(examples))
    server = SERVERS[host]()
    with served(server.app) as url:
        _, status, log = finish(begin(tmp_path / "job", url, host, n_epochs=1, batch_size=BATCH))
    assert status == 0, log
    by_tokens = {tuple(each["input_ids"]): each for each in examples}
    assert len(server.sent) == len(examples)
    for start in range(0, len(examples), BATCH):
        step = server.sent[start : start + BATCH]
        batch = [by_tokens[(*sent.tokens.tolist(), int(sent.targets[-1]))] for sent in step]
        trained = sum(label != IGNORED for each in batch for label in each["labels"][1:])
        for sent, each in zip(step, batch, strict=True):
            ids, labels = np.array(each["input_ids"]), np.array(each["labels"])[1:]
            assert sent.tokens.tobytes() == ids[:-1].astype(np.int32).tobytes()
            assert sent.targets.tobytes() == ids[1:].astype(np.int64).tobytes()
            assert np.where(sent.weights != 0, sent.targets, IGNORED).tolist() == labels.tolist()
            mask = (labels != IGNORED).astype(np.float32)
            assert sent.weights.tobytes() == (mask * np.float32(1 / trained)).tobytes()


def test_both_answers_of_a_preference_are_sent_behind_their_prompt():
    encoder = encoder_of("Qwen 3")
    [pair] = encode_preferences(encoder, [(1, preference(1))])
    chosen, rejected = pairs_of([pair])
    for datum, name in ((chosen, "chosen_ids"), (rejected, "rejected_ids")):
        answer = pair.columns[name]
        assert [*datum.tokens, datum.targets[-1]] == pair.columns["prompt_ids"] + answer
        assert datum.weights == [0.0] * (len(pair.columns["prompt_ids"]) - 1) + [1.0] * len(answer)


@pytest.mark.parametrize("total", [1, 9, 20, 137])
def test_the_learning_rate_falls_as_transformers_lets_it(total):
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup_steps(total), total)
    for step in range(total):
        assert rate_share(step, total) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()
