"""`Convert`: the step from sessions to training examples."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

from langchain_core.chat_sessions import ChatSession
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field, model_validator

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.checks import OPENAI
from langchain_finetune.convert.check_rows import strict_rows
from langchain_finetune.convert.duplicates import (
    Contamination,
    Duplicates,
    uncontaminated_rows,
    unique_rows,
)
from langchain_finetune.convert.estimate import Budget, Prices, within_budget
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.redaction import Redact
from langchain_finetune.convert.row_steps import RowSteps
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.secrets import SecretAction
from langchain_finetune.convert.split import Split, split_rows
from langchain_finetune.convert.supervised import Targets
from langchain_finetune.convert.tokens.count import CountTokens
from langchain_finetune.convert.too_long import TooLong, fitting_rows
from langchain_finetune.convert.truncated import Truncated
from langchain_finetune.convert.workers.rows import closing_at_end, rows_of_workers
from langchain_finetune.engines import ENGINES, EngineName, engine_of
from langchain_finetune.loaders.base import composable, named, sessions_of
from langchain_finetune.methods import LineKind

_CLUSTER = re.compile(r"ray(://[^/@\s]+:\d{1,5})?")


class Convert(CheckedArguments, RunnableSerializable[Iterable[ChatSession], Examples]):
    """Convert sessions to training examples: check each, keep the valid ones, count the others.

    Input: the sessions of a loader of this package, or any iterable of `ChatSession`. Any
    `BaseChatLoader` can be piped into it. Returns `Examples`, which are created when they are
    iterated, so memory stays flat.

    Args:
        method: Format of the training file's lines.

            - `supervised`: chats whose answers are trained on, for fine-tuning jobs of the method
              `supervised` (the default of every engine).
            - `preference`: pairs of a better and a worse answer to the same input, for jobs of the
              method `dpo`. They are made from corrections, references and scores, see
              `preference_rows`; text only. Pairs by score come at the end of an iteration.
            - `unpaired_preference`: chats, each with whether its last answer is desirable, for jobs
              of the method `kto`. They are made from thumbs and corrections, see
              `unpaired_preference_rows`.
            - `completion`: prompt and completion of plain language models, for engines that train
              base models without a chat template. The embedded engine and OpenAI's chat models
              do not support it.

            Chats are skipped as `chat` by `completion`, and runs of plain language models as
            `completion_run` by the other methods.
        targets: The answers of a supervised line to train on: `all`, the `last` one, or those for
            which a function of the wire message (a copy) and its index returns true. The others
            get `weight: 0`. An answer with a weight in the data keeps it; a chat without a target
            is rejected (`no_target`).
        rules: Engine whose rules an example must meet, such as `azure`; all are listed in
            `langchain_finetune.engines.ENGINES`. By default that of `FineTune`, or else OpenAI.
        fix: Fix supervised lines where that is safe, such as an empty list of tools, or an invalid
            answer next to valid ones; counted in `Examples.notes` as `fixed.<code>`.
        strict: Raise a `ConvertError` after the last example if the loader or `Convert` left out a
            chat. It names the first twenty; its `rejected` has all.
        model: Model whose tokenizer and limit apply; by default the one that `FineTune` trains.
        count_tokens: `offline` counts with local files: exactly for local bases, and for OpenAI's
            models if tiktoken's vocabulary is in its cache; otherwise an example with fewer bytes
            than the limit is known to fit. `always` downloads what is missing, or fails.
        max_example_tokens: Most tokens of an example; by default the model's own limit.
        too_long: `reject` examples over the limit, or `drop_oldest`: leave out whole turns from
            the beginning, but never the prompt or the last turn.
        truncated: `reject` answers that were cut off by the token limit or a filter, which would
            teach the model to stop in the middle, or `keep` and report them. The loaders write
            what the run says of it into the chat's `source["finish_reason"]`.
        redact: Function that returns a text without private data, such as one made by
            `langsmith.anonymizer.create_anonymizer`. It is applied to messages, tool results, the
            strings in the arguments of calls, and texts in tools; see `change_texts`.
        secrets: How to handle API keys and other credentials: `report` them
            (`notes["secrets.openai"]`, and a finding for each message), `reject` the example or
            `redact` the secret.
        duplicates: `keep` and count duplicate chats; or drop all but the first: `drop_exact`, or
            `drop_near` for near duplicates, too.
        near_threshold: Similarity of near duplicates: the share of their three-word sequences that
            they have in common.
        contamination: Keep the parts of a split from repeating each other: `exact` copies all go
            into one part; with `near`, training examples similar to held-out ones are rejected as
            `contaminated`, too.
        split: Hold out some conversations for validation and testing; see `Split`.
        max_cost_usd: Raise a `BudgetError` after the last example if training on all would cost
            more. It applies once engine and base are known, as in `FineTune`.
        max_tokens: The same for the number of trained tokens, over all epochs.
        prices: USD per million trained tokens, by base model, instead of the known prices.
        workers: Number of processes that convert; the result is the same for any. They also read
            the files of a `RunFileChatLoader`. All else is read by this process: other loaders,
            `calls="last"`, files with calls that people edited, and preferences. Functions such as
            `redact` and `where` must then be importable: at the top level of a module that is not
            the script itself.
        on: A cluster of Ray that converts, in place of `workers` (extra `ray`): `ray` for the one
            that this machine is part of, or else a new one of this machine alone, or
            `ray://HEAD:10001`. The result is the same. All nodes need the same packages, the
            modules of such functions, and the tokenizer of `model`.

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
    rules: EngineName | None = None
    fix: bool = False
    strict: bool = False
    truncated: Truncated = "reject"
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
    workers: int = Field(default=1, ge=1, le=256)
    on: str | None = None

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method != "supervised" and (self.targets != "all" or self.fix):
            name = "fix" if self.targets == "all" else "targets"
            raise ValueError(f"{name} belongs to method='supervised', not {self.method!r}")
        if self.on is not None and not _CLUSTER.fullmatch(self.on):
            raise ValueError(f"on must be 'ray' or 'ray://HEAD:10001', not {self.on!r}")
        if self.on is not None and self.workers > 1:
            raise ValueError("on and workers exclude each other: a cluster uses all its CPUs")
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
        """Return the examples, which are created when they are iterated.

        Args:
            input: Sessions, or a loader.
            config: LangChain's run configuration.
            kwargs: Unused; accepted for Runnable compatibility.

        Raises:
            ConvertError: The input is not a source of sessions.
        """
        return self._call_with_config(self._examples, sessions_of(input), config, **kwargs)

    def _examples(self, sessions: Iterable[ChatSession]) -> Examples:
        return Examples(
            sessions,
            self._rows,
            split=self.split or Split(),
            settings=self.model_dump(
                # Who makes the files changes nothing in them.
                mode="json",
                exclude={"name", "workers", "on"},
                exclude_defaults=True,
                fallback=named,
            ),
        )

    def _rows(
        self, sessions: Iterable[ChatSession], outcome: Outcome, target: Target
    ) -> Iterator[Row]:
        """All steps of the conversion, in order."""
        # The cost is that of the trained model, whichever tokenizer counts.
        paid = replace(target, model=target.model or self.model)
        steps = self._row_steps(replace(target, model=self.model or target.model))
        near = self.near_threshold if self.contamination == "near" else None
        budget = Budget(self.max_cost_usd, self.max_tokens, self.prices)
        counter = None
        workers = self.on or self.workers
        if workers == 1:
            counter = steps.counter()
            rows = steps.checked(steps.made(sessions, outcome), outcome)
        else:
            rows = made = rows_of_workers(steps, sessions, outcome, workers)
        rows = unique_rows(rows, outcome, self.duplicates, self.near_threshold)
        if counter or workers != 1:
            rows = fitting_rows(rows, outcome, counter, self.too_long, steps.rules)
        if self.split is not None:
            rows = split_rows(rows, self.split, outcome)
            rows = uncontaminated_rows(rows, self.split, outcome, near)
        if budget.limits():
            rows = within_budget(rows, budget, paid)
        rows = strict_rows(rows, outcome, sessions) if self.strict else rows
        return rows if workers == 1 else closing_at_end(rows, made)

    def _row_steps(self, target: Target) -> RowSteps:
        looks_for_near = self.duplicates == "drop_near" or (
            self.split is not None and self.contamination == "near"
        )
        name = self.rules or target.engine
        return RowSteps(
            method=self.method,
            targets=self.targets,
            rules=engine_of(name).profile if name in ENGINES else OPENAI,
            fix=self.fix,
            truncated=self.truncated,
            redact=self.redact,
            secrets=self.secrets,
            near=self.near_threshold if looks_for_near else None,
            count_tokens=self.count_tokens,
            max_example_tokens=self.max_example_tokens,
            too_long=self.too_long,
            target=target,
        )
