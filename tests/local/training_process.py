"""Starts the training process by itself, without an engine."""

import hashlib
import json

from langchain_finetune.local.training.__main__ import _load
from langchain_finetune.local.training.spec import Spec
from support.warm_process import WarmProcess
from tests.local.tiny_model import example, write_lines

TRAIN = "langchain_finetune.local.training"


def start(*given, **named):
    return WarmProcess(TRAIN, write_spec(*given, **named))


def write_spec(
    folder,
    base,
    examples,
    validation=None,
    *,
    method="supervised",
    processes=None,
    machines=None,
    **hyperparameters,
):
    folder.mkdir(exist_ok=True)
    spec = {
        "base": str(base),
        "name": "tiny",
        "train": str(write_lines(folder / "train.jsonl", examples)),
        "validation": str(write_lines(folder / "valid.jsonl", validation)) if validation else None,
        "method": method,
        "processes": processes,
        "machines": machines,
        "output": str(folder / "models"),
        "work": str(folder / "work"),
        "hyperparameters": hyperparameters,
        "seed": 3,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder / "spec.json"


def load_to_train(base):
    """Model and tokenizer, as the training process loads them."""
    nowhere = base / "unused"
    return _load(Spec(base=str(base), name="tiny", train=nowhere, output=nowhere, work=nowhere))


def preference(n):
    """The longer answer is better."""
    given = example(n, n + 1)
    return {
        "input": {"messages": given["messages"][:1], "tools": given["tools"]},
        "preferred_output": given["messages"][1:],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }


def weights(folder):
    """The hash of each weights file that a training has left."""
    files = sorted((folder / "models").rglob("*.safetensors"))
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def finish(process):
    """Events, exit status and log of a process that is left alone."""
    with process:
        events = [json.loads(line) for line in process.stdout]
        log = process.stderr.read()
        return events, process.wait(), log
