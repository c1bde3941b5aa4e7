"""TRL's trainers, given tokens: SFTTrainer for answers, DPOTrainer for preferences.

Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import copy
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from langchain_finetune.local.hardware import SMALL_MODEL, device, has_fast_bfloat16
from langchain_finetune.local.training.batches import by_length
from langchain_finetune.local.training.encoding import IGNORED
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import Plan
from langchain_finetune.local.training.preferences import Encoded, Pair

CURVE_POINTS = 30
"""About how often metrics are told."""


ANCHOR = 1.0
"""Weight of the preferred answers' own loss beside DPO's (Pang et al. 2024, equation 1).

Where two answers differ in few tokens, DPO alone makes both less likely: with `nano` and pairs of
calculator calls it ranked every held-out pair rightly, and answered nothing rightly any more.
"""


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: Encoded,
    validation: Encoded | None,
    *,
    plan: Plan,
    total_steps: int,
    seed: int,
    work: Path,
    callback: TrainerCallback,
) -> Any:
    """Return a trainer that does what the plan says; its callback decides when to save.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        train: What to train on: sequences, or pairs for DPO.
        validation: What to measure on.
        plan: How to train.
        total_steps: How many steps that will be.
        seed: Start of all random numbers.
        work: Folder of the checkpoints.
        callback: Hears of every step.

    Raises:
        TrainingFailure: `invalid_hyperparameters`, where the model has no such layers for LoRA.
    """
    settings = _settings(model, plan, total_steps=total_steps, seed=seed, work=work)
    parts: dict[str, Any] = {
        "model": model,
        "train_dataset": _dataset(train),
        "eval_dataset": _dataset(validation) if validation else None,
        "processing_class": tokenizer,
        "callbacks": [callback],
        "peft_config": _lora(plan) if plan.lora else None,
    }
    try:
        if plan.method == "dpo":
            # Without its matrices, a LoRA model is its own reference.
            reference = None if plan.lora else copy.deepcopy(model)
            options = {"beta": plan.hyperparameters.beta, "loss_weights": [1.0, ANCHOR]}
            arguments = DPOConfig(loss_type=["sigmoid", "sft"], **options, **settings)
            return _Preferring(args=_on_one_gpu(arguments), ref_model=reference, **parts)
        return _Supervised(
            # The examples are tokens already.
            args=_on_one_gpu(
                SFTConfig(
                    dataset_kwargs={"skip_prepare_dataset": True},
                    padding_free=bool(plan.hyperparameters.packing),
                    **settings,
                )
            ),
            **parts,
        )
    except ValueError as error:
        if not plan.lora:
            raise
        raise TrainingFailure(
            "invalid_hyperparameters",
            "LoRA can't be put on this base model: lora_targets must be 'all-linear' or end parts"
            " of its layers' names, such as 'q_proj'.",
        ) from error


def _settings(model: Any, plan: Plan, *, total_steps: int, seed: int, work: Path) -> dict[str, Any]:
    where = device()
    return {
        "output_dir": str(work),
        "num_train_epochs": plan.hyperparameters.n_epochs,
        "per_device_train_batch_size": plan.device_batch_size,
        "per_device_eval_batch_size": plan.device_batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": min(5, total_steps // 10),
        "logging_steps": max(1, round(total_steps / CURVE_POINTS)),
        "logging_first_step": True,
        # A loss that is no number has to be seen, not smoothed away.
        "logging_nan_inf_filter": False,
        # The callback says when to validate and to save.
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": where == "cpu",
        "bf16": has_fast_bfloat16(),
        # Saves memory where it is short, and costs a third of the speed.
        "activation_checkpointing": model.num_parameters() > SMALL_MODEL and where != "cpu",
        "dataloader_pin_memory": where == "cuda",
        "seed": seed,
        # No example is longer than the model takes.
        "max_length": None,
    }


def _on_one_gpu(arguments: Any) -> Any:
    """Keep a process by itself from taking all GPUs, which it would where no batch can be shared.

    transformers then cuts batches up by threads, and the number of steps is another.
    """
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # noqa: SLF001 - there is no other way
    return arguments


def _lora(plan: Plan) -> LoraConfig:
    chosen = plan.hyperparameters
    return LoraConfig(
        r=chosen.lora_rank,
        lora_alpha=chosen.lora_alpha,
        target_modules=chosen.lora_targets,
        task_type="CAUSAL_LM",
    )


def _dataset(encoded: Encoded) -> Dataset:
    names = (
        ("prompt_ids", "chosen_ids", "rejected_ids")
        if isinstance(encoded[0], Pair)
        else ("input_ids", "labels")
    )
    return Dataset.from_dict({name: [getattr(each, name) for each in encoded] for name in names})


class _NoCard:
    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: checkpoints are for going on, not for publishing."""


class _ByLength(Sampler[int]):  # type: ignore[misc]  # PyTorch's types are too loose
    """Shuffles each epoch by the seed, and puts the examples of a step in order of their length.

    Args:
        lengths: Tokens of each example.
        step: Examples of a step.
        seed: Start of the random numbers.
    """

    def __init__(self, lengths: list[int], *, step: int, seed: int) -> None:
        self._lengths = lengths
        self._step = step
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Hear from accelerate which epoch begins, also where an earlier process began it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        return by_length(order, self._lengths, self._step)


class _Supervised(_NoCard, SFTTrainer):  # type: ignore[misc]  # TRL is not typed
    data_collator: Any

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        settings = self.args
        parts = settings.gradient_accumulation_steps * settings.world_size
        return _ByLength(
            [len(example["input_ids"]) for example in self.train_dataset],
            step=settings.per_device_train_batch_size * parts,
            seed=settings.seed,
        )

    def get_eval_dataloader(self, *arguments: Any) -> Any:
        # Metrics of packed rows would depend on the packing.
        training = self.data_collator
        self.data_collator = DataCollatorForLanguageModeling(training.pad_token_id)
        try:
            return super().get_eval_dataloader(*arguments)
        finally:
            self.data_collator = training

    def prediction_step(self, model: Any, inputs: Any, *options: Any, **named: Any) -> Any:
        # transformers takes the mean over examples of their batches' means. With this weight, it
        # is the mean over tokens, as in training, whatever the batches are.
        loss, *others = super().prediction_step(model, inputs, *options, **named)
        trained = (inputs["labels"][:, 1:] != IGNORED).sum(dim=1).float().mean()
        return loss * trained.to(loss.device) / self._trained_of_an_example, *others

    @cached_property
    def _trained_of_an_example(self) -> float:
        every = [len(each) - 1 - each[1:].count(IGNORED) for each in self.eval_dataset["labels"]]
        return float(sum(every) / len(every))


class _Preferring(_NoCard, DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        # TRL would put texts into tokens here; these are tokens already.
        return dataset
