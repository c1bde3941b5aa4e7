"""The training itself, from its beginning or from its last checkpoint.

A checkpoint is written at the end of every epoch, after each validation that is the best so far,
and now and then within long epochs, so that a training that was killed goes on from there.
Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object, wait_for_everyone
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback, set_seed

from langchain_finetune.durable import flush_tree
from langchain_finetune.local.hardware import device, trains_in_bfloat16
from langchain_finetune.local.training.batches import at_most
from langchain_finetune.local.training.checkpoints import (
    COMPLETE,
    OPTIMIZERS,
    History,
    best,
    checkpoint_steps,
    folder_of,
    kept,
    measured_at,
    measures,
    ran_out_of_patience,
    read_history,
)
from langchain_finetune.local.training.events import WORKER_LOST, Metrics, TrainingFailure
from langchain_finetune.local.training.memory import fit_into_memory, must_be_shared_out
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.local.training.plan import (
    SAVE_SECONDS,
    Plan,
    logging_steps,
    warmup_steps,
)
from langchain_finetune.local.training.sequences import IGNORED, Encoded

_RESUMING = (*OPTIMIZERS, "scheduler.pt", "scaler.pt", "pytorch_model_fsdp.bin")
"""What only the two newest checkpoints need: the newest may turn out to be damaged."""

_SHARED_OUT = {
    "fsdp": True,
    "fsdp_config": {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "state_dict_type": "FULL_STATE_DICT",
    },
    # Not that of `fsdp_config`, with which peft saves no LoRA matrices.
    "activation_checkpointing": True,
    # Without it, each process would hold all gradients while they add up.
    "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
}
"""Arguments of trainers with which processes share a model out."""


@dataclass(frozen=True)
class Fitted:
    """How far a training has come; `epochs` are the last steps of those that were done.

    It is `finished`, or else was stopped; its checkpoints are in its folder.
    """

    history: History
    epochs: list[int]
    steps: int
    finished: bool


def fit(
    model: Any,
    tokenizer: Any,
    train: Sequence[Encoded],
    validation: Sequence[Encoded] | None,
    *,
    plan: Plan,
    seed: int,
    work: Path,
    resumed_from: int | None,
    stop: threading.Event,
    report: Callable[[Metrics], None],
) -> Fitted:
    """Train a model; the result is its checkpoints in the folder `work`.

    Goes on from the checkpoint of the step `resumed_from`, if there is one, and measures on the
    validation examples at the end of each epoch, and every `eval_steps` of the plan. When `stop` is
    set, it saves its state and ends.

    Raises:
        TrainingFailure: `training_diverged`, when the loss is not finite;
            `invalid_hyperparameters`, if the model has no layers that match LoRA's targets.
    """
    steps_an_epoch = plan.steps_an_epoch(len(train))
    total = steps_an_epoch * plan.n_epochs

    def fitted(history: History, steps: int) -> Fitted:
        epochs = list(range(steps_an_epoch, steps + 1, steps_an_epoch))
        finished = steps >= total or ran_out_of_patience(history, plan.early_stopping_patience)
        return Fitted(history, epochs, steps, finished)

    history = read_history(work, resumed_from) if resumed_from else []
    for step in [entry["step"] for entry in history if "loss" in entry]:
        # An engine that was killed may not have heard of them.
        before = measured_at(history, step)
        report(Metrics(total_steps=total, epoch=step / steps_an_epoch, **before.model_dump()))
    if (so_far := fitted(history, resumed_from or 0)).finished:
        return so_far
    shared_out = must_be_shared_out(plan, model.num_parameters())
    if shared_out:
        plan = at_most(plan, 1)
    # LoRA's matrices are drawn before the trainer sets its seed.
    set_seed(seed)
    make_trainer = resolve_name(TRAINING[plan.method].trainer)
    try:
        trainer = make_trainer(
            plan,
            _settings(plan, total_steps=total, seed=seed, work=work)
            | (_SHARED_OUT if shared_out else {}),
            model=model,
            train_dataset=_dataset(_filled(train, plan)),
            eval_dataset=_dataset(_filled(validation, plan)) if validation else None,
            processing_class=tokenizer,
            callbacks=[
                _Progress(
                    plan.early_stopping_patience,
                    work,
                    steps_an_epoch=steps_an_epoch,
                    validates=validation is not None,
                    eval_steps=plan.eval_steps,
                    stop=stop,
                    report=report,
                )
            ],
            peft_config=_lora(plan) if plan.lora else None,
        )
    except ValueError as error:
        if not plan.lora:
            raise
        raise TrainingFailure(
            "invalid_hyperparameters",
            "LoRA can't be put on this base model: lora_targets must be 'all-linear' or end parts"
            " of its layers' names, such as 'q_proj'.",
        ) from error
    if plan.load_in_4bit:
        # TRL rounds LoRA's matrices to 16 bits then, in which small steps are lost.
        for each in trainer.model.parameters():
            if each.requires_grad:
                each.data = each.data.float()
    _require_alike(plan, resumed_from)
    if not shared_out:
        longest = max(range(len(train)), key=lambda place: train[place].length)
        fit_into_memory(trainer, longest, processes=plan.processes)
    trainer.train(resume_from_checkpoint=resumed_from and str(folder_of(work, resumed_from)))
    return fitted(trainer.state.log_history, trainer.state.global_step)


def _require_alike(plan: Plan, resumed_from: int | None) -> None:
    """Make sure that processes on several machines are about to do the same.

    Raises:
        TrainingFailure: Their devices differ, or the last checkpoint that they see.
    """
    if plan.processes == 1:
        return
    found = set(gather_object([(device(), resumed_from)]))
    if len(kinds := {kind for kind, _ in found}) > 1:
        message = f"The machines have different devices: {', '.join(sorted(kinds))}."
        raise TrainingFailure("trainer_unavailable", message)
    if len(found) > 1:
        raise TrainingFailure(WORKER_LOST, "The machines do not see the same checkpoint yet.")


def _settings(plan: Plan, *, total_steps: int, seed: int, work: Path) -> dict[str, Any]:
    """Return the arguments that the configurations of all trainers share."""
    where = device()
    return {
        "output_dir": str(work),
        "num_train_epochs": plan.n_epochs,
        "per_device_train_batch_size": plan.device_batch_size,
        "per_device_eval_batch_size": plan.device_batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": warmup_steps(total_steps),
        "logging_steps": logging_steps(total_steps),
        "logging_first_step": True,
        # A loss that is not finite has to be seen, not smoothed away.
        "logging_nan_inf_filter": False,
        # The callback says when to validate and to save.
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": where == "cpu",
        "bf16": trains_in_bfloat16(),
        # It saves memory and costs a third of the speed: `fit_into_memory` says if it is needed.
        "activation_checkpointing": False,
        "dataloader_pin_memory": where == "cuda",
        "seed": seed,
        # No example is longer than the model takes.
        "max_length": None,
    }


def _lora(plan: Plan) -> LoraConfig:
    targets = plan.lora_targets
    return LoraConfig(
        r=plan.lora_rank,
        lora_alpha=plan.lora_alpha,
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
        task_type="CAUSAL_LM",
    )


def _filled(examples: Sequence[Encoded], plan: Plan) -> Sequence[Encoded]:
    """Return the examples, and as many that train nothing as make the processes' shares equal.

    accelerate would make them equal by examples that have been trained already.
    """
    if plan.processes == 1 or not TRAINING[plan.method].packs:
        return examples
    tokens = examples[0].columns["input_ids"][:2]
    filler = Encoded(0, {"input_ids": tokens, "labels": [IGNORED] * len(tokens)})
    missing = -len(examples) % (plan.device_batch_size * plan.processes)
    return [*examples, *[filler] * missing]


def _dataset(examples: Sequence[Encoded]) -> Dataset:
    names = examples[0].columns
    return Dataset.from_dict({name: [each.columns[name] for each in examples] for name in names})


@dataclass(eq=False)
class _Progress(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Reports metrics, saves checkpoints, and decides when training ends."""

    patience: int | None
    work: Path
    steps_an_epoch: int
    validates: bool
    eval_steps: int | None
    stop: threading.Event
    report: Callable[[Metrics], None]
    training: dict[str, float] | None = None
    saved_at: float = field(default_factory=time.monotonic)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide what follows a step."""
        ends_epoch = state.global_step % self.steps_an_epoch == 0
        measures = self.eval_steps is not None and state.global_step % self.eval_steps == 0
        if self.validates and (ends_epoch or measures):
            control.should_log = control.should_evaluate = True
        if ends_epoch:
            control.should_log = control.should_save = True
        late = time.monotonic() - self.saved_at > SAVE_SECONDS
        # All processes must do as the first one: they save and end together.
        late, stop = broadcast_object_list([late, self.stop.is_set()])
        control.should_save |= late or stop
        control.should_training_stop |= stop

    def on_log(
        self, _args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
    ) -> None:
        """Report metrics; those of a step wait for the validation that comes just after it."""
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise TrainingFailure(
                    "training_diverged",
                    f"The loss was not finite at step {state.global_step}: take a smaller"
                    " learning_rate_multiplier.",
                )
            self.training = logs
            if not control.should_evaluate:
                self._report_step(state, {})
        elif "eval_loss" in logs:
            self._report_step(state, logs)

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the best so far; stop if the validation loss has not fallen for long enough."""
        ends = ran_out_of_patience(state.log_history, self.patience)
        control.should_save |= ends or best(state.log_history) == state.global_step
        control.should_training_stop |= ends

    def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Mark the checkpoint as complete; remove those that are no longer needed."""
        self.saved_at = time.monotonic()
        # Each process has written something of its own.
        wait_for_everyone()
        if not state.is_world_process_zero:
            return
        flush_tree(folder_of(self.work, state.global_step))
        (folder_of(self.work, state.global_step) / COMPLETE).touch()
        epochs = list(range(self.steps_an_epoch, state.global_step + 1, self.steps_an_epoch))
        newest = [step for step in checkpoint_steps(self.work) if step <= state.global_step][-2:]
        keep = {*kept(state.log_history, epochs), *newest}
        for step in checkpoint_steps(self.work):
            folder = folder_of(self.work, step)
            if step not in keep:
                # A process that is killed in here must not leave half of one that counts.
                (folder / COMPLETE).unlink()
                shutil.rmtree(folder, ignore_errors=True)
            elif step not in newest:
                for name in _RESUMING:
                    (folder / name).unlink(missing_ok=True)

    def _report_step(self, state: Any, validation: dict[str, float]) -> None:
        if self.training is None:
            return
        measured = measures(self.training, validation)
        step, total, epoch = state.global_step, state.max_steps, state.epoch
        self.report(Metrics(step=step, total_steps=total, epoch=epoch, **measured))
        self.training = None
