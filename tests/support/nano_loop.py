"""What a loop server computes: the embedded trainer's model code, with LoRA, in this process."""

import copy
import json
import threading
import warnings

import numpy as np

ALPHA = 32
"""The host's own scale of LoRA."""


class NanoTrainer:
    """Trains a base of this machine, `nano` by default, as a host does."""

    def __init__(self, base=None):
        from langchain_finetune.local.base_models import find_base

        self._base = base or find_base("nano")
        self._lock = threading.Lock()

    def create(self, base, rank, seed):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, set_seed

        # PEFT asks transformers for a name that is to go; a warning is an error in tests.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        whole = AutoModelForCausalLM.from_pretrained(self._base, use_safetensors=True).float()
        set_seed(seed)
        lora = LoraConfig(
            r=rank, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(whole, lora)
        trained = [each for each in model.parameters() if each.requires_grad]
        return model, torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)

    def compute(self, weights, data, *, backward):
        import torch

        model, _ = weights
        found = []
        with self._lock, torch.set_grad_enabled(backward):
            for each in data:
                logits = model(torch.tensor(each.tokens[None].astype(np.int64))).logits[0].float()
                targets = torch.tensor(each.targets)
                chosen = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
                if backward:
                    (-(chosen * torch.tensor(each.weights)).sum()).backward()
                found.append(chosen.detach().numpy())
        return found

    def update(self, weights, params):
        import torch

        model, optimizer = weights
        trained = [each for each in model.parameters() if each.requires_grad]
        if params.grad_clip_norm:
            torch.nn.utils.clip_grad_norm_(trained, params.grad_clip_norm)
        for group in optimizer.param_groups:
            group.update(
                lr=params.learning_rate, betas=(params.beta1, params.beta2), eps=params.eps
            )
        optimizer.step()
        optimizer.zero_grad()

    def state(self, weights):
        return copy.deepcopy(weights)

    def load(self, state):
        return copy.deepcopy(state)

    def exported(self, state):
        """The files of an adapter in PEFT's format."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save

        model, _ = state
        config = model.peft_config["default"].to_dict()
        config = {name: value for name, value in config.items() if name != "runtime_config"}
        config["target_modules"] = sorted(config["target_modules"])
        config["base_model_name_or_path"] = "somewhere/else"
        tensors = {name: each.clone() for name, each in get_peft_model_state_dict(model).items()}
        return {
            "adapter_model.safetensors": save(tensors),
            "adapter_config.json": json.dumps(config, default=str).encode(),
        }
