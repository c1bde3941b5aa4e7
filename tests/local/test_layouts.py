"""Counting renders a chat once and tokenizes what repeats once, without another result."""

import random
import subprocess
import sys

import orjson
import pytest

from bench.agent_runs import agent_run
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.tokens import local
from langchain_finetune.convert.tokens.counter import counter_of
from langchain_finetune.dialects.fast_path import traced_line
from langchain_finetune.local.base_models import find_base
from langchain_finetune.local.training.encoding import Encoder
from langchain_finetune.local.training.text_tokens import TextTokens

CHATS = 384


def chats():
    """Chats of agents: some continue others, some have weights, greetings or no tools."""
    draw = random.Random(1)
    for number in range(CHATS):
        example = orjson.loads(traced_line(orjson.dumps(agent_run(number))).line)
        messages = example["messages"]
        if number % 5 == 0:
            messages += messages[1:]
        if number % 7 == 0:
            messages.insert(1, {"role": "assistant", "content": "Hello! \n"})
        if number % 11 == 0:
            del messages[0]
        for message in messages:
            if message["role"] == "assistant" and draw.random() < 0.2:
                message["weight"] = draw.randrange(2)
        yield example


@pytest.fixture(scope="module")
def counter():
    found = counter_of(Target("local", "nano"), "offline")
    assert found.encoder._answers is not None
    return found


def one_by_one(encoder):
    slow = Encoder(encoder.tokenizer, encoder.stop_ids, encoder.max_length)
    vars(slow)["_answers"] = None
    vars(slow)["_tokens"] = TextTokens(encoder.tokenizer, None)
    return slow


def test_many_chats_have_the_same_counts(counter):
    slow = local.LocalCounter(one_by_one(counter.encoder), counter.most)
    given = list(chats())
    for most in (None, 300):
        counts = [local.LocalCounter(each.encoder, most).count(given) for each in (counter, slow)]
        assert counts[0] == counts[1]
        assert len(set(counts[0])) > 1


def test_many_chats_have_the_same_tokens(counter):
    slow = one_by_one(counter.encoder)
    for example in list(chats())[::8]:
        made = [
            [(each.text, each.input_ids, each.labels) for each in encoder.sequences(example)]
            for encoder in (counter.encoder, slow)
        ]
        assert made[0] == made[1]


def test_a_chat_is_rendered_once(counter, monkeypatch):
    rendered = []
    real = counter.encoder.tokenizer.apply_chat_template
    monkeypatch.setattr(
        counter.encoder.tokenizer,
        "apply_chat_template",
        lambda *given, **more: rendered.append(1) or real(*given, **more),
    )
    example = next(chats())
    assert sum(each["role"] == "assistant" for each in example["messages"]) > 6
    counter.count([example])
    assert len(rendered) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{% if loop.last %}!{% endif %}{{ m.content }}<|im_end|>\n",
        "{{ m.content if loop.index0 + 1 < messages | length else 'x' }}<|im_end|>\n",
        "{{ m.content }}\n",
    ],
)
def test_a_template_that_looks_ahead_renders_each_answer(counter, template):
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(find_base("nano"))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        + template
        + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    assert Encoder(tokenizer, counter.encoder.stop_ids, 4096)._answers is None


def test_a_repeated_text_has_the_same_tokens(counter):
    tokenizer = counter.encoder.tokenizer
    tokens = TextTokens.of(tokenizer, counter.encoder._control_tokens)
    assert tokens.control is not None
    long = "Rooms with a view. " * 60
    texts = [
        f"<|im_start|>system\n{long}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n",
        f"{long}<|im_end|>{long}",
        "",
        "short",
        "\n",
    ] * 2
    expected = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert tokens.of_texts(texts) == expected
    assert tokens._known
    assert tokens.of_texts(texts) == expected
    tokens.of_texts([f"{number}{long}" for number in range(100)])
    assert len(tokens._known) <= 64
    assert tokens.of_texts(texts) == expected


COUNTS = """
import sys
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.tokens.counter import counter_of
chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
[count] = counter_of(Target("local", "nano"), "offline").count([{"messages": chat}])
print(count.total, "torch" in sys.modules)
"""


def test_counting_does_not_import_torch():
    done = subprocess.run(
        [sys.executable, "-c", COUNTS], capture_output=True, text=True, check=True
    )
    total, torch = done.stdout.split()
    assert int(total) > 0
    assert torch == "False"


def test_the_files_say_what_transformers_says(counter, monkeypatch):
    monkeypatch.setattr(local, "_plain_files", lambda _: None)
    other = counter_of(Target("local", "nano"), "offline")
    ours, theirs = counter.encoder, other.encoder
    assert type(ours.tokenizer) is type(theirs.tokenizer)
    assert (ours.stop_ids, ours.max_length) == (theirs.stop_ids, theirs.max_length)
    assert ours.tokenizer.special_tokens_map == theirs.tokenizer.special_tokens_map
    assert ours.tokenizer.backend_tokenizer.to_str() == theirs.tokenizer.backend_tokenizer.to_str()
