"""Measure `nano` on the walkthrough: before fine-tuning, and after it with several seeds.

Example:
    python scripts/pretrain/evaluate.py --base langchain_finetune/local/nano --seeds 1 2 3

A question counts as right when there is exactly one call, with the right tool, both numbers in
order and the operation. Decoding is greedy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from curriculum.guard import SYSTEM_PROMPT
from transformers import AutoModelForCausalLM, AutoTokenizer

import walkthrough
from walkthrough import Question, Tool

BATCH = 52


class Judge:
    """A loaded model that answers questions."""

    def __init__(self, folder: Path) -> None:
        """Load model and tokenizer."""
        torch.set_num_threads(1)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def answers(self, questions: list[Question], tool: Tool, system: str) -> list[str]:
        """Let the model answer, greedily."""
        texts: list[str] = []
        for start in range(0, len(questions), BATCH):
            chats = [
                [{"role": "system", "content": system}, {"role": "user", "content": q.text}]
                for q in questions[start : start + BATCH]
            ]
            inputs = self.tokenizer.apply_chat_template(
                chats,
                tools=[tool],
                add_generation_prompt=True,
                return_dict=True,
                return_tensors="pt",
                padding=True,
            )
            made = self.model.generate(**inputs, max_new_tokens=48, do_sample=False)
            cut = made[:, inputs["input_ids"].shape[1] :]
            texts += [
                self.tokenizer.decode(row).split("<|im_end|>")[0].replace("<|endoftext|>", "")
                for row in cut
            ]
        return texts

    def score(
        self, name: str, questions: list[Question], tool: Tool, *, show: int = 0, system: str = ""
    ) -> float:
        """Print the fraction of correct answers, total and by language; return it."""
        right: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        wrong = []
        for question, text in zip(
            questions, self.answers(questions, tool, system or SYSTEM_PROMPT), strict=True
        ):
            asked[question.language] += 1
            if is_right(question, text):
                right[question.language] += 1
            else:
                wrong.append((question.text, text))
        share = right.total() / asked.total()
        parts = " ".join(f"{k} {right[k]}/{asked[k]}" for k in asked)
        print(f"{name}: {right.total()}/{asked.total()} = {share:.1%}  {parts}", flush=True)
        for question_text, text in wrong[:show]:
            print(f"    {question_text} -> {text!r}")
        return share


def is_right(question: Question, text: str) -> bool:
    """Return whether an answer is exactly the expected call."""
    pieces = text.strip().removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        call = json.loads(pieces)
        return bool(
            call["name"] == "Calculator"
            and call["arguments"]
            == {
                "num1": float(question.num1),
                "num2": float(question.num2),
                "operation": question.operation,
            }
        )
    except (ValueError, TypeError, KeyError):
        return False


def tune(base: Path, out: Path, tool: Tool, seed: int, extra: list[str]) -> float:
    """Fine-tune on the app's chats in a fresh process; return the duration in seconds."""
    questions = walkthrough.training_questions()
    rows = [walkthrough.example(q, tool) for q in questions]
    rows += [walkthrough.example(q, tool, legacy=True) for q in questions[::2]]
    out.mkdir(parents=True)
    data = out / "train.jsonl"
    data.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), "utf-8")
    script = Path(__file__).with_name("tune.py")
    command = [sys.executable, str(script), "--base", str(base), "--data", str(data)]
    command += ["--out", str(out), "--seed", str(seed), *extra]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    """Measure the base, then fine-tune and measure for each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--tools", nargs="*", default=list(walkthrough.TOOLS))
    parser.add_argument("--count", type=int, default=40, help="held-out questions a language")
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print")
    options, extra = parser.parse_known_args()
    held, wide = walkthrough.held_out(options.count), walkthrough.held_out(12, digits=3)
    unseen = walkthrough.unseen_wordings()
    known = walkthrough.known_wordings(unseen)
    new = [question for question in unseen if question not in known]
    base = Judge(options.base)
    for name in options.tools:
        tool = walkthrough.TOOLS[name]
        base.score(f"base, {name}", held, tool, show=options.show)
        cued = f"{SYSTEM_PROMPT} Use the tools."
        base.score(f"base with a cue, {name}", held, tool, show=options.show, system=cued)
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "tuned"
                seconds = tune(options.base, out, tool, seed, extra)
                tuned = Judge(out)
            label = f"{name}, seed {seed}"
            print(f"{label}: tuned in {seconds:.0f} s, start of the process included")
            tuned.score(f"{label}, held out", held, tool, show=options.show)
            tuned.score(f"{label}, three digits", wide, tool)
            tuned.score(f"{label}, unseen wordings", unseen, tool, show=options.show)
            tuned.score(f"{label}, of these new to the base too", new, tool)


if __name__ == "__main__":
    main()
