"""Pretraining: first copying of random tokens, then the curriculum. Bounded by steps.

The model is a small Llama. Matrices are trained with Muon, the rest with AdamW. Loss falls
on what the assistant writes only, so the output layer runs on those positions only.

Each core has a process of its own with its share of every batch: for matrices this small,
that is quicker than threads. Gradients are averaged, so the processes stay equal.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from curriculum import sample
from curriculum.chat import segments
from start import write_induction
from torch import Tensor
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import (
    AttentionInterface,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

IGNORED = -100
Example = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Settings:
    """Configuration of the model and its training."""

    seed: int = 7
    hidden: int = 128
    layers: int = 5
    heads: int = 4
    feed_forward: int = 320
    induction_steps: int = 250
    steps: int = 2000
    batch: int = 32
    rate: float = 3e-3
    decay: float = 0.02
    flat: float = 0.35
    longest: int = 400
    processes: int = 2
    polish_steps: int = 300
    polish_rate: float = 1e-3


def _attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **_: Any
) -> tuple[Tensor, None]:
    """Attend in 32 bits: on a CPU its backward pass is twice as fast as in 16."""
    del module, mask  # Padding stands on the right, where a causal mask is all that is needed.
    with torch.autocast("cpu", enabled=False):
        out = scaled_dot_product_attention(
            query.float(), key.float(), value.float(), is_causal=True
        )
    return out.transpose(1, 2), None


AttentionInterface.register("causal_fp32", _attention)


def new_model(settings: Settings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Build the model with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        attention_bias=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    write_induction(model, settings.seed)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
        max_new_tokens=512,
    )
    return model


class Trainer:
    """One model, its optimizers, and a running mean of its loss."""

    def __init__(self, model: LlamaForCausalLM, settings: Settings) -> None:
        """Split the parameters over the two optimizers."""
        self.model = model
        named = list(model.named_parameters())
        matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
        rest = [p for n, p in named if p.ndim != 2 or "embed" in n]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=settings.rate,
                weight_decay=settings.decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.loss = self.accuracy = 0.0

    def step(self, ids: Tensor, labels: Tensor, rate: float) -> None:
        """Train on one batch at a learning rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        targets = labels[:, 1:]
        kept = targets != IGNORED
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden[:, :-1][kept])
        loss = cross_entropy(logits.float(), targets[kept])
        loss.backward()
        self._average()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            right = (logits.argmax(-1) == targets[kept]).float().mean().item()
        self.loss += 0.03 * (loss.item() - self.loss)
        self.accuracy += 0.03 * (right - self.accuracy)

    def _average(self) -> None:
        """Average the gradients over the processes."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))


def _induction(trainer: Trainer, settings: Settings, vocabulary: int) -> None:
    """Teach copying: random sequences that repeat, loss from the second round on."""
    rng = np.random.default_rng([settings.seed, dist.get_rank()])
    rows, width = 32 // settings.processes, 64
    for step in range(settings.induction_steps):
        ids = np.zeros((rows, width), dtype=np.int64)
        labels = np.full((rows, width), IGNORED, dtype=np.int64)
        for row in range(rows):
            period = int(rng.integers(5, 25))
            pool = rng.integers(3, vocabulary, period if row % 2 else 12)
            unit = pool if row % 2 else rng.choice(pool, period)
            ids[row] = np.tile(unit, width // period + 1)[:width]
            labels[row, period + 2 :] = ids[row, period + 2 :]
        rate = settings.rate * min(1.0, (step + 1) / 40)
        trainer.step(torch.from_numpy(ids), torch.from_numpy(labels), rate)
        if step % 100 == 99:
            _say(f"copying {step + 1}: accuracy {trainer.accuracy:.3f}")


def encode(
    rng: Random, tokenizer: PreTrainedTokenizerFast, count: int, longest: int, *, polish: bool
) -> list[Example]:
    """Draw chats and turn them into token ids and labels."""
    cut = [segments(sample(rng, polish=polish)) for _ in range(count)]
    flat = [piece for pieces in cut for piece, _ in pieces]
    encodings = iter(tokenizer.backend_tokenizer.encode_batch(flat, add_special_tokens=False))
    examples = []
    for pieces in cut:
        ids: list[int] = []
        labels: list[int] = []
        for _, mark in pieces:
            piece = next(encodings).ids
            ids += piece
            hidden = {"context": len(piece), "call": 1, "answer": 0}[mark]
            labels += [IGNORED] * hidden + piece[hidden:]
        if len(ids) <= longest and any(label != IGNORED for label in labels):
            examples.append((ids, labels))
    return examples


def batches(
    settings: Settings, tokenizer: PreTrainedTokenizerFast, *, polish: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's share of batches of chats of similar length, endlessly."""
    rng = Random(settings.seed + polish)
    size = settings.batch
    while True:
        drawn = encode(rng, tokenizer, size * 16, settings.longest, polish=polish)
        drawn.sort(key=lambda example: len(example[0]))
        groups = [drawn[i : i + size] for i in range(0, len(drawn) - size + 1, size)]
        rng.shuffle(groups)
        for whole in groups:
            group = whole[dist.get_rank() :: settings.processes]
            width = max(len(ids) for ids, _ in group)
            ids = torch.full((len(group), width), int(tokenizer.pad_token_id))
            labels = torch.full((len(group), width), IGNORED)
            for row, (tokens, marks) in enumerate(group):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                labels[row, : len(marks)] = torch.tensor(marks)
            yield ids, labels


def _say(text: str) -> None:
    if dist.get_rank() == 0:
        print(text, flush=True)


def train(rank: int, settings: Settings, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Pretrain a model from scratch and save it; the main function of each process.

    Args:
        rank: Number of the process.
        settings: What to do.
        tokenizer: The finished tokenizer.
        out: Folder to save to. Snapshots on the way are saved to the same place.
    """
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{out.resolve()}/.meeting",
        rank=rank,
        world_size=settings.processes,
    )
    torch.manual_seed(settings.seed)
    model = new_model(settings, tokenizer)
    model.set_attn_implementation("causal_fp32")
    _say(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    trainer = Trainer(model, settings)
    _induction(trainer, settings, len(tokenizer))
    began, tokens = time.monotonic(), 0
    source = batches(settings, tokenizer)
    for step in range(settings.steps):
        ids, labels = next(source)
        done = step / settings.steps
        falling = 1.0 if done < settings.flat else (1 - done) / (1 - settings.flat)
        rate = settings.rate * min(1.0, (step + 1) / 100) * max(0.02, falling)
        trainer.step(ids, labels, rate)
        tokens += ids.numel() * settings.processes
        if step % 100 == 99:
            _say(
                f"step {step + 1}: loss {trainer.loss:.4f}, accuracy {trainer.accuracy:.4f}, "
                f"{tokens / 1e6:.1f}M tokens, {time.monotonic() - began:.0f} s"
            )
        if rank == 0 and step % 250 == 249:
            save(model, out)
    if rank == 0:
        save(model, out)
    _polish(model, settings, tokenizer)
    if rank == 0:
        save(model, out)
    dist.barrier()
    dist.destroy_process_group()


def _polish(
    model: LlamaForCausalLM, settings: Settings, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Train on the last part of the curriculum, with fresh optimizers and a falling rate."""
    with torch.no_grad():
        for parameter in model.parameters():
            # The polish goes on from the saved weights, which have 16 bits.
            parameter.copy_(parameter.half().float())
    trainer = Trainer(model, settings)
    source = batches(settings, tokenizer, polish=True)
    for step in range(settings.polish_steps):
        rate = settings.polish_rate * min(1.0, (step + 1) / 20) * (1 - step / settings.polish_steps)
        trainer.step(*next(source), rate)
        if step % 50 == 49:
            _say(f"polish {step + 1}: loss {trainer.loss:.4f}, accuracy {trainer.accuracy:.4f}")


def save(model: LlamaForCausalLM, out: Path) -> None:
    """Write the weights in 16 bits, and the configuration."""
    halves = copy.deepcopy(model).half()
    halves.set_attn_implementation("sdpa")
    halves.save_pretrained(out)
