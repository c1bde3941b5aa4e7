"""What the engine adds to a training: a job against a bare TRL script on the same data.

Both train `nano` on a hundred calculator chats, as often and in batches of the same size; the
script is another process, its start included, and it neither validates nor keeps checkpoints. They
take turns, so that a busy machine hits both.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/training_overhead.py [ROUNDS]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openai import OpenAI

from bench.preferences import chat
from langchain_finetune.finetune.engines.embedded import ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.bases import resolve_base
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
            pairs = [(_bare(data, Path(home)), _job(client, data)) for _ in range(rounds)]
        finally:
            stop_engine(Path(home))
    ratio = statistics.median(job / bare for bare, job in pairs)
    bare, job = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"bare script {bare:.1f} s, job {job:.1f} s; median ratio {ratio:.2f} of {rounds} rounds")


def _bare(data: Path, home: Path) -> float:
    began = time.monotonic()
    command = [sys.executable, "-c", BARE, str(resolve_base("nano")), str(data), str(home / "out")]
    # As the engine's own process: threads that wait must not spin.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.monotonic() - began


def _job(client: OpenAI, data: Path) -> float:
    file = client.files.create(file=data, purpose="fine-tune").id
    began = time.monotonic()
    job = client.fine_tuning.jobs.create(
        model="nano",
        training_file=file,
        hyperparameters={"n_epochs": EPOCHS, "batch_size": BATCH},
    )
    while job.status not in {"succeeded", "failed"}:
        time.sleep(0.5)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error
    return time.monotonic() - began


if __name__ == "__main__":
    main()
