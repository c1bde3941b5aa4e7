"""What Together is asked to train: a job's request in the terms of its SDK.

Source: together 3.1.1, `resources/fine_tuning` (the defaults are its own, but for
`train_on_inputs`: messages' weights say what is trained on) and `lib/resources/fine_tuning`
(early stopping needs one validation more than it waits for).
"""

import inspect
from typing import Any

from langchain_finetune.engines.jobs import NewJob
from langchain_finetune.engines.together_records import marked_suffix
from langchain_finetune.errors import JobSubmissionError

LEARNING_RATE = 1e-5
_JOB = "ft-"
_WARM_UP = 2
"""Validations before early stopping counts, with the one that it compares with."""

_OWN = frozenset({"model", "training_file", "validation_file", "suffix", "model_limits", "verbose"})
_REFUSED = {
    "eval_steps": "Together divides the training by a number of validations: give extra_body="
    '{"n_evals": ...}',
}


def continues(model: str) -> bool:
    """Return whether a model is an earlier job, or a checkpoint of one such as `ft-1:20`."""
    return model.startswith(_JOB)


def arguments(request: NewJob) -> dict[str, Any]:
    """Return the arguments of the SDK's `fine_tuning.create`.

    Raises:
        JobSubmissionError: A setting has no counterpart at Together.
    """
    chosen = {name: value for name, value in request.hyperparameters.items() if value != "auto"}
    for name, why in _REFUSED.items():
        if name in chosen:
            raise JobSubmissionError(f"Engine 'together' does not take {name}: {why}.")
    epochs = chosen.get("n_epochs", 1)
    made: dict[str, Any] = {
        "training_file": request.training_file,
        "validation_file": request.validation_file or "",
        "n_epochs": epochs,
        # A validation file without validations is not read.
        "n_evals": epochs if request.validation_file else 0,
        "batch_size": chosen.get("batch_size", "max"),
        "learning_rate": LEARNING_RATE * chosen.get("learning_rate_multiplier", 1),
        "packing": chosen.get("packing", True),
        "suffix": marked_suffix(request.suffix, request.metadata),
        "random_seed": request.seed,
        "training_method": "dpo" if request.method == "dpo" else "sft",
    }
    if request.method == "dpo":
        made["dpo_beta"] = chosen.get("beta")
    else:
        made["train_on_inputs"] = False
    made |= _weights(request.model, chosen)
    if patience := chosen.get("early_stopping_patience"):
        made |= {"early_stopping_enabled": True, "early_stopping_patience": patience}
        made["n_evals"] = max(made["n_evals"], patience + _WARM_UP)
    return made | _extra(request.extra_body)


def _weights(model: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return where the training begins, and which weights it changes."""
    if continues(model):
        # It goes on with the weights that the earlier job has trained.
        return {"model": None, "from_checkpoint": model, "lora": None}
    if chosen.get("lora_rank") == 0:
        return {"model": model, "lora": False}
    targets = chosen.get("lora_targets", "all-linear")
    return {
        "model": model,
        "lora": True,
        "lora_r": chosen.get("lora_rank"),
        "lora_alpha": chosen.get("lora_alpha"),
        "lora_trainable_modules": targets if isinstance(targets, str) else ",".join(targets),
    }


def _extra(fields: dict[str, Any]) -> dict[str, Any]:
    from together.resources.fine_tuning import FineTuningResource  # noqa: PLC0415 - an extra

    known = inspect.signature(FineTuningResource.create).parameters.keys() - {"self"} - _OWN
    if unknown := sorted(fields.keys() - known):
        raise JobSubmissionError(
            f"extra_body has {', '.join(unknown)}; for engine 'together' it may have "
            f"{', '.join(sorted(known))}."
        )
    return fields


def price_arguments(made: dict[str, Any], default_rank: int) -> dict[str, Any]:
    """Return the arguments of the SDK's `fine_tuning.estimate_price`, from those of the job."""
    asked: dict[str, Any] = {
        name: made[name]
        for name in ("training_file", "validation_file", "n_epochs", "n_evals")
        if made[name]
    }
    if made.get("from_checkpoint"):
        return {**asked, "from_checkpoint": made["from_checkpoint"], **_method(made)}
    kind: dict[str, Any] = {"type": "Full"}
    if made["lora"]:
        rank = made["lora_r"] or default_rank
        kind = {"type": "Lora", "lora_r": rank, "lora_alpha": int(made["lora_alpha"] or 2 * rank)}
    return {**asked, "model": made["model"], "training_type": kind, **_method(made)}


def _method(made: dict[str, Any]) -> dict[str, Any]:
    if made["training_method"] == "sft":
        method = {"method": "sft", "train_on_inputs": made["train_on_inputs"]}
    else:
        method = {"method": "dpo", "dpo_beta": made.get("dpo_beta") or 0}
    return {"training_method": method}
