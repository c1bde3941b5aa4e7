"""One step of a model for many sequences at once, without padding between them.

The tokens of all sequences go through the model as one row; only attention tells them apart, each
over its own keys and values. Importing this module imports torch and transformers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache

from langchain_finetune.local.serving.adapters import AdapterSwitch, LoraAdapter
from langchain_finetune.local.serving.model_pool import Attempt

_NAME = "lcft_sequences"
_GROWTH = 64

# By these, the position of one sequence's tokens changes what another's mean.
_SHARED_POSITIONS = {"dynamic", "longrope"}


class KeyValues:
    """The keys and values of a sequence's `tokens`, in each layer of a model."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._layers: dict[int, tuple[Any, Any]] = {}

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        return sum(each.nbytes for layer in self._layers.values() for each in layer)

    def copied(self, length: int) -> "KeyValues":
        """Return a copy of the first tokens."""
        copy = KeyValues()
        copy.tokens = self.tokens[:length]
        for layer, held in self._layers.items():
            empty = held[0][:, :0]
            copy._layers[layer] = _grown(held, empty, length), _grown(held, empty, length, 1)
        return copy

    def extend(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Put those of further tokens, (heads, tokens, size), behind the others; return all.

        They count only once they are in `tokens`: a step that failed is done again over them.
        """
        past = len(self.tokens)
        end = past + keys.shape[1]
        held = self._layers.get(layer)
        if held is None or held[0].shape[1] < end:
            held = self._layers[layer] = _grown(held, keys, past), _grown(held, values, past, 1)
        held[0][:, past:end] = keys
        held[1][:, past:end] = values
        return held[0][:, :end], held[1][:, :end]


def _grown(held: tuple[Any, Any] | None, new: Any, past: int, which: int = 0) -> Any:
    """Return a copy with room for more tokens, so that few of them need a copy."""
    heads, tokens, size = new.shape
    grown = new.new_empty((heads, past + tokens + max(_GROWTH, past // 4), size))
    if held is not None:
        grown[:, :past] = held[which][:, :past]
    return grown


@dataclass(frozen=True)
class Portion:
    """Tokens of a sequence that a step takes in, after those of its `past`; whose they are."""

    past: Any
    tokens: list[int]
    adapter: LoraAdapter | None = None


@dataclass(frozen=True)
class _Pass:
    """What attention needs to know of a step; `windows` are those of the layers that have one."""

    portions: Sequence[Portion]
    windows: dict[int, int]
    masks: dict[tuple[int, int | None], Any] = field(default_factory=dict)

    def mask(self, number: int, window: int | None, groups: int, like: Any) -> Any:
        """Return what is added to the scores of a portion; None if each token sees all."""
        count, past = len(self.portions[number].tokens), len(self.portions[number].past.tokens)
        if count == 1:
            return None
        if (number, window) not in self.masks:
            seen = torch.ones(count, past + count, dtype=torch.bool, device=like.device).tril(past)
            if window:
                seen &= seen.triu(past - window + 1)
            mask = like.new_zeros(seen.shape).masked_fill_(~seen, -torch.inf)
            self.masks[number, window] = mask.repeat(groups, 1)
        return self.masks[number, window]


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    _mask: Any,
    *,
    scaling: float | None = None,
    lcft_pass: _Pass,
    **others: Any,
) -> tuple[Any, None]:
    """Attend each portion to its own sequence (an attention function of transformers).

    The tensors are (1, heads, tokens of all portions, size); several heads of a query may share
    one of keys.
    """
    if any(others.get(name) is not None for name in ("softcap", "s_aux")):
        raise NotImplementedError
    begin, answers = 0, []
    heads = key.shape[1]
    groups = query.shape[1] // heads
    window = lcft_pass.windows.get(module.layer_idx)
    for number, portion in enumerate(lcft_pass.portions):
        count = len(portion.tokens)
        here = slice(begin, begin + count)
        keys, values = portion.past.extend(module.layer_idx, key[0, :, here], value[0, :, here])
        if window and count == 1:
            keys, values = keys[:, -window:], values[:, -window:]
        # Heads that share keys stand one behind the other, so that no key has to be repeated.
        queries = query[0, :, here].reshape(heads, groups * count, -1)
        mask = lcft_pass.mask(number, window, groups, queries)
        got = scaled_dot_product_attention(
            queries[None], keys[None], values[None], attn_mask=mask, scale=scaling
        )
        answers.append(got.reshape(heads * groups, count, -1))
        begin += count
    joined = answers[0] if len(answers) == 1 else torch.cat(answers, dim=1)
    return joined.transpose(0, 1)[None], None


# transformers prepares no mask for an attention function that has no mask function.
AttentionInterface.register(_NAME, _attend)


class Decoder:
    """Steps of a model; `together` if one step takes in portions of many sequences.

    Other models, such as those with recurrent layers, take one sequence after the other. Which ones
    can is tried out on the model itself: its answer must be the same in company as alone.

    Attributes:
        token_bytes: Memory that a token of a sequence takes.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._switch = AdapterSwitch(model)
        config = model.config.get_text_config()
        types = getattr(config, "layer_types", None) or ()
        window = getattr(config, "sliding_window", None)
        sliding = [layer for layer, kind in enumerate(types) if kind == "sliding_attention"]
        if not types and window and getattr(config, "use_sliding_window", True):
            sliding = list(range(config.num_hidden_layers))
        self._windows = dict.fromkeys(sliding, window) if window else {}
        self._recurrent = "cache_params" if "mamba" in type(model).__name__.lower() else None
        positions = json.dumps(config.to_dict().get("rope_parameters"), default=str)
        self.together = (
            set(types) <= {"full_attention", "sliding_attention"}
            and not any(f'"{kind}"' in positions for kind in _SHARED_POSITIONS)
            and self._agrees_with_itself()
        )
        self.token_bytes = self._measured()

    def sequence(self) -> Any:
        """Return the past of a sequence that has none yet."""
        return KeyValues() if self.together else DynamicCache(config=self.model.config)

    def step(self, portions: Sequence[Portion]) -> Any:
        """Take in portions; return the scores after each one's last token, (portions, vocabulary).

        Where it fails, the sequences are as before, if the model takes them together.
        """
        with torch.inference_mode():
            if not self.together:
                return torch.cat([self._alone(portion) for portion in portions])
            self._switch.set([(each.adapter, len(each.tokens)) for each in portions])
            scores = self._together(portions)
        for portion in portions:
            portion.past.tokens += portion.tokens
        return scores

    def _together(self, portions: Sequence[Portion]) -> Any:
        begins = [len(portion.past.tokens) for portion in portions]
        counts = [len(portion.tokens) for portion in portions]
        device = self.model.device
        positions = [
            begin + number
            for begin, count in zip(begins, counts, strict=True)
            for number in range(count)
        ]
        tokens = [token for portion in portions for token in portion.tokens]
        return self.model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(counts, device=device).cumsum(0) - 1,
            lcft_pass=_Pass(portions, self._windows),
        ).logits[0]

    def _alone(self, portion: Portion) -> Any:
        ids = torch.tensor([portion.tokens], device=self.model.device)
        self._switch.set([(portion.adapter, len(portion.tokens))])
        past = {self._recurrent or "past_key_values": portion.past}
        return self.model(input_ids=ids, use_cache=True, **past).logits[:, -1]

    def _agrees_with_itself(self) -> bool:
        """Return whether the model answers two sequences in one step as it answers them alone."""
        tried = Attempt[bool]()
        before = self.model.config._attn_implementation  # noqa: SLF001 - has no public name
        with tried, torch.inference_mode():
            tokens = [
                each % self.model.config.get_text_config().vocab_size for each in range(1, 13)
            ]
            alone = self.model(input_ids=torch.tensor([tokens], device=self.model.device))
            right = alone.logits[0, [11, 5]].float()
            self.model.set_attn_implementation(_NAME)
            one, other = KeyValues(), KeyValues()
            for first, second in ((tokens[:7], tokens[:4]), (tokens[7:], tokens[4:6])):
                portions = [Portion(one, first), Portion(other, second)]
                got = self._together(portions).float()
                one.tokens += first
                other.tokens += second
            off = (got - right).abs().max() / right.abs().max()
            tried.set_result(bool(off < (1e-3 if self.model.dtype == torch.float32 else 0.05)))
        agrees = tried.exception() is None and tried.result()
        if not agrees:
            self.model.set_attn_implementation(before)
        return agrees

    def _measured(self) -> int:
        past = self.sequence()
        self.step([Portion(past, [1])])
        if isinstance(past, KeyValues):
            return past.nbytes // (1 + _GROWTH)
        keyed = [layer for layer in past.layers if getattr(layer, "keys", None) is not None]
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in keyed)
