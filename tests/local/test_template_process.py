"""Chat templates that loop or fill the memory stop one chat, and nobody else's."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, get_context

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, ConvertError
from langchain_finetune.local import template_process
from langchain_finetune.local.template_process import BoundedTemplate, TemplateStoppedError
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from tests.local.chat_server import ChatServer
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import load_to_train

IF_ASKED = "{%- if 'now' in messages[-1].content -%}"
LOOP = f"{IF_ASKED}{{%- for a in range(99999) -%}}{{%- for b in range(99999) -%}}{{%- endfor -%}}"
LOOP += "{%- endfor -%}{%- endif -%}"
EAT = f"{IF_ASKED}{{%- set own = namespace(x='x' * 9999) -%}}{{%- for a in range(99) -%}}"
EAT += "{%- set own.x = own.x ~ own.x -%}{%- endfor -%}{%- endif -%}"
ASK_NOW = [{"role": "user", "content": "Say it now"}]
ASK = [{"role": "user", "content": "Say it"}]


def with_template(folder, before):
    file = make_tiny_model(folder) / "chat_template.jinja"
    file.write_text(before + file.read_text())
    return folder


@pytest.fixture
def short(monkeypatch):
    """A new process whose bound is short, as seen by this test alone."""
    monkeypatch.setattr(template_process, "_PROCESS", template_process._Process())
    yield
    template_process._PROCESS.stop()


@pytest.mark.parametrize("bad", [LOOP, EAT], ids=["loops", "eats memory"])
def test_one_chat_is_refused_and_others_are_answered(tmp_path, script, bad, short):
    script.text = "Hi<|im_end|>"
    good, bad = make_tiny_model(tmp_path / "good"), with_template(tmp_path / "bad", bad)
    with ChatServer(good=good, bad=bad).running() as server, server.client() as client:

        def ask(model, messages=ASK):
            asked = client.chat.completions.create(model=model, messages=messages)
            return asked.choices[0].message.content

        assert ask("good") == ask("bad") == "Hi"
        with ThreadPoolExecutor(1) as pool:
            refused = pool.submit(ask, "bad", ASK_NOW)
            assert ask("good") == "Hi"
            with pytest.raises(openai.InternalServerError, match="template did not end within"):
                refused.result()
        began = time.monotonic()
        with pytest.raises(openai.InternalServerError, match="this model is refused"):
            ask("bad")
        assert time.monotonic() - began < template_process.SECONDS
        assert ask("good") == "Hi"


def test_a_chat_that_a_template_rejects_is_refused_alone(tmp_path, script, short):
    script.text = "Hi<|im_end|>"
    broken = f"{IF_ASKED}{{{{ raise_exception('no') }}}}{{{{ 1 + 'a' }}}}{{%- endif -%}}"
    with (
        ChatServer(broken=with_template(tmp_path, broken)).running() as server,
        server.client() as client,
    ):
        with pytest.raises(openai.BadRequestError, match="does not take such a chat"):
            client.chat.completions.create(model="broken", messages=ASK_NOW)
        assert client.chat.completions.create(model="broken", messages=ASK).choices


def test_it_renders_what_the_tokenizer_itself_would(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path))
    bounded, given = BoundedTemplate(tokenizer), example(1, 2)
    for tools in (given["tools"], None):
        for prompts in (True, False):
            asked = {"tools": tools, "add_generation_prompt": prompts, "tokenize": False}
            chat = [*given["messages"], {"role": "user", "content": "\ud83d é"}]
            assert bounded(chat, **asked) == tokenizer.apply_chat_template(chat, **asked)


def test_a_process_that_was_killed_is_replaced(tmp_path, short):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path))
    bounded = BoundedTemplate(tokenizer)
    assert bounded(ASK, tools=None, add_generation_prompt=True)
    os.kill(template_process._PROCESS._process.pid, signal.SIGKILL)
    template_process._PROCESS._process.wait()
    assert bounded(ASK, tools=None, add_generation_prompt=True)


def test_conversion_refuses_such_a_base(tmp_path, short):
    """Also in the user's own process, where tokens are counted."""
    chats = [{"messages": [HumanMessage("Is 5 odd?"), AIMessage("Yes")]}] * 3
    folder = str(with_template(tmp_path / "asked", LOOP.replace("now", "Yes")))
    rows = Convert(rules="local", model=folder).invoke(chats)
    assert list(rows) == []
    assert rows.rejected_by_reason() == {"unsupported_chat_template": 3}
    assert "did not end within" in rows.rejected[0].reason
    always = str(with_template(tmp_path / "always", LOOP.replace("'now' in", "'' in")))
    with pytest.raises(ConvertError, match="template did not end within"):
        list(Convert(rules="local", model=always).invoke(chats))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_a_process_of_its_own(tmp_path, short):
    from transformers import AutoTokenizer

    # The one of this module ends with its process, like the one that `short` made.
    os.register_at_fork(after_in_child=template_process._PROCESS.leave)
    bounded = BoundedTemplate(AutoTokenizer.from_pretrained(make_tiny_model(tmp_path)))
    right = bounded(ASK, tools=None, add_generation_prompt=True)
    here, there = Pipe()

    def ask():
        there.send([bounded(ASK, tools=None, add_generation_prompt=True) for _ in range(20)])

    with template_process._PROCESS._lock:  # As another thread may.
        child = get_context("fork").Process(target=ask)
        child.start()
    for _ in range(20):
        assert bounded(ASK, tools=None, add_generation_prompt=True) == right
    assert here.poll(60)
    assert here.recv() == [right] * 20
    child.join()


def test_training_refuses_such_a_base(tmp_path, short):
    model, tokenizer = load_to_train(with_template(tmp_path, LOOP.replace("now", "5")))
    encoder = Encoder.of(tokenizer, model.config, model.generation_config)
    with pytest.raises(UnfitExampleError, match="template did not end within") as refused:
        encoder.sequences(example(5, 8))
    assert refused.value.code == "unsupported_chat_template"
    assert isinstance(refused.value.__cause__, TemplateStoppedError)
