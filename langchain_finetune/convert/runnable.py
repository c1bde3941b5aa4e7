"""`Convert`: the step from sessions to training examples."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.chat_sessions import ChatSession
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict

from langchain_finetune.convert.checked import checked_rows, strict_rows
from langchain_finetune.convert.checks import OPENAI, PROFILES, Profile, RulesName
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.supervised import supervised_rows
from langchain_finetune.loaders.base import composable, sessions_of


class Convert(RunnableSerializable[Iterable[ChatSession], Examples]):
    """Make training examples of sessions: check each, keep what is fit, count what is not.

    Takes what a loader of this package gives, or any iterable of `ChatSession`. Any
    `BaseChatLoader` may stand on its left in a pipe. Returns `Examples`, which are made when they
    are iterated, so memory stays flat.

    Args:
        rules: Whose rules an example has to meet: `openai`, `azure`, `nebius` or `local`. By
            default those of the engine that `FineTune` names, or else OpenAI's.
        mend: Put right what can safely be put right, such as an empty list of tools or an answer
            that must not be learnt beside others that can; counted in `Examples.notes` as
            `mended.<code>`.
        strict: Raise a `ConvertError` after the last example if a chat was left out, by the
            loader or here. It names the first twenty and counts all.

    Example:
        ```python
        examples = (loader | Convert()).invoke({})
        file = examples.write_jsonl("train.jsonl")
        print(file.examples, file.sha256, examples.rejected_by_reason())
        ```
    """

    model_config = ConfigDict(extra="forbid")

    rules: RulesName | None = None
    mend: bool = False
    strict: bool = False

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
        return Examples(sessions, self._rows)

    async def _aexamples(self, sessions: Iterable[ChatSession]) -> Examples:
        return self._examples(sessions)

    def _rows(
        self, sessions: Iterable[ChatSession], outcome: Outcome, target: Target
    ) -> Iterator[Row]:
        """All steps of the conversion, in their order."""
        rows = supervised_rows(sessions, outcome)
        rows = checked_rows(rows, outcome, self._profile(target), mend=self.mend)
        return strict_rows(rows, outcome, sessions) if self.strict else rows

    def _profile(self, target: Target) -> Profile:
        name = self.rules or target.engine
        return next((rules for rules in PROFILES.values() if rules.name == name), OPENAI)
