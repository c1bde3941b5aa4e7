"""What `FineTune` accepts: wrong settings are refused before anything is read or sent."""

import pytest
from pydantic import ValidationError

from langchain_finetune import ConvertError, FineTune


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": ""},
        {"model": "nano", "n_epoch": 3},
        {"model": "nano", "hyperparameters": {"n_epoch": 3}},
        {"model": "nano", "hyperparameters": {"n_epochs": 0}},
        {"model": "nano", "hyperparameters": {"n_epochs": 51}},
        {"model": "nano", "hyperparameters": {"batch_size": 257}},
        {"model": "nano", "hyperparameters": {"learning_rate_multiplier": 0}},
        {"model": "nano", "suffix": "x" * 65},
        {"model": "nano", "validation_share": 1.0},
        {"model": "nano", "timeout_s": 0},
        {"model": "nano", "engine": "other"},
        {"model": "nano", "engine": "local", "base_url": "http://127.0.0.1:1"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        FineTune(**settings)


def test_a_key_is_not_shown():
    assert "sk-secret" not in repr(FineTune(model="m", api_key="sk-secret"))


@pytest.mark.parametrize("given", [None, [], {"messages": []}, "train.jsonl"])
def test_only_examples_are_trained_on(given):
    with pytest.raises(ConvertError, match="takes what Convert returns"):
        FineTune(model="m").invoke(given)
