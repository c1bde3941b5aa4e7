"""The table of training methods: every room has what each method needs, and one set of limits."""

import json
from pkgutil import resolve_name
from typing import get_args

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import ValidationError

from langchain_finetune import Convert, FineTune
from langchain_finetune.checks import CHECKS, LOCAL
from langchain_finetune.engines import engine_of
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.jobs.create import LIMITS, CreateJob
from langchain_finetune.local.jobs.schemas import JobRecord
from langchain_finetune.local.page.job_form import HYPERPARAMETERS
from langchain_finetune.local.page.training_data import LINES
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import (
    METHODS,
    Hyperparameters,
    LineKind,
    Method,
    foreign,
    method_of,
)

FIELDS = set(Hyperparameters.model_fields)


def test_each_kind_of_line_has_a_check_and_a_method():
    assert set(CHECKS) == set(get_args(LineKind))
    for kind, check in CHECKS.items():
        assert [finding.code for finding in check("no object", LOCAL)] == ["not_an_object"]
        assert kind in method_of(kind).lines


@pytest.mark.parametrize("name", get_args(Method))
def test_each_method_has_what_it_needs(name):
    method = METHODS[name]
    assert method.name == name
    assert all([method.lines, method.label, method.words, method.loss_unit])
    assert method.own <= FIELDS
    assert method.own <= set(HYPERPARAMETERS), "the page's form has a field for each"
    word, line_of = LINES[method.lines[0]]
    assert word
    assert line_of(None, None) is None
    training = TRAINING[name]
    assert callable(training.encode)
    assert callable(resolve_name(training.trainer))
    assert training.own.keys() == method.own
    plan = make_plan(Hyperparameters(), examples=20, parameters=10**6, method=name)
    decided = plan.hyperparameters.model_dump(exclude={"lora_targets"})
    assert method.own <= decided.keys()
    assert "auto" not in decided.values()


def test_no_table_has_a_method_that_is_not_one():
    methods = set(get_args(Method))
    assert METHODS.keys() == TRAINING.keys() == methods
    trained_here = {method.lines[0] for method in METHODS.values()}
    assert LINES.keys() == set(engine_of("local").lines) == trained_here


@pytest.mark.parametrize("kind", get_args(LineKind))
def test_convert_makes_each_kind_and_fine_tune_trains_on_it(kind, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    chats = [
        {
            "messages": [HumanMessage(f"Is {n} even?"), AIMessage("Yes.")],
            "rejected": {"role": "assistant", "content": "No."},
            "source": {"kind": kind},
        }
        for n in range(12)
    ]
    examples = Convert(method=kind).invoke(chats)
    # Without a pair, each of two answers is a line.
    lines = 2 if kind == "unpaired_preference" else 1
    assert len(list(examples)) == lines * len(chats)
    assert not examples.rejected
    spec = FineTune(model="gpt-4.1", base_url="http://127.0.0.1:9/v1").spec_of(examples)
    assert spec.method == method_of(kind).name
    line = json.loads(spec.training.path.read_text().splitlines()[0])
    assert CHECKS[kind](line) == []


def test_each_hyperparameter_is_documented():
    for name, field in Hyperparameters.model_fields.items():
        assert field.title, name
        assert field.default == "auto", name
        assert "Default" in field.description, name
    assert set(HYPERPARAMETERS) <= FIELDS
    owned = [name for method in METHODS.values() for name in method.own]
    assert foreign("supervised", FIELDS) == [name for name in FIELDS if name in owned]


def test_null_is_auto_and_only_what_was_given_is_shown():
    given = Hyperparameters(n_epochs=None, beta=None, lora_targets=["q_proj"])
    assert given == Hyperparameters(lora_targets=("q_proj",))
    assert given.model_dump(exclude_defaults=True) == {"lora_targets": ("q_proj",)}
    auto = dict.fromkeys(("n_epochs", "batch_size", "learning_rate_multiplier"), "auto")
    assert json.loads(given.model_dump_json()) == {**auto, "lora_targets": ["q_proj"]}
    again = Hyperparameters.model_validate_json(given.model_dump_json())
    assert again == given


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_epochs": 0},
        {"n_epochs": 51},
        {"batch_size": 257},
        {"learning_rate_multiplier": float("inf")},
        {"beta": 2.5},
        {"lora_rank": -1},
        {"lora_targets": []},
        {"early_stopping_patience": 0},
        {"n_epoch": 3},
    ],
)
def test_limits(wrong):
    with pytest.raises(InvalidArgumentError):
        Hyperparameters(**wrong)


def asked(**settings):
    return CreateJob(model="nano", training_file="file-1", **settings).method_settings()


def test_the_engine_has_limits_of_its_own():
    for name, most in LIMITS.items():
        validation = {"validation_file": "file-2"}
        assert asked(hyperparameters={name: most}, **validation)[1] == Hyperparameters(
            **{name: most}
        )
        with pytest.raises(ApiError, match=f"{name} must be at most {most}") as caught:
            asked(hyperparameters={name: most + 1}, **validation)
        assert (caught.value.status, caught.value.param) == (400, name)
    for targets in ("q_proj", ["q_proj"] * 33, ["q" * 65]):
        with pytest.raises(ApiError) as caught:
            asked(hyperparameters={"lora_targets": targets})
        assert caught.value.param == "lora_targets"


@pytest.mark.parametrize("name", get_args(Method))
def test_a_request_has_its_settings_under_the_methods_name(name):
    part = {"hyperparameters": {"n_epochs": 2, **dict.fromkeys(METHODS[name].own, 0.5)}}
    method, hyperparameters = asked(method={"type": name, name: part})
    assert method == name
    assert hyperparameters == Hyperparameters(**part["hyperparameters"])
    fallback = asked(method={"type": name}, hyperparameters={"n_epochs": 4})
    assert fallback == (name, Hyperparameters(n_epochs=4))
    with pytest.raises(ValidationError):
        asked(method={"type": name, name: {"hyperparameter": {}}})
    if least := METHODS[name].least_batch - 1:
        with pytest.raises(ApiError, match=f"at least {least + 1} for the method {name}"):
            asked(method={"type": name, name: {"hyperparameters": {"batch_size": least}}})
    others = {other for method in METHODS.values() for other in method.own} - METHODS[name].own
    for other in others:
        with pytest.raises(ApiError) as caught:
            asked(method={"type": name, name: {"hyperparameters": {other: 0.5}}})
        assert caught.value.param == f"method.{name}.hyperparameters.{other}"


AUTO = '"batch_size":"auto","learning_rate_multiplier":"auto","beta":0.3,"lora_rank":"auto"'
ASKED = f'{{"n_epochs":2,{AUTO},"lora_targets":["q_proj"],"early_stopping_patience":2}}'
CHOSEN = (
    '{"n_epochs":2,"batch_size":4,"learning_rate_multiplier":1.0,"beta":0.3,"lora_rank":16,'
    '"lora_alpha":32.0,"lora_targets":"all-linear","early_stopping_patience":2,"packing":false}'
)
# As version 0.1 of November 2026 stored it.
STORED = (
    '{"id":"ftjob-1","created_at":1,"object":"fine_tuning.job","model":"nano",'
    '"status":"succeeded","training_file":"file-1","validation_file":"file-2",'
    f'"hyperparameters":{CHOSEN},"requested":{ASKED},"validated":true,"starts":1,"reached":0,'
    f'"method":{{"type":"dpo","dpo":{{"hyperparameters":{CHOSEN}}}}},"seed":3,'
    '"user_provided_suffix":null,"metadata":{"a":"b"},"fine_tuned_model":null,'
    '"trained_tokens":null,"estimated_finish":null,"finished_at":null,"error":null,'
    '"result_files":[],"integrations":[],"organization_id":"local"}'
)


def test_a_job_that_was_stored_before_the_table_is_read_and_written_as_it_was():
    job = JobRecord.model_validate_json(STORED)
    assert job.model_dump_json(exclude={"started_at", "examples", "validation_examples"}) == STORED
    assert (job.method_type, job.method_label) == ("dpo", "DPO")
    assert job.requested.lora_targets == ("q_proj",)
