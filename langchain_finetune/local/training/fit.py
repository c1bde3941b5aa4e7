"""The training itself: TRL's SFTTrainer, and PEFT's LoRA for models that are not tiny.

Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl.chat_template_utils import add_response_schema
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from langchain_finetune.local.hardware import device, has_fast_bfloat16
from langchain_finetune.local.training.encoding import Sequence
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import Plan

CURVE_POINTS = 30
"""About how often metrics are told."""

VALIDATIONS = 10
"""About how often the validation file is measured; it costs a pass over it."""


def fit(
    model: Any,
    tokenizer: Any,
    train: list[Sequence],
    validation: list[Sequence] | None,
    *,
    plan: Plan,
    seed: int,
    work: Path,
    on_start: Callable[[int], None],
    on_metrics: Callable[..., None],
) -> Any:
    """Train a model and return it, with LoRA's matrices merged in.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        train: What to train on.
        validation: What to measure on.
        plan: How to train.
        seed: Start of all random numbers.
        work: Folder for what is only needed meanwhile.
        on_start: Called with the number of steps.
        on_metrics: Called with what `Reporter.metrics` takes.

    Raises:
        TrainingFailure: `training_diverged`, when the loss is no number any more.
    """
    steps_an_epoch = math.ceil(math.ceil(len(train) / plan.device_batch_size) / plan.accumulation)
    total = steps_an_epoch * plan.hyperparameters.n_epochs
    every = max(1, round(total / CURVE_POINTS))
    cpu = device() == "cpu"
    lora = plan.method == "lora"
    settings = SFTConfig(
        output_dir=str(work),
        num_train_epochs=plan.hyperparameters.n_epochs,
        per_device_train_batch_size=plan.device_batch_size,
        per_device_eval_batch_size=plan.device_batch_size,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(5, total // 10),
        logging_steps=every,
        logging_first_step=True,
        eval_strategy="steps" if validation else "no",
        eval_steps=every * max(1, CURVE_POINTS // VALIDATIONS),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=cpu,
        bf16=has_fast_bfloat16(),
        # Saves memory where it is short, and costs a third of the speed.
        activation_checkpointing=lora and not cpu,
        dataloader_pin_memory=not cpu,
        seed=seed,
        # The examples are tokens already, and none is longer than the model takes.
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation) if validation else None,
        processing_class=tokenizer,
        peft_config=_lora() if lora else None,
        callbacks=[_Metrics(on_start, on_metrics)],
    )
    trainer.train()
    return trainer.model.merge_and_unload() if lora else trainer.model


def save(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write a model that transformers, and so this engine's serving, can load.

    The tokenizer is told how the model writes tool calls, where TRL knows it.
    """
    if getattr(tokenizer, "response_template", None) is None:
        # TRL refuses templates it does not know; serving then goes by the model's family.
        with contextlib.suppress(ValueError):
            add_response_schema(tokenizer)
    # The trainer turns the cache off; without it, answering takes ever longer by the token.
    model.config.use_cache = True
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _lora() -> LoraConfig:
    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def _dataset(sequences: list[Sequence]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [sequence.input_ids for sequence in sequences],
            "labels": [sequence.labels for sequence in sequences],
        }
    )


class _Metrics(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Turns what the trainer logs into events.

    A validation is logged just after the training step that it belongs to, so the step's metrics
    wait for it.
    """

    def __init__(self, on_start: Callable[[int], None], on_metrics: Callable[..., None]) -> None:
        self._on_start = on_start
        self._on_metrics = on_metrics
        self._waiting: dict[str, float] | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self._on_start(state.max_steps)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        # The last point of the curve is the one that people look at.
        if state.global_step >= state.max_steps or control.should_evaluate:
            control.should_log = True

    def on_log(
        self, _args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise TrainingFailure(
                    "training_diverged",
                    f"The loss was no number at step {state.global_step}: take a smaller"
                    " learning_rate_multiplier.",
                )
            self._waiting = logs
            if not control.should_evaluate:
                self._tell(state, {})
        elif "eval_loss" in logs:
            self._tell(state, logs)

    def _tell(self, state: Any, validation: dict[str, float]) -> None:
        if self._waiting is None:
            return
        self._on_metrics(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=state.epoch,
            train_loss=self._waiting["loss"],
            train_mean_token_accuracy=self._waiting["mean_token_accuracy"],
            valid_loss=validation.get("eval_loss"),
            valid_mean_token_accuracy=validation.get("eval_mean_token_accuracy"),
        )
        self._waiting = None
