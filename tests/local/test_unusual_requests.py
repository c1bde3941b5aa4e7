"""Requests, chats and records that few send: refused in a sentence, or shown as they are."""

import json
import logging
import sys
from types import SimpleNamespace

import jinja2
import pytest
from pydantic import ValidationError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.chat_template import (
    RenderingError,
    TemplateInput,
    render,
    to_template_input,
    with_format,
)
from langchain_finetune.local.jobs.create import CreateJob
from langchain_finetune.local.model_export.card import Exported, readme
from langchain_finetune.local.page.job_views import loss, waits_for
from langchain_finetune.local.page.playground import Column, append_answer
from langchain_finetune.local.page.template_filters import format_time
from langchain_finetune.local.page.training_data import split
from langchain_finetune.local.safe_logging import MessagelessFormatter
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop.base import HostedBase
from langchain_finetune.local.training.plan import LARGE_MODEL
from langchain_finetune.local.training.spec import read_examples
from tests.local.tiny_model import make_tiny_model

HOST = {"name": "tinker", "base_url": "https://host.example"}


def job(**settings):
    return CreateJob.model_validate({"model": "nano", "training_file": "file-1", **settings})


@pytest.mark.parametrize(
    ("settings", "told", "param"),
    [
        (
            {"method": {"type": "kto"}},
            "The method kto trains here only, not at a host",
            "method.type",
        ),
        ({"hyperparameters": {"lora_rank": 0}}, "lora_rank must be at least 1", "lora_rank"),
        ({"hyperparameters": {"packing": True}}, "packing is the choice of the host", "packing"),
    ],
)
def test_what_a_host_does_not_do(settings, told, param):
    with pytest.raises(ApiError, match=told) as refused:
        job(host=HOST, **settings).method_settings()
    assert refused.value.param == param


def test_a_method_is_an_object():
    with pytest.raises(ValidationError):
        job(method="kto")


@pytest.mark.parametrize(("share", "told"), [(0.01, "validate with"), (0.99, "train on")])
def test_a_share_that_leaves_nothing(share, told):
    with pytest.raises(ApiError, match=f"leaves nothing to {told}: choose another share"):
        split([(str(n), b"{}") for n in range(5)], share)


# Chats.

FORM = {"json_schema": {"name": "Sum", "schema": {"type": "object"}}}


def test_a_format_is_shown_below_the_instructions():
    given = TemplateInput([{"role": "system", "content": "Be brief."}], [])
    [told] = with_format(given, FORM).messages
    assert told["content"] == 'Be brief.\n\n# Response format\n\nSum: {"type": "object"}'


def test_content_that_is_neither_text_nor_parts():
    with pytest.raises(RenderingError, match="must be text or a list of text parts") as refused:
        to_template_input({"messages": [{"role": "user", "content": 5}]})
    assert refused.value.index == 0


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(make_tiny_model(tmp_path_factory.mktemp("tiny")))


def test_a_template_that_trips_over_a_chat_rejects_it(tokenizer):
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ messages[0]['content'] + 5 }}"
    try:
        given = TemplateInput([{"role": "user", "content": "Hi"}], [])
        with pytest.raises(jinja2.TemplateError, match="TypeError"):
            render(tokenizer, given, add_generation_prompt=False)
    finally:
        tokenizer.chat_template = before


def test_a_base_without_a_template_can_not_learn_chats(tokenizer):
    bare = SimpleNamespace(chat_template=None)
    with pytest.raises(UnfitExampleError, match="no chat template: take one") as refused:
        Encoder.of(bare, None, None)
    assert refused.value.code == "unsupported_chat_template"


# Files and bases.


def test_lines_that_are_blank_are_passed_over_and_others_must_be_json(tmp_path):
    chat = {"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]}
    path = tmp_path / "lines.jsonl"
    path.write_text(f"\n{json.dumps(chat)}\n")
    assert read_examples(path, method="supervised", code="c") == [(2, chat)]
    path.write_text('{"SECRET": \n')
    with pytest.raises(TrainingFailure, match="Line 1 is not JSON") as told:
        read_examples(path, method="supervised", code="invalid_training_file")
    assert "SECRET" not in str(told.value)


def test_a_base_that_transformers_does_not_know_counts_as_large():
    from transformers import PretrainedConfig

    assert HostedBase(None, PretrainedConfig(), None).parameters() == LARGE_MODEL


def test_a_readme_says_how_a_model_is_served_and_asked_for_json():
    text = readme(Exported("ft:nano:local::1", "mlx", "acme/base", None, "", "MIT", True))
    assert "mlx_lm.server --model . --port 8080" in text
    assert "license: mit" in text
    assert "# Response format" in text
    plain = readme(Exported("ft:nano:local::1", "hf", "acme/base", None, "", None, False))
    assert "license:" not in plain
    assert "JSON schemas" not in plain


# The page.


def test_what_is_not_known_is_a_dash_or_nothing():
    assert format_time(None) == "-"
    assert loss(SimpleNamespace(fine_tuned_model="m"), []) == ""


@pytest.mark.parametrize(
    ("status", "disk", "told"),
    [
        ("queued", True, "waits for the engine's file, which is locked or fails"),
        ("succeeded", True, ""),
        ("running", False, ""),
        ("paused", False, "waits until it is resumed"),
    ],
)
def test_what_a_job_waits_for(status, disk, told):
    assert waits_for(SimpleNamespace(status=status, id="1"), [], disk=disk) == told


def test_an_answer_that_was_cut_off_says_so():
    column = Column("nano")
    message = {"role": "assistant", "content": "Once"}
    append_answer(column, {"choices": [{"message": message, "finish_reason": "length"}]})
    assert column.messages == [message]
    assert column.note == "The answer was cut off at the token limit."


def test_a_log_has_no_message_of_an_exception():
    text = "SECRET"
    try:
        int(text)
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "a.py", 1, "It broke", (), sys.exc_info())
    shown = MessagelessFormatter("%(message)s").format(record)
    assert shown.startswith("It broke\nValueError")
    assert "SECRET" not in shown
