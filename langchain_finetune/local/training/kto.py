"""TRL's KTOTrainer for tokenized examples, with the divergence of whole steps.

KTO judges an answer against how far the model has moved from its base as a whole: the divergence,
estimated with answers to other prompts (Ethayarajh et al. 2024, section 4.1). TRL pairs prompts
and answers once, within batches of a fixed order, and estimates it in each batch that is computed
at once. Here those are as small as the memory wants, one example even, and each epoch is in another
order. So each answer is paired with the next prompt of its step, and the estimate is that of
the step, whatever is computed at once: as TRL's where a batch is a step.

Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import copy
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from langchain_finetune.local.training.plan import Plan
from langchain_finetune.local.training.trainers import ByLength, WithoutCard, on_one_gpu

Batch = dict[str, Any]


def kto_trainer(plan: Plan, settings: dict[str, Any], **parts: Any) -> Any:
    """Return the trainer of judged answers; see `trainers.supervised_trainer` for the arguments."""
    at_once = settings["per_device_train_batch_size"]
    # TRL refuses 1, since it estimates the divergence of a batch.
    arguments = KTOConfig(**plan.own, **settings | {"per_device_train_batch_size": max(2, at_once)})
    # Without its matrices, a LoRA model is its own reference.
    reference = None if plan.lora else copy.deepcopy(parts["model"])
    trainer = Judging(args=on_one_gpu(arguments), ref_model=reference, **parts)
    arguments.per_device_train_batch_size = at_once
    return trainer


class Judging(WithoutCard, KTOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Trains on examples with the columns `prompt_ids`, `completion_ids` and `label`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # The reference's logarithms are in the batches; see `compared`.
        self.precompute_ref_logps = True
        self._lengths = [
            len(prompt) + len(completion)
            for prompt, completion in zip(
                self.train_dataset["prompt_ids"], self.train_dataset["completion_ids"], strict=True
            )
        ]
        # A long prompt with another's long answer may be longer than the model takes.
        self._mismatch = DataCollatorForUnpairedPreference(
            self.data_collator.pad_token_id, max_length=max(self._lengths)
        )
        self._mismatched = torch.empty(0)
        self._validation: Iterator[Batch] = iter(())

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        # TRL would put texts into tokens here, and pair prompts and answers.
        return dataset

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        settings = self.args
        step = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
        return ByLength(self._lengths, step=step * settings.world_size, seed=settings.seed)

    def get_batch_samples(self, *arguments: Any) -> tuple[list[Batch], Any]:
        """Return the batches of a step, compared."""
        batches, count = super().get_batch_samples(*arguments)
        return self.compared(batches), count

    def compute_loss(self, model: Any, inputs: Batch, *options: Any, **named: Any) -> Any:
        """Return the loss of a batch; one that belongs to no step is compared by itself."""
        if "ref_logps" not in inputs:
            [inputs] = self.compared([inputs])
        return super().compute_loss(model, inputs, *options, **named)

    def evaluation_loop(self, dataloader: Any, *arguments: Any, **named: Any) -> Any:
        """Evaluate with the divergence of all examples, however few are computed at once."""
        self._validation = iter(self.compared(list(dataloader)))
        return super().evaluation_loop(dataloader, *arguments, **named)

    def prediction_step(self, model: Any, _: Batch, *options: Any, **named: Any) -> Any:
        """Return the loss of the next batch of the evaluation."""
        return super().prediction_step(model, next(self._validation), *options, **named)

    def log(self, logs: dict[str, float], *arguments: Any) -> None:
        """Log the margin of all rewards; TRL's is that of batches with answers of both kinds."""
        measured = self._metrics["train" if self.model.training else "eval"]
        measured.pop("rewards/margins", None)
        sides = [measured.get(f"rewards/{side}") for side in ("chosen", "rejected")]
        if all(sides):
            chosen, rejected = map(fmean, sides)
            measured["rewards/margins"].append(chosen - rejected)
        super().log(logs, *arguments)

    def compared(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return the batches of a step with what the reference makes of them.

        What both models make of mismatched prompts and answers is for all of them together.
        """
        batches = [self._prepare_inputs(batch) for batch in batches]
        sizes = [len(batch["label"]) for batch in batches]
        mismatched = iter(_rotated([each for batch in batches for each in _sides(batch)]))
        policy, reference, found = [], [], []
        for batch, size in zip(batches, sizes, strict=True):
            other = self._mismatch([next(mismatched) for _ in range(size)])
            both = batch | {f"KL_{name}": other[name] for name in other.keys() - {"label"}}
            both = self._prepare_inputs(both)
            with torch.no_grad(), self.accelerator.autocast():
                policy.append(super()._compute_kl_logps(self.model, both))
            own, others = self.compute_ref_log_probs(self.ref_model or self.model, both)
            reference.append(others)
            found.append(batch | {"ref_logps": own})
        self._mismatched = torch.cat(policy)
        together = torch.cat(reference)
        return [batch | {"ref_KL_logps": together} for batch in found]

    def _compute_kl_logps(self, *_: Any) -> torch.Tensor:
        # TRL subtracts `ref_KL_logps`, and takes the mean.
        return self._mismatched


def _sides(batch: Batch) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the tokens of each prompt and answer of a batch."""
    for tokens, shown, answered in zip(
        batch["input_ids"], batch["attention_mask"].bool(), batch["completion_mask"].bool(),
        strict=True,
    ):  # fmt: skip
        yield tokens[shown & ~answered].tolist(), tokens[answered].tolist()


def _rotated(sides: Sequence[tuple[list[int], list[int]]]) -> list[dict[str, Any]]:
    """Return each prompt with the answer to the one before it, as TRL pairs them."""
    return [
        {"prompt_ids": prompt, "completion_ids": sides[place - 1][1], "label": False}
        for place, (prompt, _) in enumerate(sides)
    ]
