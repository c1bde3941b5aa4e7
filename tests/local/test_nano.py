"""The small base `nano`: it loads, renders and parses, and its curriculum is clean."""

import json
import os
import sys
from pathlib import Path
from random import Random

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[2]
NANO = ROOT / "langchain_finetune" / "local" / "nano"
PRETRAIN = ROOT / "scripts" / "pretrain"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Say "the weather".\nIn ℃.',
        "parameters": {
            "properties": {"city": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": [],
            "type": "object",
        },
    },
}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "서울과 大阪の天気は？ ¿Y Perú? 🙂"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
            for city in ("서울", "大阪")
        ],
    },
    {"role": "tool", "content": "맑음"},
    {"role": "tool", "content": "雨"},
    {"role": "assistant", "content": "맑음, 雨."},
    {"role": "user", "content": "gracias"},
    {"role": "assistant", "content": "¡De nada!"},
]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(NANO)


@pytest.fixture(scope="module")
def curriculum():
    sys.path.insert(0, str(PRETRAIN))
    try:
        import curriculum
        import curriculum.chat
        import curriculum.guard

        yield curriculum
    finally:
        sys.path.remove(str(PRETRAIN))


def render(tokenizer, messages, *, opened=False):
    return tokenizer.apply_chat_template(
        messages, tools=[WEATHER], tokenize=False, add_generation_prompt=opened
    )


def test_the_weights_are_small_and_load():
    from transformers import AutoModelForCausalLM

    assert (NANO / "model.safetensors").stat().st_size <= 8_000_000
    model = AutoModelForCausalLM.from_pretrained(NANO, use_safetensors=True)
    assert 1_000_000 <= model.num_parameters() <= 2_500_000
    assert model.generation_config.eos_token_id == model.config.eos_token_id


def test_every_prefix_of_a_chat_is_a_prefix_of_its_text(tokenizer):
    whole = render(tokenizer, CHAT)
    for length in range(1, len(CHAT) + 1):
        assert whole.startswith(render(tokenizer, CHAT[:length]))
        if length < len(CHAT) and CHAT[length]["role"] == "assistant":
            assert whole.startswith(render(tokenizer, CHAT[:length], opened=True))


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in (render(tokenizer, CHAT), '{"name": 1}}]', "\x00\ud7ff𝕏  \t\n\n", '"enum": ["'):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text


def test_only_the_turn_marks_are_special(tokenizer):
    special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    assert special == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}


def test_a_call_comes_back_from_its_tokens(tokenizer):
    prompt = render(tokenizer, CHAT[:2], opened=True)
    answer = render(tokenizer, CHAT[:3])[len(prompt) :]
    ids = tokenizer.encode(answer, add_special_tokens=False)
    parsed = tokenizer.parse_response(tokenizer.decode(ids), prefix=prompt)
    assert parsed["tool_calls"] == CHAT[2]["tool_calls"]
    assert tokenizer.parse_response("hola<|im_end|>", prefix=prompt)["content"] == "hola"


def test_arguments_as_a_string_render_like_an_object(tokenizer):
    function = {"name": "get_weather", "arguments": json.dumps({"city": "Oslo"})}
    texts = [
        render(tokenizer, [*CHAT[:2], {"role": "assistant", "content": None, **call}])
        for call in (
            {"tool_calls": [{"type": "function", "function": function}]},
            {"function_call": function},
        )
    ]
    assert all('"arguments": {"city": "Oslo"}}' in text for text in texts)


def test_the_curriculum_renders_as_the_template_does(tokenizer, curriculum):
    rng = Random(1)
    for _ in range(300):
        chat = curriculum.sample(rng)
        rendered = tokenizer.apply_chat_template(
            chat.messages, tools=chat.tools or None, tokenize=False
        )
        assert rendered == curriculum.chat.text(chat)


def test_the_curriculum_has_nothing_of_the_walkthrough(curriculum):
    guard = curriculum.guard
    rng = Random(2)
    for _ in range(20_000):
        chat = curriculum.sample(rng)
        assert curriculum.violation(chat) is None
        for tool in chat.tools:
            properties = tool["function"]["parameters"]["properties"]
            assert tool["function"]["name"].lower() != "calculator"
            assert not {"num1", "num2", "operation"} & set(properties)
            assert not any(set("+-*/") <= set(p.get("enum", ())) for p in properties.values())
        assert not any("accounting" in m["content"] for m in chat.messages)
    assert guard.SYSTEM_PROMPT == "You are an accounting assistant."


@pytest.mark.parametrize(
    "question",
    ["What's 45/9?", "45를 9로 나누면?", "45 除以 9 等于多少？", "¿Cuánto es 38 más 24?"],
)
def test_the_guard_knows_the_questions_of_the_walkthrough(curriculum, question):
    chat = curriculum.Chat([{"role": "user", "content": question}])
    assert curriculum.violation(chat) is not None


def test_a_seed_fixes_the_curriculum(curriculum):
    first, second = ([curriculum.sample(rng) for _ in range(50)] for rng in (Random(3), Random(3)))
    assert first == second
