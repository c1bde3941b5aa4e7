"""`Convert` counts exactly what the embedded engine trains on, and refuses what it refuses."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, ConvertError
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.tokens.count import Unfit
from langchain_finetune.convert.tokens.counter import counter_of
from langchain_finetune.convert.tokens.local import LocalCounter
from langchain_finetune.local.base_models import resolve_base
from langchain_finetune.local.training.encoding import Encoder
from langchain_finetune.local.training.events import TrainingFailure
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import load_to_train

TEXT = st.text(max_size=40)


@pytest.fixture(scope="module")
def engine():
    """The encoder as the training process makes it, with the model loaded."""
    model, tokenizer = load_to_train(resolve_base("nano"))
    return Encoder.of(tokenizer, model.config, model.generation_config)


@pytest.fixture(scope="module")
def counter():
    return counter_of(Target("local", "nano"), "offline")


def chat(*turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def answered(text, **fields):
    return {"messages": [HumanMessage(text), AIMessage("Yes", **fields)]}


@st.composite
def chats(draw):
    """Chats with tools, calls, results and weights."""
    messages = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXT)})
        if draw(st.booleans()):
            arguments = json.dumps({"first": draw(TEXT)})
            function = {"name": "calculator", "arguments": arguments}
            call = {"id": "c1", "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": "c1", "content": draw(TEXT)})
        weight = {"weight": draw(st.integers(0, 1))} if draw(st.booleans()) else {}
        messages.append({"role": "assistant", "content": draw(TEXT), **weight})
    messages[-1]["weight"] = 1
    return {"messages": messages, "tools": example(1, 2)["tools"]}


@settings(deadline=None, max_examples=30)
@given(st.lists(chats(), min_size=1, max_size=4))
def test_counts_are_what_the_engine_trains_on(engine, counter, examples):
    for given_example, count in zip(examples, counter.count(examples), strict=True):
        sequences = engine.encode_line(1, given_example)
        assert count.total == sum(len(each.input_ids) for each in sequences)
        assert count.longest == max(len(each.input_ids) for each in sequences)
        assert count.targets == sum(each.trained for each in sequences) > 0


def test_the_limit_is_the_engines(engine, counter):
    assert counter.limit == engine.max_length == 4096
    assert counter_of(Target("local", "nano"), "offline", most=100).limit == 100
    assert counter_of(Target("local", "nano"), "offline", most=10_000).limit == 4096


def test_what_is_just_too_long_is_so_for_both(engine, counter):
    """One token decides, in `Convert` as in the engine."""
    tokens = counter.count([chat(("user", ""), ("assistant", "A"))])[0].total
    pieces = (engine.max_length - tokens) * "!"
    fits, too_long = (chat(("user", text), ("assistant", "A")) for text in (pieces, pieces + "!"))
    while counter.count([fits])[0].total < engine.max_length:
        fits, too_long = (
            too_long,
            chat(("user", too_long["messages"][0]["content"] + "!"), ("assistant", "A")),
        )
    assert engine.encode([(1, fits)])
    with pytest.raises(TrainingFailure, match="rule too_long"):
        engine.encode([(1, too_long)])
    sessions = [
        {"messages": [HumanMessage(each["messages"][0]["content"]), AIMessage("A")]}
        for each in (fits, too_long)
    ]
    examples = Convert(model="nano").invoke(sessions)
    assert [row.tokens for row in examples.rows()] == [4096]
    assert [(skip.id, skip.code) for skip in examples.rejected] == [("session 1", "too_long")]
    assert examples.rejected[0].reason == "It has 4097 tokens; the limit is 4096."


def test_what_the_template_can_not_say_is_told_by_convert(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    examples = Convert(model="nano").invoke(
        [
            answered("Hi"),
            {"messages": [HumanMessage([image]), AIMessage("Yes")]},
            {"messages": [AIMessage("Hello")]},
        ]
    )
    assert len(list(examples)) == 1
    assert [(skip.id, skip.code) for skip in examples.rejected] == [
        ("session 1", "unsupported_content"),
        ("session 2", "no_answer"),
    ]
    assert "message 0" in examples.rejected[0].reason


def test_a_folder_is_a_base_and_its_limit_counts(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny", context=256)
    examples = Convert().invoke([answered("Hi"), answered("Hi " * 150)])
    assert len(list(examples.rows(Target("local", str(folder))))) == 1
    assert examples.rejected_by_reason() == {"too_long": 1}


def test_a_template_without_tools_is_told_before_any_job(engine):
    from copy import deepcopy

    tokenizer = deepcopy(engine.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    counter = LocalCounter(Encoder(tokenizer, engine.stop_ids, engine.max_length))
    [found] = counter.count([example(1, 2)])
    assert isinstance(found, Unfit)
    assert found.code == "template_without_tools"


def test_a_preference_is_its_prompt_with_each_answer(counter, engine):
    """Earlier answers are read only, and nothing behind the answers counts."""
    asked = chat(("user", "a"), ("assistant", "b"), ("user", "c"))["messages"]
    answers = [chat(("assistant", text))["messages"] for text in ("d", "efg")]
    preference = {
        "input": {"messages": asked},
        "preferred_output": answers[0],
        "non_preferred_output": answers[1],
    }
    [count] = counter.count([preference])
    learnt = [
        engine.sequences({"messages": [*asked[:1], {**asked[1], "weight": 0}, asked[2], *each]})
        for each in answers
    ]
    lengths = [len(sequence.input_ids) for [sequence] in learnt]
    assert count.total == sum(lengths)
    assert count.longest == max(lengths)
    assert count.targets == sum(sequence.trained for [sequence] in learnt)


def test_a_base_that_is_not_here_is_not_counted_unless_asked():
    [row] = Convert().invoke([answered("Hi")]).rows(Target("local", "nobody/nothing"))
    assert row.tokens is None
    with pytest.raises(ConvertError, match="There is no base model 'alias'"):
        list(Convert(count_tokens="always").invoke([answered("Hi")]).rows(Target("local", "alias")))


def test_without_the_extra_nothing_is_counted_unless_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    [row] = Convert(model="nano").invoke([answered("Hi")]).rows()
    assert row.tokens is None
    with pytest.raises(ConvertError, match=r"pip install .*\[local\]'"):
        list(Convert(model="nano", count_tokens="always").invoke([answered("Hi")]))


def test_a_folder_that_is_no_model_is_one_sentence(tmp_path):
    assert len(list(Convert(model=str(tmp_path)).invoke([answered("Hi")]))) == 1
    with pytest.raises(ConvertError, match="That folder is not a model"):
        list(Convert(model=str(tmp_path), count_tokens="always").invoke([answered("Hi")]))


def test_a_tokenizer_that_can_not_be_read_is_one_sentence(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ConvertError, match="its tokenizer can't be read"):
        list(Convert(model=str(folder)).invoke([answered("Hi")]))


def test_a_control_token_of_the_base_itself_is_rejected(tmp_path):
    from transformers import AutoTokenizer

    folder = make_tiny_model(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[INST]"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    found = counter_of(Target("local", str(folder)), "offline").count(
        [chat(("user", "Say [INST]"), ("assistant", "A")), chat(("user", "a"), ("assistant", "A"))]
    )
    assert isinstance(found[0], Unfit)
    assert found[0].code == "special_token"
    assert not isinstance(found[1], Unfit)
