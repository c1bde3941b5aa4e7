"""The training process: its reports, its model, its end."""

import errno
import json
import time

import pytest
from safetensors import SafetensorError

from langchain_finetune.local.training.events import OUT_OF_MEMORY, Reporter, TrainingFailure
from langchain_finetune.local.training.plan import full_rate, lora_rate, make_plan
from langchain_finetune.methods import Hyperparameters
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import finish, start, weights

LONG = {
    "messages": [
        {"role": "user", "content": "secret" * 500},
        {"role": "assistant", "content": "A"},
    ]
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, base):
    folder = tmp_path_factory.mktemp("trained")
    examples = [example(n, n + 1) for n in range(12)]
    process = start(folder, base, examples, validation=examples[:4], n_epochs=4, batch_size=5)
    return folder, *finish(process)


def test_reports(trained):
    _, events, status, _ = trained
    assert status == 0
    settings, *metrics, done = events
    assert settings == {
        "event": "settings",
        "hyperparameters": {
            "n_epochs": 4,
            "batch_size": 5,
            "learning_rate_multiplier": 1.0,
            "lora_rank": 0,
            "packing": False,
        },
        "trained_tokens": settings["trained_tokens"],
        "total_steps": 12,
        "examples": 12,
        "method": "full",
        "resumed_from": None,
    }
    assert settings["trained_tokens"] > 4 * 12 * 500
    assert (done["event"], done["trained_tokens"]) == ("done", settings["trained_tokens"])
    assert [each["step"] for each in done["checkpoints"]] == [6, 9, 12]
    assert done["step"] == min(done["checkpoints"], key=lambda each: each["valid_loss"])["step"]
    assert {each["event"] for each in metrics} == {"metrics"}
    assert [each["step"] for each in metrics] == list(range(1, 13))
    assert {each["total_steps"] for each in metrics} == {12}
    assert metrics[-1]["epoch"] == 4
    losses = [each["train_loss"] for each in metrics]
    assert losses[-1] < losses[0]
    assert all(0 <= each["train_mean_token_accuracy"] <= 1 for each in metrics)
    validated = [each["step"] for each in metrics if "valid_loss" in each]
    assert validated == [3, 6, 9, 12]
    assert metrics[-1]["valid_mean_token_accuracy"] is not None


def test_the_model_is_whole_and_at_its_place(trained, base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = trained[0]
    assert not list(folder.glob(".*")), "nothing half-made is left"
    files = {path.name for path in (folder / "models" / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= files
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in files)
    assert (
        json.loads((folder / "models" / "model" / "config.json").read_text())["use_cache"] is True
    )
    assert str(base) not in "".join(
        p.read_text() for p in (folder / "models" / "model").glob("*.json")
    )
    AutoModelForCausalLM.from_pretrained(folder / "models" / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "models" / "model")
    assert tokenizer.response_template
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template


def test_training_text_is_in_no_log(trained):
    assert "plus" not in trained[3]
    assert "calculator" not in trained[3]


def test_the_seed_decides(trained, tmp_path, base):
    examples = [example(n, n + 1) for n in range(12)]
    process = start(tmp_path, base, examples, validation=examples[:4], n_epochs=4, batch_size=5)
    again, _, _ = finish(process)
    assert again[1]["train_loss"] == trained[1][1]["train_loss"]
    assert again[-2]["valid_loss"] == trained[1][-2]["valid_loss"]
    assert weights(tmp_path) == weights(trained[0])


@pytest.mark.parametrize("after", ["settings", "nothing"])
def test_it_stops_when_its_input_closes(tmp_path, base, after):
    # It would take minutes.
    process = start(tmp_path, base, [example(1, 2)] * 100, n_epochs=50)
    with process:
        if after == "settings":
            assert json.loads(process.stdout.readline())["event"] == "settings"
        else:
            time.sleep(1)
        process.stdin.close()
        assert process.wait(60) != 0
    assert not (tmp_path / "models").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("examples", "validation", "expected"),
    [
        ([example(1, 2), {"messages": []}], None, ("invalid_training_file", "Line 2: ")),
        ([], None, ("invalid_training_file", "no examples")),
        ([example(1, 2)], [{"secret": 1}], ("invalid_validation_file", "Line 1: ")),
        ([example(1, 2)], [LONG], ("example_too_long", "Validation file: Line 1: ")),
    ],
)
def test_files_that_break_the_rules(tmp_path, base, examples, validation, expected):
    events, status, log = finish(start(tmp_path, base, examples, validation=validation))
    assert status == 1
    (event,) = events
    code, message = expected
    assert event["code"] == code
    assert message in event["message"]
    assert "secret" not in event["message"] + log


def test_a_base_that_is_no_model(tmp_path):
    events, status, log = finish(start(tmp_path, tmp_path, [example(1, 2)]))
    assert status == 1
    assert events[0]["code"] == "base_model_unavailable"
    assert not (tmp_path / "models").exists()
    assert "plus" not in log


class Lines:
    def __init__(self):
        self.events = []

    def write(self, line):
        self.events.append(json.loads(line))

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TrainingFailure("example_too_long", "Line 3."), "example_too_long"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "insufficient_disk_space"),
        # What the two say where weights, and an optimizer's state, fill a disk.
        (SafetensorError("I/O error: No space left on device (os 28)"), "insufficient_disk_space"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
            "insufficient_disk_space",
        ),
        (RuntimeError("shapes differ"), "internal_error"),
        (ValueError("no space left for training text"), "internal_error"),
        (ValueError("training text"), "internal_error"),
    ],
)
def test_an_error_is_reported_and_quotes_nothing(error, code, capsys):
    lines = Lines()
    with (reporter := Reporter(lines)):
        raise error
    assert reporter.status == {"out_of_memory": OUT_OF_MEMORY}.get(code, 1)
    assert lines.events[0]["code"] == code
    assert "training text" not in lines.events[0]["message"] + capsys.readouterr().err


def test_ctrl_c_is_no_failure():
    with pytest.raises(KeyboardInterrupt), Reporter(Lines()):
        raise KeyboardInterrupt


def test_plans():
    tiny = make_plan(Hyperparameters(), examples=200, parameters=2_000_000)
    assert not tiny.lora
    assert tiny.hyperparameters.n_epochs == 3
    few = make_plan(Hyperparameters(), examples=10, parameters=2_000_000)
    assert few.hyperparameters.n_epochs == 14
    assert (tiny.device_batch_size, tiny.accumulation) == (8, 1)
    assert tiny.learning_rate == pytest.approx(5e-4)
    big = make_plan(
        Hyperparameters(batch_size=6, learning_rate_multiplier=0.5),
        examples=100,
        parameters=600_000_000,
    )
    assert (big.hyperparameters.lora_rank, big.hyperparameters.lora_alpha) == (16, 32)
    assert (
        make_plan(Hyperparameters(), examples=9, parameters=7 * 10**9).hyperparameters.lora_rank
        == 32
    )
    assert (
        make_plan(Hyperparameters(lora_rank=0), examples=9, parameters=10**9).learning_rate < 1e-4
    )
    preferences = make_plan(Hyperparameters(), examples=100, parameters=2_000_000, method="dpo")
    assert preferences.learning_rate < tiny.learning_rate / 2
    assert big.hyperparameters.n_epochs == 5
    assert make_plan(Hyperparameters(), examples=152, parameters=10**9).n_epochs == 3
    assert (big.device_batch_size, big.accumulation) == (2, 3)
    assert big.learning_rate == pytest.approx(0.5 * lora_rate(600_000_000))
    assert lora_rate(10**6) == lora_rate(135_000_000) == 1e-3
    assert lora_rate(8 * 10**9) < lora_rate(2 * 10**9) < lora_rate(600_000_000) < 1e-3
    assert (
        make_plan(Hyperparameters(n_epochs=1), examples=3, parameters=9).hyperparameters.batch_size
        == 3
    )
    assert full_rate(50_000_000) < full_rate(5_000_000) < 5e-4


def test_serving_shows_a_format_as_training_did(tmp_path, base):
    from langchain_finetune.local.serving.chat.protocol import ChatRequest
    from langchain_finetune.local.serving.generation import render_chat
    from langchain_finetune.local.serving.loading import load
    from langchain_finetune.local.training.encoding import Encoder

    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "Sum", "schema": schema, "strict": True}}
    asked = [{"role": "user", "content": "5 and 8?"}]
    line = {
        "messages": [*asked, {"role": "assistant", "content": '{"sum": 13}'}],
        "response_format": form,
    }
    assert finish(start(tmp_path, base, [line] * 12, n_epochs=1, batch_size=12))[1] == 0
    tuned, untrained = load(tmp_path / "models" / "model"), load(base)
    body = {"model": "m", "messages": asked}
    with_form = ChatRequest.read({**body, "response_format": form})
    [[(shown, _), _]] = Encoder(tuned.tokenizer, frozenset(tuned.ends), None).layout(line)
    assert json.dumps(schema, sort_keys=True) in shown
    assert render_chat(tuned, with_form, None).text == shown
    # Without a format, and where training showed none, the prompt is that of the messages alone.
    plain = render_chat(tuned, ChatRequest.read(body), None).text
    assert plain == render_chat(untrained, with_form, None).text
    assert "Response format" not in plain
