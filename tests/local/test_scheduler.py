"""Continuous batching: rows of one model in one step, each as if it were alone."""

import queue
import random

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3_5TextConfig,
)

from langchain_finetune.local.serving.decoder import Decoder, Portion
from langchain_finetune.local.serving.loading import load
from langchain_finetune.local.serving.protocol import SampledRequest
from langchain_finetune.local.serving.sampling import Sampler
from langchain_finetune.local.serving.scheduler import BatchRow, Scheduler
from tests.local.tiny_model import make_tiny_model

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}


class Sink:
    """Takes an answer; the tokens of all come in the order in which they are written."""

    def __init__(self, order, most=None):
        self.order = order
        self.most = most
        self.tokens = []
        self.over = queue.Queue()

    @property
    def cancelled(self):
        return self.most is not None and len(self.tokens) >= self.most

    def put(self, token):
        self.tokens.append(token)
        self.order.append(self)

    def end(self):
        pass

    def close(self, error):
        self.over.put(error)

    def error(self):
        return self.over.get(timeout=60)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    found = load(make_tiny_model(tmp_path_factory.mktemp("tiny")))
    # All write as many tokens as they may.
    found.__dict__["ends"] = []
    return found


def submitted(scheduler, loaded, prompt, room, sink=None, **fields):
    request = SampledRequest(model="tiny", **{"temperature": 0, **fields})
    sampler = Sampler(request, loaded.model.generation_config, None, room, 0)
    sink = sink or Sink([])
    row = BatchRow(loaded, prompt, room, sampler, sink)
    scheduler.submit(row)
    return sink


def written_alone(loaded, prompt, room):
    loaded.model.set_attn_implementation("sdpa")
    try:
        ids = torch.tensor([prompt])
        for _ in range(room):
            token = loaded.model(ids).logits[0, -1].argmax()
            ids = torch.cat([ids, token[None, None]], dim=1)
    finally:
        loaded.model.set_attn_implementation("lcft_sequences")
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("step", [512, 7])
def test_rows_of_all_lengths_write_what_they_write_alone(loaded, monkeypatch, step):
    from langchain_finetune.local.serving import scheduler as module

    monkeypatch.setattr(module, "PROMPT_TOKENS", step)
    draw = random.Random(0)
    asked = [
        ([draw.randrange(256) for _ in range(length)], draw.randrange(3, 40))
        for length in (1, 2, 3, 50, 90, 17, 200, 1, 64, 33, 5, 128)
    ]
    order = []
    scheduler = Scheduler(10**9)
    sinks = [submitted(scheduler, loaded, *each, Sink(order)) for each in asked]
    assert [sink.error() for sink in sinks] == [None] * len(asked)
    assert [sink.tokens for sink in sinks] == [written_alone(loaded, *each) for each in asked]
    # They took turns.
    assert order.index(sinks[1]) < len(order) - 1 - order[::-1].index(sinks[0])


def test_one_that_joins_does_not_wait_for_the_end_of_another(loaded):
    order = []
    scheduler = Scheduler(10**9)
    long = submitted(scheduler, loaded, [1, 2, 3], 400, Sink(order))
    while not long.tokens:
        pass
    short = submitted(scheduler, loaded, [4, 5], 5, Sink(order))
    assert short.error() is None
    assert len(long.tokens) < 400
    assert long.error() is None
    assert len(long.tokens) == 400


def test_one_that_is_cancelled_ends_alone(loaded):
    scheduler = Scheduler(10**9)
    whole = submitted(scheduler, loaded, [1, 2, 3], 60)
    left = submitted(scheduler, loaded, [1, 2, 3], 60, Sink([], most=9))
    assert (left.error(), whole.error()) == (None, None)
    assert (len(left.tokens), len(whole.tokens)) == (9, 60)
    assert left.tokens == whole.tokens[:9]


def test_an_error_is_that_of_one_row(loaded, monkeypatch):
    forward = type(loaded.model).forward
    steps = []

    def breaks(self, input_ids, **fields):
        steps.append(input_ids.shape[1])
        if 200 in input_ids:
            raise RuntimeError("no memory for this one")
        return forward(self, input_ids, **fields)

    monkeypatch.setattr(type(loaded.model), "forward", breaks)
    scheduler = Scheduler(10**9)
    good = submitted(scheduler, loaded, [1, 2, 3], 30)
    bad = submitted(scheduler, loaded, [7, 200], 30)
    other = submitted(scheduler, loaded, [9], 30)
    assert isinstance(bad.error(), RuntimeError)
    assert (good.error(), other.error()) == (None, None)
    monkeypatch.undo()
    assert good.tokens == written_alone(loaded, [1, 2, 3], 30)
    assert other.tokens == written_alone(loaded, [9], 30)
    # A draw can fail, too.
    broken = Sink([])
    broken.put = lambda _: 1 / 0
    fails = submitted(scheduler, loaded, [1], 30, broken)
    lasts = submitted(scheduler, loaded, [9], 30)
    assert isinstance(fails.error(), ZeroDivisionError)
    assert (lasts.error(), len(lasts.tokens)) == (None, 30)


def test_a_seed_is_that_of_a_row(loaded):
    scheduler = Scheduler(10**9)
    fields = {"temperature": 1.5, "seed": 5}
    alone = submitted(scheduler, loaded, [1, 2], 30, **fields)
    assert alone.error() is None
    many = [submitted(scheduler, loaded, [1, 2], 30, **fields) for _ in range(3)]
    others = [submitted(scheduler, loaded, [1, 2], 30, temperature=1.5) for _ in range(3)]
    assert [sink.error() for sink in (*many, *others)] == [None] * 6
    assert [sink.tokens for sink in many] == [alone.tokens] * 3
    assert len({tuple(sink.tokens) for sink in others}) == 3


def test_those_that_find_no_room_wait_in_order(loaded):
    order = []
    room = loaded.decoder.token_bytes * 100
    scheduler = Scheduler(room)
    # The first is larger than the bound, and goes alone.
    sizes = (150, 40, 40, 40)
    sinks = [submitted(scheduler, loaded, [1], size, Sink(order)) for size in sizes]
    assert [sink.error() for sink in sinks] == [None] * 4
    first, second, third, fourth = ([n for n, s in enumerate(order) if s is k] for k in sinks)
    assert first[-1] < second[0] < third[0] < second[-1]
    assert max(second) < min(fourth)


CONFIGS = {
    "grouped": (LlamaConfig(**SIZES), True),
    "every layer slides": (MistralConfig(**SIZES, sliding_window=6), True),
    "scores are capped": (Gemma2Config(**SIZES, sliding_window=6), False),
    "positions depend on the longest": (
        LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0}),
        False,
    ),
    "recurrent": (
        Qwen3_5TextConfig(
            **SIZES,
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
        ),
        False,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_kinds_of_models(name):
    """Those that can not be batched are found out, and are right, one after the other."""
    config, together = CONFIGS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    ids = [random.Random(1).randrange(97) for _ in range(40)]
    with torch.inference_mode():
        right = [model(torch.tensor([ids[:end]])).logits[0, -1] for end in (30, 31, 40)]
    decoder = Decoder(model)
    assert decoder.together is together
    one, other = decoder.sequence(), decoder.sequence()
    got = [decoder.step([Portion(one, ids[:30]), Portion(other, ids[:3])])[0]]
    got += [decoder.step([Portion(one, ids[30:31])])[0]]
    if together:
        decoder.step([Portion(one, ids[31:37]), Portion(other, ids[3:5])])
        got += [decoder.step([Portion(other, ids[5:9]), Portion(one, ids[37:])])[1]]
    for score, wanted in zip(got, right, strict=False):
        torch.testing.assert_close(score, wanted, atol=1e-4, rtol=1e-3)
    assert decoder.token_bytes > 0


@pytest.fixture
def read(loaded, monkeypatch):
    """The number of tokens that each step of the model takes in."""
    loaded.prefixes._kept.clear()
    step, read = loaded.decoder.step, []

    def counts(portions):
        read.append(sum(len(portion.tokens) for portion in portions))
        return step(portions)

    monkeypatch.setattr(loaded.decoder, "step", counts)
    return read


def test_a_text_that_begins_the_same_is_not_read_again(loaded, read):
    scheduler = Scheduler(10**9)
    system = [random.Random(2).randrange(256) for _ in range(300)]
    first = submitted(scheduler, loaded, [*system, 1, 2, 3], 20)
    assert first.error() is None
    assert max(read) == 303
    read.clear()
    other = submitted(scheduler, loaded, [*system, 9, 8], 20)
    assert other.error() is None
    assert max(read) == 2
    # A further turn, after the answer.
    read.clear()
    turns = [*system, 1, 2, 3, *first.tokens, 5, 6]
    further = submitted(scheduler, loaded, turns, 20)
    same = submitted(scheduler, loaded, [*system, 1, 2, 3], 20)
    assert (further.error(), same.error()) == (None, None)
    assert max(read) <= 4
    assert other.tokens == written_alone(loaded, [*system, 9, 8], 20)
    assert further.tokens == written_alone(loaded, turns, 20)
    assert same.tokens == first.tokens


def test_many_who_ask_at_once_read_their_beginning_once(loaded, read, monkeypatch):
    from langchain_finetune.local.serving import scheduler as module

    monkeypatch.setattr(module, "PROMPT_TOKENS", 100)
    system = [random.Random(3).randrange(256) for _ in range(300)]
    scheduler = Scheduler(10**9)
    asked = [[*system, number] for number in range(6)]
    sinks = [submitted(scheduler, loaded, prompt, 10) for prompt in asked]
    assert [sink.error() for sink in sinks] == [None] * 6
    assert sum(read) < 300 + 6 * 12
    assert [sink.tokens for sink in sinks] == [written_alone(loaded, each, 10) for each in asked]


def test_what_is_kept_stays_within_the_memory(loaded, read):
    room = loaded.decoder.token_bytes * 700
    scheduler = Scheduler(room)
    prompts = [[number, *range(100, 200)] for number in range(8)]
    for prompt in prompts:
        assert submitted(scheduler, loaded, prompt, 10).error() is None
        assert 0 < loaded.prefixes.nbytes <= room
    read.clear()
    # The last ones are there; the first are not, and come again in place of others.
    for prompt in (prompts[-1], prompts[0]):
        assert submitted(scheduler, loaded, prompt, 10).error() is None
    assert sorted(read)[-2:] == [1, 101]
    # One that takes all there is leaves room for nothing else.
    assert submitted(scheduler, loaded, [5], 699).error() is None
    assert loaded.prefixes.nbytes <= room
