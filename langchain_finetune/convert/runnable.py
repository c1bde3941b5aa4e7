"""`Convert`: the step from sessions to training examples."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.chat_sessions import ChatSession
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field

from langchain_finetune.convert.budget import Budget, within_budget
from langchain_finetune.convert.checked import checked_rows
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.prices import Prices
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.split import Split, split_rows
from langchain_finetune.convert.supervised import supervised_rows
from langchain_finetune.loaders.base import composable, named, sessions_of


class Convert(RunnableSerializable[Iterable[ChatSession], Examples]):
    """Make training examples of sessions: check each, keep what is fit, count what is not.

    Takes what a loader of this package gives, or any iterable of `ChatSession`. Any
    `BaseChatLoader` may stand on its left in a pipe. Returns `Examples`, which are made when they
    are iterated, so memory stays flat.

    Args:
        split: Keeps some conversations from training, to validate and to test with; see `Split`.
        max_cost_usd: Raise a `BudgetError` after the last example if training on all would cost
            more. It counts once engine and base are known, as in `FineTune`.
        max_tokens: The same for the tokens to train on; each epoch counts.
        prices: USD per million trained tokens, by base model, in place of the known ones.

    Example:
        ```python
        examples = (loader | Convert()).invoke({})
        file = examples.write_jsonl("train.jsonl")
        print(file.examples, file.sha256, examples.rejected_by_reason())
        ```
    """

    model_config = ConfigDict(extra="forbid")

    split: Split | None = None
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=0)
    prices: Prices | None = None

    def __ror__(self, other: Any) -> Any:
        """Compose with a Runnable, or with any `BaseChatLoader`, on the left."""
        return super().__ror__(composable(other))

    def invoke(
        self,
        input: Iterable[ChatSession],  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Examples:
        """Return the examples, to be made when they are iterated.

        Args:
            input: Sessions, or a loader.
            config: LangChain's run configuration.
            kwargs: Not used.

        Raises:
            ConvertError: The input is nothing that sessions can be read from.
        """
        return self._call_with_config(self._examples, sessions_of(input), config, **kwargs)

    async def ainvoke(
        self,
        input: Iterable[ChatSession],  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Examples:
        """Return the examples like `invoke`; there is nothing to wait for yet."""
        return await self._acall_with_config(self._aexamples, sessions_of(input), config, **kwargs)

    def _examples(self, sessions: Iterable[ChatSession]) -> Examples:
        return Examples(
            sessions,
            self._rows,
            split=self.split or Split(),
            settings=self.model_dump(
                mode="json", exclude={"name"}, exclude_defaults=True, fallback=named
            ),
        )

    async def _aexamples(self, sessions: Iterable[ChatSession]) -> Examples:
        return self._examples(sessions)

    def _rows(
        self, sessions: Iterable[ChatSession], outcome: Outcome, target: Target
    ) -> Iterator[Row]:
        """All steps of the conversion, in their order."""
        rows = supervised_rows(sessions, outcome)
        rows = checked_rows(rows, outcome)
        if self.split is not None:
            rows = split_rows(rows, self.split, outcome)
        budget = Budget(self.max_cost_usd, self.max_tokens, self.prices)
        return within_budget(rows, budget, target) if budget.limits() else rows
