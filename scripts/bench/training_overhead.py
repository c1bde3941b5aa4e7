"""What the engine adds to a training: a job against a bare TRL script on the same data.

Both train `nano` on a hundred calculator chats, as often and in batches of the same size; the
script is another process, its start included, and it neither validates nor keeps checkpoints. They
take turns, in another order each round, so that a busy machine hits both. Beside the time from
creation to success there is the time that processors worked for it: the engine's and the trainer's
(its children count once they have ended), against the script's. That one is the same on a busy
machine, more or less.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/training_overhead.py [ROUNDS]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from openai import OpenAI

from bench.preferences import chat
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE, RunningEngine
from langchain_finetune.local.base_models import resolve_base
from walkthrough.questions import asked

EPOCHS, BATCH, RATE = 6, 8, 5e-4

BARE = f"""
import json, sys
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

base, data, output = sys.argv[1:]
rows = []
for line in open(data):
    example = json.loads(line)
    for message in example["messages"]:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    *prompt, answer = example["messages"]
    rows.append({{"prompt": prompt, "completion": [answer], "tools": example["tools"]}})
settings = SFTConfig(
    output_dir=output, num_train_epochs={EPOCHS}, per_device_train_batch_size={BATCH},
    learning_rate={RATE}, lr_scheduler_type="cosine", warmup_steps=5, logging_steps=3,
    save_strategy="no", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
    activation_checkpointing=False, max_length=None,
)
dataset = Dataset.from_list(rows, on_mixed_types="use_json")
trainer = SFTTrainer(model=base, args=settings, train_dataset=dataset)
trainer.train()
trainer.save_model(output)
"""


def main() -> None:
    """Measure in turns and print both medians and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        engine = ensure_engine(Path(home))
        client = OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value())
        data = Path(home) / "chats.jsonl"
        data.write_text("\n".join(json.dumps(chat(each, right=True)) for each in asked()))
        try:
            # The engine imports what answering needs in its first seconds.
            messages = [{"role": "user", "content": "Hello"}]
            client.chat.completions.create(model="nano", messages=messages, max_tokens=2)
            file = client.files.create(file=data, purpose="fine-tune").id
            running = RunningEngine.read(Path(home))
            assert running
            here, engine_process = psutil.Process(), psutil.Process(running.pid)
            spent: dict[str, list[Spent]] = {"bare script": [], "job": []}
            for number in range(rounds):
                turns = [
                    ("bare script", here, lambda: _bare(data, Path(home))),
                    ("job", engine_process, lambda: _job(client, file)),
                ]
                for name, process, work in turns if number % 2 else turns[::-1]:
                    spent[name].append(_measured(process, work))
                    print(f"{number + 1} {name}: {spent[name][-1]}", flush=True)
        finally:
            stop_engine(Path(home))
    for kind in ("wall", "processors"):
        pairs = [[getattr(each, kind) for each in times] for times in spent.values()]
        ratios = sorted(job / bare for bare, job in zip(*pairs, strict=True))
        medians = ", ".join(
            f"{name} {statistics.median(times):.1f} s"
            for name, times in zip(spent, pairs, strict=True)
        )
        print(
            f"{kind}: {medians}; median ratio {statistics.median(ratios):.2f} of {rounds} rounds"
            f" (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


@dataclass(frozen=True)
class Spent:
    """Seconds that something took, by the clock and by the processors, and the load then."""

    wall: float
    processors: float
    load: float

    def __str__(self) -> str:
        """Say it for a line of the log."""
        return f"{self.wall:.1f} s, processors {self.processors:.1f} s (load {self.load:.1f})"


def _measured(process: psutil.Process, work: Callable[[], None]) -> Spent:
    """Do something that happens in a process and in children of it that end meanwhile."""
    before, began = sum(process.cpu_times()[:4]), time.monotonic()
    work()
    wall = time.monotonic() - began
    return Spent(wall, sum(process.cpu_times()[:4]) - before, os.getloadavg()[0])


def _bare(data: Path, home: Path) -> None:
    command = [sys.executable, "-c", BARE, str(resolve_base("nano")), str(data), str(home / "out")]
    # As the engine's own process: threads that wait must not spin.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _job(client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(
        model="nano",
        training_file=file,
        hyperparameters={"n_epochs": EPOCHS, "batch_size": BATCH},
    )
    while job.status not in {"succeeded", "failed"}:
        time.sleep(0.2)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error


if __name__ == "__main__":
    main()
