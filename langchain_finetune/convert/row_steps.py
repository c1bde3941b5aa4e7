"""The steps of a conversion that look at one chat at a time: other processes can take them.

What looks at several chats comes after them: duplicates, the split, limits of the whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.checks import Profile
from langchain_finetune.convert.check_rows import checked_rows
from langchain_finetune.convert.completion import completion_rows
from langchain_finetune.convert.contract import prints_of
from langchain_finetune.convert.duplicates import rows_a_band
from langchain_finetune.convert.fingerprints import near_print, row_key
from langchain_finetune.convert.preference import preference_rows
from langchain_finetune.convert.redaction import Redact, redacted_rows
from langchain_finetune.convert.report.statistics import facts_of
from langchain_finetune.convert.response_format import formatted_rows, trimmed_rows
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.secrets import SecretAction, secret_rows
from langchain_finetune.convert.supervised import Targets, supervised_rows
from langchain_finetune.convert.tokens.count import CountTokens
from langchain_finetune.convert.tokens.counter import Counter, counter_of
from langchain_finetune.convert.too_long import TooLong, fits
from langchain_finetune.convert.truncated import Truncated, whole_rows
from langchain_finetune.convert.unpaired_preference import unpaired_preference_rows
from langchain_finetune.methods import LineKind


@dataclass(frozen=True, kw_only=True)
class RowSteps:
    """The steps that look at one chat at a time, with their settings; see `Convert`.

    Attributes:
        target: The model whose tokens are counted.
        near: The threshold of near duplicates, if a later step looks for them.
    """

    method: LineKind
    targets: Targets
    rules: Profile
    fix: bool
    truncated: Truncated
    redact: Redact | None
    secrets: SecretAction
    near: float | None
    count_tokens: CountTokens
    max_example_tokens: int | None
    too_long: TooLong
    target: Target

    def counter(self) -> Counter | None:
        """Return what counts tokens, if the model is known.

        Raises:
            ConvertError: The tokenizer can't be read or downloaded.
        """
        return counter_of(self.target, self.count_tokens, self.max_example_tokens)

    def made(self, sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
        """Yield the rows of sessions; those of preferences need all sessions."""
        match self.method:
            case "supervised":
                return supervised_rows(sessions, outcome, self.targets)
            case "preference":
                return preference_rows(sessions, outcome)
            case "unpaired_preference":
                return unpaired_preference_rows(sessions, outcome)
            case "completion":
                return completion_rows(sessions, outcome)

    def checked(self, rows: Iterator[Row], outcome: Outcome) -> Iterator[Row]:
        """Yield the rows that are valid, as they are to be trained on."""
        rows = formatted_rows(rows, outcome, self.rules)
        rows = trimmed_rows(rows, outcome, self.rules)
        rows = whole_rows(rows, outcome, self.truncated)
        if self.redact:
            rows = redacted_rows(rows, outcome, self.redact)
        rows = secret_rows(rows, outcome, self.secrets)
        return checked_rows(rows, outcome, self.rules, method=self.method, fix=self.fix)

    def look_ahead(self, rows: list[Row], counter: Counter | None) -> None:
        """Compute what later steps and reports ask of valid rows, which these keep."""
        self._keep(rows)
        if counter is None:
            return
        for row, fit in fits(iter(rows), counter, self.too_long, self.rules):
            row.fit = fit
            if fit.row is not None and fit.row is not row:
                self._keep([fit.row])

    def _keep(self, rows: list[Row]) -> None:
        bands = rows_a_band(self.near) if self.near is not None else 0
        for row in rows:
            row_key(row)
            facts_of(row)
            prints_of(row)
            if bands:
                near_print(row, bands)
