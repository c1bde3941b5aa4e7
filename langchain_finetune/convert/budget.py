"""Limits on the cost and the tokens of a training, checked before anything is sent."""

from collections.abc import Iterator
from dataclasses import dataclass

from langchain_finetune.convert.estimate import Estimate, Prices, estimate, tokens_of
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.errors import BudgetError


@dataclass(frozen=True)
class Budget:
    """Limits of a training; `max_tokens` counts those of all epochs. See `Convert`."""

    max_cost_usd: float | None = None
    max_tokens: int | None = None
    prices: Prices | None = None

    def limits(self) -> bool:
        """Return whether there is a limit."""
        return self.max_cost_usd is not None or self.max_tokens is not None

    def check(self, made: Estimate) -> None:
        """Check an estimate against the limits.

        Raises:
            BudgetError: It exceeds one, or the price is unknown.
        """
        if self.max_tokens is not None and made.trained_tokens > self.max_tokens:
            raise BudgetError(
                f"Training would use {_sum(made)}, more than max_tokens={self.max_tokens:,}. "
                f"{_ADVICE} max_tokens."
            )
        if self.max_cost_usd is None:
            return
        if made.usd is None or made.price is None:
            raise BudgetError(
                f"The price of training {made.model} with this engine is unknown, so "
                f"max_cost_usd={self.max_cost_usd:g} can't be checked; nothing was sent. Set the "
                f"price: prices={{{made.model!r}: USD per million trained tokens}}."
            )
        if made.usd > self.max_cost_usd:
            raise BudgetError(
                f"Training would cost about ${made.usd:,.2f}, more than "
                f"max_cost_usd={self.max_cost_usd:g}: {_sum(made)} at {made.price}. "
                f"{_ADVICE} max_cost_usd."
            )


_ADVICE = "Nothing was sent. Select fewer chats, set fewer epochs, or raise"


def within_budget(rows: Iterator[Row], budget: Budget, target: Target) -> Iterator[Row]:
    """Yield the rows; after the last, check them against the limits.

    The cost depends on engine and base, so `max_cost_usd` applies once they are known.

    Raises:
        BudgetError: The training rows exceed a limit.
    """
    examples = tokens = 0
    is_estimated = False
    for row in rows:
        if row.part == "train":
            examples += 1
            tokens += tokens_of(row)
            is_estimated = is_estimated or row.tokens is None
        yield row
    made = estimate(
        target, examples, tokens, tokens_are_estimated=is_estimated, prices=budget.prices
    )
    if target.model is None:
        budget = Budget(max_tokens=budget.max_tokens)
    budget.check(made)


def _sum(made: Estimate) -> str:
    about = "about " if made.tokens_are_estimated else ""
    how = " (estimated from bytes)" if made.tokens_are_estimated else ""
    epochs = "epoch" if made.n_epochs == 1 else "epochs"
    return (
        f"{about}{made.trained_tokens:,} trained tokens: {made.tokens:,} tokens{how} in "
        f"{made.examples:,} examples x {made.n_epochs} {epochs} ({made.epochs_basis})"
    )
