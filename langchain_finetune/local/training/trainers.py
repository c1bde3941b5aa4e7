"""TRL's trainers for tokenized examples: SFTTrainer, and DPOTrainer for pairs of preference.

Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import Sampler
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from langchain_finetune.local.training.batches import MOST_LOGITS, epoch_order
from langchain_finetune.local.training.plan import Plan
from langchain_finetune.local.training.preferences import ANCHOR
from langchain_finetune.local.training.sequences import IGNORED
from langchain_finetune.local.training.shared_prefix import (
    learn_shared,
    shared_length,
    shares_exactly,
)


def supervised_trainer(plan: Plan, settings: dict[str, Any], **parts: Any) -> Any:
    """Return the trainer of supervised examples.

    `settings` are arguments of the trainer's configuration, `parts` those of the trainer itself:
    model, datasets, callbacks and so on.
    """
    arguments = SFTConfig(
        # The examples are tokens already.
        dataset_kwargs={"skip_prepare_dataset": True},
        padding_free=bool(plan.packing),
        **settings,
    )
    return _Supervised(args=on_one_gpu(arguments), **parts)


def dpo_trainer(plan: Plan, settings: dict[str, Any], **parts: Any) -> Any:
    """Return the trainer of preferences; see `supervised_trainer` for the arguments."""
    arguments = DPOConfig(
        loss_type=["sigmoid", "sft"], loss_weights=[1.0, ANCHOR], **plan.own, **settings
    )
    # Without its matrices, a LoRA model is its own reference.
    reference = None if plan.lora else copy.deepcopy(parts["model"])
    return _Preferring(args=on_one_gpu(arguments), ref_model=reference, **parts)


def on_one_gpu(arguments: Any) -> Any:
    """Prevent a single process from using all GPUs if batches cannot be split.

    transformers then cuts batches up by threads, and the number of steps is another.
    """
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # noqa: SLF001 - there is no other way
    return arguments


class WithoutCard:
    """A trainer whose checkpoints are only for resuming, not for publishing."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no model card."""


class ByLength(Sampler[int]):  # type: ignore[misc]  # PyTorch's types are too loose
    """Shuffles each epoch by the seed, and puts the examples of a step in order of their length.

    The last `fillers` of the dataset stay behind.
    """

    def __init__(self, lengths: list[int], *, step: int, seed: int, fillers: int = 0) -> None:
        self._lengths = lengths
        self._step = step
        self._seed = seed
        self._fillers = fillers
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that begins; accelerate calls it, also after a resume."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths) + self._fillers

    def __iter__(self) -> Iterator[int]:
        yield from epoch_order(self._lengths, self._step, seed=self._seed, epoch=self._epoch)
        yield from range(len(self._lengths), len(self))


def _trains(example: Mapping[str, Any]) -> bool:
    """Return whether some token of an example is trained, as of all but fillers."""
    return any(label != IGNORED for label in example["labels"])


def _places(labels: Any) -> Any:
    """Return the places at which a token of some row is trained."""
    return (labels != IGNORED).any(dim=0).nonzero().squeeze(1)


def _learn(model: Any, given: dict[str, Any], labels: Any) -> Any:
    """Return the sum of the losses of the trained tokens, and how many of them are foretold."""
    places = _places(labels)
    kept = model(**given, logits_to_keep=places).logits.float()
    wanted = labels[:, places]
    total = torch.nn.functional.cross_entropy(
        kept.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return torch.stack([total, (kept.argmax(-1) == wanted).sum().to(total)])


class _Supervised(WithoutCard, SFTTrainer):  # type: ignore[misc]  # TRL is not typed
    data_collator: Any

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - transformers' signature
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean loss of the trained tokens, computing logits for those alone.

        TRL does so on CUDA only, and elsewhere computes them for each token of a prompt: with
        SmolLM2-135M and 44 of 310 tokens trained, a step took 1.5 x of the time and 1.25 x of the
        memory. Where there are too many to hold, TRL goes through them in parts.

        What the examples begin with alike is computed once: eight of 310 tokens, 262 of them alike,
        took SmolLM2-135M 0.22 x of the time.
        """
        labels = inputs["labels"]
        as_trl = return_outputs or self.aux_loss_enabled or labels.is_cuda or not self._keeps_logits
        shared = 0 if as_trl else self._shared(inputs)
        if as_trl or not self._everywhere(0 < self._logits(labels, shared) <= MOST_LOGITS):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if shared:
            learnt = learn_shared(partial(_learn, model), self.model.config, inputs, shared)
        else:
            given = {name: value for name, value in inputs.items() if name != "labels"}
            learnt = _learn(model, {**given, "use_cache": False}, labels[:, 1:])
        total, right = learnt
        trained = (labels[:, 1:] != IGNORED).sum()
        loss = total / (trained if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # It counts the tokens of all processes, whose gradients are averaged.
            loss = loss * self.accelerator.num_processes
        right = self.accelerator.gather_for_metrics(right.detach()).sum()
        count = self.accelerator.gather_for_metrics(trained).sum()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["mean_token_accuracy"].append((right / count).item())
        return loss

    def _everywhere(self, holds: bool) -> bool:  # noqa: FBT001 - what it is about
        """Return whether something holds in all processes: what these gather has to go together."""
        if self.accelerator.num_processes == 1:
            return holds
        here = torch.tensor([holds], device=self.accelerator.device)
        return bool(self.accelerator.gather(here).all())

    def _shared(self, inputs: dict[str, Any]) -> int:
        """Return how many tokens the batch begins with that are computed once."""
        # Validation has no gradients to try it with, and no dropout.
        apart = len(inputs["labels"]) == 1 or "attention_mask" not in inputs
        apart = apart or not self.model.training
        # Where activations are computed again, nothing is cached; processes that train together
        # count on one pass of the model.
        if apart or self.args.activation_checkpointing or self.accelerator.num_processes > 1:
            return 0
        length = shared_length(inputs["input_ids"], inputs["labels"])
        return length if length and self._shares_exactly else 0

    @cached_property
    def _shares_exactly(self) -> bool:
        return shares_exactly(partial(_learn, self.model), self.model)

    def _logits(self, labels: Any, shared: int) -> int:
        """Return how many logits the trained tokens of a batch take."""
        first, rest = labels[:1, 1 : shared + 1], labels[:, shared + 1 :]
        return self._vocabulary * sum(len(part) * len(_places(part)) for part in (first, rest))

    @cached_property
    def _vocabulary(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)

    @cached_property
    def _keeps_logits(self) -> bool:
        model = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        return bool(model._supports_logits_to_keep())  # noqa: SLF001 - as transformers itself asks

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        settings = self.args
        parts = settings.gradient_accumulation_steps * settings.world_size
        lengths = [len(each["input_ids"]) for each in self.train_dataset if _trains(each)]
        return ByLength(
            lengths,
            step=settings.per_device_train_batch_size * parts,
            seed=settings.seed,
            fillers=len(self.train_dataset) - len(lengths),
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


class _Preferring(WithoutCard, DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        # TRL would put texts into tokens here; these are tokens already.
        return dataset
