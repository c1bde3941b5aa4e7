"""Fine-tune a base on supervised examples with TRL's SFTTrainer. Runs as a child process.

Example:
    python scripts/pretrain/tune.py --base BASE --data train.jsonl --out TUNED --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

Json = dict[str, Any]


def template_chat(example: Json) -> tuple[list[Json], list[Json]]:
    """Turn an example in OpenAI's format into messages and tools for the chat template."""
    messages = []
    for message in example["messages"]:
        turned = {"role": message["role"], "content": message.get("content") or ""}
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        if message.get("function_call"):
            calls.append(message["function_call"])
        if calls:
            turned["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": c["name"], "arguments": json.loads(c["arguments"])},
                }
                for c in calls
            ]
        messages.append(turned)
    tools = list(example.get("tools") or ())
    tools += [{"type": "function", "function": f} for f in example.get("functions") or ()]
    return messages, tools


def encode(tokenizer: Any, example: Json) -> Json:
    """Turn an example into token ids, and labels for what the assistant writes."""
    messages, tools = template_chat(example)
    ids: list[int] = []
    labels: list[int] = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = _ids(tokenizer, messages[:index], tools, opened=True)
        full = _ids(tokenizer, messages[: index + 1], tools, opened=False)
        if full[: len(prompt)] != prompt or full[: len(ids)] != ids:
            raise ValueError("the chat template does not preserve prefixes")
        labels += [-100] * (len(prompt) - len(labels)) + full[len(prompt) :]
        ids = full
    return {"input_ids": ids, "labels": labels}


def _ids(tokenizer: Any, messages: list[Json], tools: list[Json], *, opened: bool) -> list[int]:
    encoded = tokenizer.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=opened, return_dict=True
    )
    return list(encoded["input_ids"])


def main() -> None:
    """Read the options, train, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    model = AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.float32)
    rows = [json.loads(line) for line in options.data.read_text("utf-8").splitlines()]
    settings = SFTConfig(
        output_dir=str(options.out),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch,
        learning_rate=options.rate,
        lr_scheduler_type="cosine",
        warmup_steps=5,
        seed=options.seed,
        save_strategy="no",
        logging_steps=25,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list([encode(tokenizer, row) for row in rows]),
        processing_class=tokenizer,
    )
    began = time.monotonic()
    trainer.train()
    print(f"trained for {time.monotonic() - began:.1f} s", flush=True)
    trainer.model.half().save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


if __name__ == "__main__":
    main()
