"""What the engine adds to a training: a job against a bare TRL script on the same data.

Both train a base on calculator chats, as often and in steps of the same size; the script is another
process, its start included, and it neither validates nor keeps checkpoints. They take turns, in
another order each round, so that a busy machine hits both. Beside the time from creation to success
there is the time that processors worked for it: the engine's and the trainer's against the
script's, looked at ten times a second. That one is the same on a busy machine, more or less.
Then there is the most memory that a process of theirs took, looked at now and then.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/training_overhead.py [--rounds 3] \
        [--base smollm2-135m --lora-rank 16 --epochs 1 --examples 16 --at-once 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from openai import OpenAI

from bench.preferences import chat
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE, RunningEngine
from langchain_finetune.local.base_models import resolve_base
from walkthrough.questions import asked

BATCH, RATE = 8, 5e-4

BARE = f"""
import json, sys
from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

base, data, output, rank, epochs, at_once = sys.argv[1:]
rank, epochs, at_once = int(rank), int(epochs), int(at_once)
rows = []
for line in open(data):
    example = json.loads(line)
    for message in example["messages"]:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    *prompt, answer = example["messages"]
    rows.append({{"prompt": prompt, "completion": [answer], "tools": example["tools"]}})
settings = SFTConfig(
    output_dir=output, num_train_epochs=epochs, per_device_train_batch_size=at_once,
    gradient_accumulation_steps={BATCH} // at_once,
    learning_rate={RATE}, lr_scheduler_type="cosine", warmup_steps=5, logging_steps=3,
    save_strategy="no", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
    activation_checkpointing=False, max_length=None,
)
dataset = Dataset.from_list(rows, on_mixed_types="use_json")
lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
trainer = SFTTrainer(
    model=base, args=settings, train_dataset=dataset, peft_config=lora if rank else None
)
trainer.train()
trainer.save_model(output)
"""


def main() -> None:
    """Measure in turns and print medians and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", default="nano")
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=BATCH, help="of the script, in a step of 8")
    given = parser.parse_args()
    # Of the usual home: an added base is no base of the temporary one.
    base = str(resolve_base(given.base))
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        engine = ensure_engine(Path(home))
        client = OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value())
        data = Path(home) / "chats.jsonl"
        chats = [chat(each, right=True) for each in asked()[: given.examples]]
        data.write_text("\n".join(map(json.dumps, chats)))
        settings = {
            "n_epochs": given.epochs, "batch_size": BATCH, "lora_rank": given.lora_rank
        }  # fmt: skip
        script = [base, data, Path(home) / "out", given.lora_rank, given.epochs, given.at_once]
        try:
            # The engine imports what answering needs in its first seconds.
            messages: list[Any] = [{"role": "user", "content": "Hello"}]
            client.chat.completions.create(model="nano", messages=messages, max_tokens=2)
            file = client.files.create(file=data, purpose="fine-tune").id
            running = RunningEngine.read(Path(home))
            assert running
            here, engine_process = psutil.Process(), psutil.Process(running.pid)
            spent: dict[str, list[Spent]] = {"bare script": [], "job": []}
            for number in range(given.rounds):
                turns = [
                    ("bare script", here, lambda: _bare(list(map(str, script)))),
                    ("job", engine_process, lambda: _job(client, base, file, settings)),
                ]
                for name, process, work in turns if number % 2 else turns[::-1]:
                    spent[name].append(_measured(process, running.pid, work))
                    print(f"{number + 1} {name}: {spent[name][-1]}", flush=True)
        finally:
            stop_engine(Path(home))
    for kind in ("wall", "processors", "gigabytes"):
        pairs = [[getattr(each, kind) for each in times] for times in spent.values()]
        ratios = sorted(job / bare for bare, job in zip(*pairs, strict=True))
        medians = ", ".join(
            f"{name} {statistics.median(times):.1f}"
            for name, times in zip(spent, pairs, strict=True)
        )
        print(
            f"{kind}: {medians}; median ratio {statistics.median(ratios):.2f} of {given.rounds}"
            f" rounds (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and by the processors, the most memory of a child, and the load then."""

    wall: float
    processors: float
    gigabytes: float
    load: float

    def __str__(self) -> str:
        """Say it for a line of the log."""
        return (
            f"{self.wall:.1f} s, processors {self.processors:.1f} s, {self.gigabytes:.2f} GB"
            f" (load {self.load:.1f})"
        )


def _measured(process: psutil.Process, engine: int, work: Callable[[], None]) -> Spent:
    """Do something that happens in a process and its descendants; the engine's are only its own."""
    before, began = _seconds_and_memory(process, engine), time.monotonic()
    seen, most, done = dict(before), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            now = _seconds_and_memory(process, engine)
            seen.update(now)
            most.extend(memory for each, (_, memory) in now.items() if each.pid != process.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    wall = time.monotonic() - began
    processors = sum(now - before.get(each, (0, 0))[0] for each, (now, _) in seen.items())
    return Spent(wall, processors, max(most) / 1e9, os.getloadavg()[0])


def _seconds_and_memory(
    process: psutil.Process, engine: int
) -> dict[psutil.Process, tuple[float, int]]:
    """Return what each took so far: seconds of processors, and bytes of memory now."""
    others = set()
    if process.pid != engine:
        others = {psutil.Process(engine), *psutil.Process(engine).children(recursive=True)}
    took = {}
    for each in {process, *process.children(recursive=True)} - others:
        with suppress(psutil.Error):
            times = each.cpu_times()
            took[each] = times.user + times.system, each.memory_info().rss
    return took


def _bare(arguments: list[str]) -> None:
    # As the engine's own process: threads that wait must not spin.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", BARE, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _job(client: OpenAI, base: str, file: str, hyperparameters: Any) -> None:
    job = client.fine_tuning.jobs.create(
        model=base, training_file=file, hyperparameters=hyperparameters
    )
    while job.status not in {"succeeded", "failed"}:
        time.sleep(0.2)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error


if __name__ == "__main__":
    main()
