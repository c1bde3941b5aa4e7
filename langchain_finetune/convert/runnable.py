"""`Convert`: the step from sessions to training examples."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

from langchain_core.chat_sessions import ChatSession
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field, model_validator

from langchain_finetune.checks import OPENAI, PROFILES, Profile, RulesName
from langchain_finetune.convert.budget import Budget, within_budget
from langchain_finetune.convert.check_rows import checked_rows, strict_rows
from langchain_finetune.convert.completion import completion_rows
from langchain_finetune.convert.duplicates import (
    Contamination,
    Duplicates,
    uncontaminated_rows,
    unique_rows,
)
from langchain_finetune.convert.estimate import Prices
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.preference import preference_rows
from langchain_finetune.convert.redaction import Redact, redacted_rows
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.secrets import SecretAction, secret_rows
from langchain_finetune.convert.split import Split, split_rows
from langchain_finetune.convert.supervised import Targets, supervised_rows
from langchain_finetune.convert.tokens.count import CountTokens
from langchain_finetune.convert.tokens.counter import counter_of
from langchain_finetune.convert.too_long import TooLong, fitting_rows
from langchain_finetune.loaders.base import composable, named, sessions_of
from langchain_finetune.methods import LineKind


class Convert(RunnableSerializable[Iterable[ChatSession], Examples]):
    """Make training examples of sessions: check each, keep what is fit, count what is not.

    Takes what a loader of this package gives, or any iterable of `ChatSession`. Any
    `BaseChatLoader` may stand on its left in a pipe. Returns `Examples`, which are made when they
    are iterated, so memory stays flat.

    Args:
        method: What the lines of the training file hold.

            - `supervised`: chats whose answers are learnt, for fine-tuning jobs of the method
              `supervised` (the default of every engine).
            - `preference`: pairs of a better and a worse answer to the same input, for jobs of the
              method `dpo`. They are made of corrections, references and scores, see
              `preference_rows`; text only. Pairs by score come at the end of an iteration.
            - `completion`: prompt and completion of plain language models, for engines that train
              base models without a chat form. The embedded engine and OpenAI's chat models take
              none.

            A chat is no completion and a plain language model's run is no chat: each is skipped
            with its reason (`chat`, `completion_run`) where the other is asked for.
        targets: The answers that a supervised line teaches: `all`, the `last` one, or those for
            which a function of the wire message (a copy) and its index returns true. The others
            get `weight: 0`. An answer that has a weight in the data keeps it, whatever `targets`
            says; a chat that is left without a target is rejected (`no_target`).
        rules: Whose rules an example has to meet: `openai`, `azure`, `nebius` or `local`. By
            default those of the engine that `FineTune` names, or else OpenAI's.
        fix: Put right what can safely be put right in supervised lines, such as an empty list of
            tools or an answer that must not be learnt beside others that can; counted in
            `Examples.notes` as `fixed.<code>`.
        strict: Raise a `ConvertError` after the last example if a chat was left out, by the
            loader or here. It names the first twenty; its `rejected` has all.
        model: Whose tokens and limits count; by default the model that `FineTune` trains.
        count_tokens: `offline` counts with what is on this machine: exactly for local bases, and
            for OpenAI's models where tiktoken's vocabulary is in its cache; else whatever has
            fewer bytes than the limit is known to fit. `always` downloads what it takes, or fails.
        max_example_tokens: Most tokens of an example; by default the model's own limit.
        too_long: `reject` examples that have more, or `drop_oldest`: leave out whole turns from
            their beginning, never the prompt, and never the last turn.
        redact: Takes a text and returns it without what is private, such as what
            `langsmith.anonymizer.create_anonymizer` makes. It sees messages, tool results, the
            strings in the arguments of calls, and tools' prose and values; see `change_texts`.
        secrets: What to do about API keys and the like: `report` them (`notes["secrets.openai"]`,
            and a finding for each message), `reject` the example or `redact` the secret.
        duplicates: `keep` chats that come more than once, and count them; or drop all but the
            first: `drop_exact`, or `drop_near` for those nearly the same, too.
        near_threshold: How similar near duplicates are: the share of runs of three words that they
            have in common, of all that they have.
        contamination: What no part of a split repeats of another: `exact` copies, which all go
            into one part, or `near` ones, too: of those the one that trains is rejected, as
            `contaminated`.
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

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    method: LineKind = "supervised"
    targets: Targets = "all"
    rules: RulesName | None = None
    fix: bool = False
    strict: bool = False
    redact: Redact | None = None
    secrets: SecretAction = "report"
    duplicates: Duplicates = "keep"
    near_threshold: float = Field(default=0.9, ge=0.5, le=1)
    contamination: Contamination = "exact"
    model: str | None = Field(default=None, min_length=1)
    count_tokens: CountTokens = "offline"
    max_example_tokens: int | None = Field(default=None, gt=0)
    too_long: TooLong = "reject"
    split: Split | None = None
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=0)
    prices: Prices | None = None

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method != "supervised" and (self.targets != "all" or self.fix):
            name = "fix" if self.targets == "all" else "targets"
            raise ValueError(f"{name} belongs to method='supervised', not {self.method!r}")
        return self

    @property
    def InputType(self) -> Any:  # noqa: N802 - Runnable's name for it
        """Any iterable: pydantic can't read core's `ChatSession` before Python 3.12."""
        return Iterable[Any]

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
            kwargs: There are none.

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
        # What is trained is paid for, whosever tokens are counted.
        paid = replace(target, model=target.model or self.model)
        target = replace(target, model=self.model or target.model)
        counter = counter_of(target, self.count_tokens, self.max_example_tokens)
        near = self.near_threshold if self.contamination == "near" else None
        budget = Budget(self.max_cost_usd, self.max_tokens, self.prices)
        rows = self._made_rows(sessions, outcome)
        if self.redact:
            rows = redacted_rows(rows, outcome, self.redact)
        rows = secret_rows(rows, outcome, self.secrets)
        profile = self._profile(target)
        rows = checked_rows(rows, outcome, profile, method=self.method, fix=self.fix)
        rows = unique_rows(rows, outcome, self.duplicates, self.near_threshold)
        if counter:
            rows = fitting_rows(rows, outcome, counter, self.too_long, profile)
        if self.split is not None:
            rows = split_rows(rows, self.split, outcome)
            rows = uncontaminated_rows(rows, self.split, outcome, near)
        if budget.limits():
            rows = within_budget(rows, budget, paid)
        return strict_rows(rows, outcome, sessions) if self.strict else rows

    def _made_rows(self, sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
        match self.method:
            case "supervised":
                return supervised_rows(sessions, outcome, self.targets)
            case "preference":
                return preference_rows(sessions, outcome)
            case "completion":
                return completion_rows(sessions, outcome)

    def _profile(self, target: Target) -> Profile:
        name = self.rules or target.engine
        return next((rules for rules in PROFILES.values() if rules.name == name), OPENAI)
