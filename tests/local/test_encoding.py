"""Which tokens are trained."""

import json

import pytest

from langchain_finetune.local.training.encoding import Encoder
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.sequences import IGNORED
from tests.local.tiny_model import CALCULATOR, example, make_tiny_model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path_factory.mktemp("tiny")))
    return Encoder(tokenizer, frozenset({tokenizer.eos_token_id}), max_length=2048)


def spans(encoder, sequence):
    """The trained tokens as text, each unbroken run of them for itself."""
    runs, run = [], []
    for token, label in [*zip(sequence.input_ids, sequence.labels, strict=True), (0, IGNORED)]:
        if label == IGNORED:
            runs += [encoder.tokenizer.decode(run)] if run else []
            run = []
        else:
            assert label == token
            run.append(token)
    return runs


def chat(*turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_only_the_answers_are_trained(encoder):
    given = chat(
        ("system", "Be brief."),
        ("user", "a?"),
        ("assistant", "A"),
        ("user", "b?"),
        ("assistant", "B"),
    )
    (sequence,) = encoder.sequences(given)
    assert spans(encoder, sequence) == ["A<|im_end|>", "B<|im_end|>"]
    assert encoder.tokenizer.decode(sequence.input_ids) == sequence.text
    assert sequence.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na?<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nb?<|im_end|>\n"
        "<|im_start|>assistant\nB<|im_end|>"
    )


def test_weight_zero_is_read_and_not_trained(encoder):
    given = chat(("user", "a?"), ("assistant", "bad"), ("user", "b?"), ("assistant", "good"))
    given["messages"][1]["weight"] = 0
    given["messages"][3]["weight"] = 1
    (sequence,) = encoder.sequences(given)
    assert spans(encoder, sequence) == ["good<|im_end|>"]
    assert "bad<|im_end|>" in sequence.text


def test_a_call_is_trained_as_the_template_writes_it(encoder):
    (sequence,) = encoder.sequences(example(5, 8))
    assert spans(encoder, sequence) == [
        (
            '<tool_call>\n{"name": "calculator", "arguments": '
            '{"first": 5, "operation": "add", "second": 8}}\n</tool_call><|im_end|>'
        )
    ]
    assert json.dumps(CALCULATOR) in sequence.text


def test_answers_around_a_tool_result(encoder):
    given = example(5, 8)
    given["messages"] += [
        {"role": "tool", "tool_call_id": "call_1", "content": "13"},
        {"role": "assistant", "content": "It is 13."},
    ]
    call, answer = spans(encoder, encoder.sequences(given)[0])
    assert call.startswith("<tool_call>")
    assert answer == "It is 13.<|im_end|>"


def test_an_answer_that_opens_with_white_space(encoder):
    (sequence,) = encoder.sequences(chat(("user", "a?"), ("assistant", "\n A")))
    assert spans(encoder, sequence) == ["\n A<|im_end|>"]


def test_a_greeting_is_read_and_not_trained(encoder):
    given = chat(("assistant", "Hello!"), ("user", "a?"), ("assistant", "A"))
    (sequence,) = encoder.sequences(given)
    assert spans(encoder, sequence) == ["A<|im_end|>"]
    assert "Hello!" in sequence.text


def with_template(encoder, template):
    from copy import deepcopy

    tokenizer = deepcopy(encoder.tokenizer)
    tokenizer.chat_template = template
    return Encoder(tokenizer, encoder.stop_ids, encoder.max_length)


def test_a_template_that_rewrites_earlier_turns(encoder):
    """Qwen3's shows an empty thought in the last turn only: each turn has its own prompt then."""
    from trl.chat_template_utils import qwen3_chat_template

    other = with_template(encoder, qwen3_chat_template)
    given = chat(("user", "a?"), ("assistant", "A"), ("user", "b?"), ("assistant", "B"))
    first, second = other.sequences(given)
    assert spans(other, first) == ["<think>\n\n</think>\n\nA<|im_end|>"]
    assert spans(other, second) == ["<think>\n\n</think>\n\nB<|im_end|>"]
    assert "<|im_start|>assistant\nA<|im_end|>" in second.text


PLAIN = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


PLAIN_CHAT = chat(("user", "a"), ("assistant", "b"))


@pytest.mark.parametrize(
    ("template", "given", "code"),
    [
        (PLAIN, example(1, 2), "template_without_tools"),
        (PLAIN.replace("[assistant]", "[bot]"), PLAIN_CHAT, "unsupported_chat_template"),
        ("{{ raise_exception('no') }}", PLAIN_CHAT, "unsupported_chat_template"),
    ],
)
def test_templates_that_do_not_fit(encoder, template, given, code):
    with pytest.raises(TrainingFailure) as caught:
        with_template(encoder, template).encode([(7, given)])
    assert caught.value.code == code
    assert "Line 7" in caught.value.message


def test_an_example_that_is_too_long(encoder):
    long = chat(("user", "secret" * 500), ("assistant", "A"))
    with pytest.raises(TrainingFailure) as caught:
        encoder.encode([(1, example(1, 2)), (9, long)])
    assert caught.value.code == "example_too_long"
    assert "Line 9" in caught.value.message
    assert "2048" in caught.value.message
    assert "secret" not in caught.value.message


def test_an_image_is_refused_with_its_line(encoder):
    image = [{"type": "image_url", "image_url": {"url": "https://secret"}}]
    with pytest.raises(TrainingFailure, match="Line 4, message 0") as caught:
        encoder.encode([(4, chat(("user", image), ("assistant", "A")))])
    assert caught.value.code == "invalid_training_file"


def test_a_control_token_of_the_base_is_refused_in_text(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path))
    tokenizer.add_tokens(["[INST]"], special_tokens=True)
    own = Encoder(tokenizer, frozenset({tokenizer.eos_token_id}), max_length=2048)
    for role in ("system", "user", "assistant"):
        given = chat((role, "Say [INST]"), ("user", "a?"), ("assistant", "A"))
        said = r"Line 7, message 0: .*control token \[INST\]"
        with pytest.raises(TrainingFailure, match=said) as told:
            own.encode_line(7, given)
        assert told.value.code == "invalid_training_file"
    tools = [{"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}]
    with pytest.raises(TrainingFailure, match=r"Line 8: .*control token <\|im_end\|>"):
        own.encode_line(8, {**chat(("user", "a?"), ("assistant", "A")), "tools": tools})
