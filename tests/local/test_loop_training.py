"""The training loop against a server of Tinker's REST that trains, driven by the real SDK."""

import json

import pytest

from langchain_finetune.local.base_models import find_base
from support.nano_loop import ALPHA, NanoTrainer
from support.servers import served
from support.warm_process import WarmProcess
from tests.local.test_loop_faults import KEYS, SERVERS
from tests.local.tiny_model import example, write_lines
from tests.local.training_process import TRAIN, finish, preference

EXAMPLES = [example(n, 3 * n + 1) for n in range(12)]


def begin(folder, server, examples, *, validation=None, method="supervised", **given):
    """Start the training process of a job at a host, or here."""
    folder.mkdir(exist_ok=True)
    key = folder / "key"
    key.write_text(KEYS[server.name] if server else "")
    spec = {
        "base": str(find_base("nano")),
        "name": "nano",
        "train": str(write_lines(folder / "train.jsonl", examples)),
        "validation": str(write_lines(folder / "valid.jsonl", validation)) if validation else None,
        "method": method,
        "output": str(folder / "models"),
        "work": str(folder / "work"),
        "hyperparameters": given,
        "seed": 3,
        "host": server and {"name": server.name, "base_url": server.address},
        "host_key": str(key),
        "job": folder.name,
    }
    (folder / "work").mkdir(exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    return WarmProcess(TRAIN, folder / "spec.json")


def metrics_of(events):
    return [each for each in events if each["event"] == "metrics"]


@pytest.fixture(params=SERVERS)
def server(request):
    server = SERVERS[request.param](NanoTrainer())
    server.name = request.param
    with served(server.app) as url:
        server.address = url
        yield server


def test_the_loss_curve_is_that_of_training_here(server, tmp_path):
    given = {"n_epochs": 3, "batch_size": 5, "lora_rank": 8}
    validation = [example(n, n + 1) for n in range(4)]
    events, status, log = finish(
        begin(tmp_path / "there", server, EXAMPLES, validation=validation, **given)
    )
    assert status == 0, log
    here = begin(
        tmp_path / "here", None, EXAMPLES, validation=validation, lora_alpha=ALPHA, **given
    )
    locally, status, log = finish(here)
    assert status == 0, log
    ours, theirs = metrics_of(events), metrics_of(locally)
    assert [each["step"] for each in ours] == [each["step"] for each in theirs]
    for name in ("train_loss", "valid_loss"):
        curve = [each.get(name) for each in ours]
        assert curve == pytest.approx([each.get(name) for each in theirs], abs=1e-3), name
    assert ours[-1]["train_loss"] < ours[0]["train_loss"] - 0.1
    assert events[-1]["step"] == locally[-1]["step"]
    assert server.running == []
    assert {each["status"] for each in server.sessions.values()} <= {"success", "deleted"}


def test_dpo_learns_which_answer_is_better(server, tmp_path):
    pairs = [preference(n) for n in range(6)]
    given = {"n_epochs": 2, "batch_size": 6, "lora_rank": 8, "learning_rate_multiplier": 10}
    events, status, log = finish(
        begin(tmp_path / "dpo", server, pairs, validation=pairs, method="dpo", **given)
    )
    assert status == 0, log
    first, last = metrics_of(events)
    # At the beginning the base itself: log 2, and the preferred answers' own loss.
    assert first["train_loss"] > 0.69
    assert first["train_reward_margin"] == pytest.approx(0, abs=1e-5)
    assert last["valid_loss"] < first["train_loss"]
    assert last["valid_reward_margin"] > 0
    assert last["valid_reward_accuracy"] == 1
    assert server.running == []
