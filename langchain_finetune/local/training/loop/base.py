"""The base model of a training loop: its tokenizer and configuration are here, its weights not."""

from dataclasses import dataclass, replace
from typing import Any, Self

from langchain_finetune.local.hardware import SMALL_MODEL
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import LARGE_MODEL, Plan, make_plan
from langchain_finetune.local.training.spec import Spec
from langchain_finetune.local.training.tokenizer import load_configurations, load_tokenizer


@dataclass(frozen=True)
class HostedBase:
    """What has to be known of a base to render, mask and plan."""

    tokenizer: Any
    config: Any
    generation_config: Any

    @classmethod
    def load(cls, base: str) -> Self:
        """Load it from a folder, or from the Hugging Face Hub.

        Raises:
            TrainingFailure: `base_model_unavailable`.
        """
        try:
            return cls(load_tokenizer(base), *load_configurations(base))
        except (OSError, ValueError) as error:
            raise TrainingFailure(
                "base_model_unavailable",
                "The base's tokenizer can't be loaded here; see the job's trainer.log.",
            ) from error

    def parameters(self) -> int:
        """Return the number of parameters, as far as transformers knows the architecture."""
        import torch  # noqa: PLC0415 - seconds
        from transformers import AutoModelForCausalLM  # noqa: PLC0415

        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(self.config, trust_remote_code=False)
        except ValueError:
            return LARGE_MODEL
        return int(model.num_parameters())


def plan_at_host(spec: Spec, *, examples: int, parameters: int) -> Plan:
    """Return the plan of a training at a host: always LoRA, whose scale and layers are its own."""
    plan = make_plan(
        spec.hyperparameters,
        examples=examples,
        parameters=max(parameters, SMALL_MODEL + 1),
        method=spec.method,
    )
    return replace(plan, lora_alpha=None, lora_targets=None, packing=None)
