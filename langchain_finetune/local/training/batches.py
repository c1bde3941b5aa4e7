"""How the examples of a step are shared out into batches that are computed at once; pure.

A step's examples are put in order of their length and cut into batches small enough that little is
computed for padding. Which examples make a step stays as the seed has it, and each trained token of
a step weighs the same, so the result is the same but for rounding.

Measured with `nano` in steps of eight, in tokens a second of CPU time: on chats of 40 to 1,500
tokens (210 in the middle) 950 with batches of eight, 1,500 of four, 2,000 of four in order, 2,700
of two in order; on chats of 300 tokens 4,400 with batches of eight or four, 4,100 of two.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from math import gcd
from typing import Any

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import Plan

COST_OF_A_BATCH = 150
"""What a batch costs by itself, in tokens; by the figures above."""

MOST_TOKENS = 1536
"""Tokens that a batch has on average, at most; larger ones are no faster on a CPU."""

MOST_TOKENS_OF_LARGE = 768
"""The same for a model that is not tiny: more take more memory and no less time.

Two of 310 tokens at once took SmolLM2-135M 46 to 49 s for two steps of eight, and 3.2 to 3.6 GB;
four took 51 s and 4.5 GB.
"""

MOST_LOGITS = 2**25
"""Logits of a batch that are held at once, about 0.4 GB while gradients are computed."""


def sized(
    plan: Plan,
    lengths: Sequence[int],
    seed: int,
    *,
    shared: int = 0,
    most_tokens: int = MOST_TOKENS,
    most_sharing: int | None = None,
) -> Plan:
    """Return the plan with batches of the size that costs least; its steps stay as they are.

    That is for CPUs: a GPU takes as much at once as its memory holds. The seed gives an order that
    stands for all. The first `shared` tokens are alike in all examples, and computed once a batch
    of at most `most_sharing` examples.

    Example:
        >>> from langchain_finetune.local.training.plan import make_plan
        >>> from langchain_finetune.methods import Hyperparameters
        >>> plan = make_plan(Hyperparameters(batch_size=8), examples=100, parameters=10**6)
        >>> sized(plan, [300] * 100, 0).device_batch_size
        4
        >>> sized(plan, [100, 100, 100, 900] * 25, 0).device_batch_size
        2
        >>> sized(plan, [300] * 100, 0, shared=250).device_batch_size
        8
    """
    step = plan.device_batch_size * plan.accumulation
    order = random.Random(seed).sample(range(len(lengths)), len(lengths))  # noqa: S311 - no secret
    ordered = [lengths[place] for place in by_length(order, lengths, step)]
    mean = sum(lengths) / len(lengths)

    def once(size: int) -> int:
        return shared if most_sharing is None or size <= most_sharing else 0

    sizes = [
        size
        for size in range(1, plan.device_batch_size + 1)
        if step % size == 0
        and (size == 1 or once(size) + size * (mean - once(size)) <= most_tokens)
    ]
    best = min(sizes, key=lambda size: _cost(ordered, step, size, once(size)))
    return replace(plan, device_batch_size=best, accumulation=step // best)


def at_most(plan: Plan, number: int) -> Plan:
    """Return the plan with at most so many sequences at once; its steps stay as they are.

    Example:
        >>> from langchain_finetune.local.training.plan import make_plan
        >>> from langchain_finetune.methods import Hyperparameters
        >>> plan = at_most(make_plan(Hyperparameters(), examples=100, parameters=10**9), 2)
        >>> plan.device_batch_size, plan.accumulation
        (2, 4)
    """
    at_once = gcd(plan.device_batch_size, number)
    step = plan.device_batch_size * plan.accumulation
    return replace(plan, device_batch_size=at_once, accumulation=step // at_once)


def alike(rows: Sequence[list[int]]) -> int:
    """Return with how many tokens all rows begin alike.

    Example:
        >>> alike([[1, 2, 3], [1, 2, 4, 5]])
        2
    """
    # What lies between the least and the greatest begins as both do.
    pairs = zip(min(rows), max(rows), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def by_length(order: Sequence[int], lengths: Sequence[int], step: int) -> Iterator[int]:
    """Return an epoch's order with the examples of each step in order of their length.

    Example:
        >>> list(by_length([3, 0, 2, 1], [9, 5, 7, 6], 2))
        [3, 0, 1, 2]
    """
    for start in range(0, len(order), step):
        yield from sorted(order[start : start + step], key=lambda place: lengths[place])


def epoch_order(lengths: Sequence[int], step: int, *, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch: shuffled by the seed, the examples of a step by their length.

    Args:
        lengths: Tokens of each example.
        step: Examples of a step.
        seed: Seed of the training.
        epoch: Number of the epoch, from 0.
    """
    import torch  # noqa: PLC0415 - seconds, and only once the environment is set

    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    return list(by_length(order, lengths, step))


def _cost(ordered: Sequence[int], step: int, size: int, shared: int) -> int:
    steps = (ordered[start : start + step] for start in range(0, len(ordered), step))
    batches = (each[start : start + size] for each in steps for start in range(0, step, size))
    return sum(
        shared + len(batch) * (max(batch) - shared) + COST_OF_A_BATCH for batch in batches if batch
    )


APART = 0.3
"""How near the logits of examples in a row must be to those of each alone; at 1 they are as far as
those of one joined text."""


def require_apart(model: Any, tokenizer: Any) -> None:
    """Make sure that a model answers for examples in one row as it does for each alone.

    Raises:
        TrainingFailure: `invalid_hyperparameters`: it does not.
    """
    # Seconds, and only once the environment is set.
    import torch  # noqa: PLC0415
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling  # noqa: PLC0415

    collate = DataCollatorForLanguageModeling(tokenizer.eos_token_id, padding_free=True)
    tokens = [number % model.config.get_text_config().vocab_size for number in range(10, 34)]
    parts = tokens[:10], tokens[10:]

    def answers(*examples: list[int]) -> Any:
        given = collate([{"input_ids": each} for each in examples])
        del given["labels"]
        # With a cache, transformers takes a row for one text.
        return model(**given, use_cache=False).logits[0].float()

    with torch.no_grad():
        try:
            together = answers(*parts)
        except TypeError:
            # It does not accept what TRL passes about the borders.
            apart = False
        else:
            alone = torch.cat([answers(part) for part in parts])
            joined = answers(tokens)
            apart = bool((together - alone).abs().max() < APART * (joined - alone).abs().max())
    if not apart:
        raise TrainingFailure(
            "invalid_hyperparameters",
            "This base model does not keep packed examples apart: leave packing out.",
        )
