"""Training examples that are created when they are iterated."""

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.checks import Findings
from langchain_finetune.convert.estimate import Prices
from langchain_finetune.convert.jsonl import JsonlWriter, WrittenFile
from langchain_finetune.convert.report.conversion_report import ConversionReport, make_report
from langchain_finetune.convert.report.statistics import Tally
from langchain_finetune.convert.rows import Example, Outcome, Part, Row, Target
from langchain_finetune.convert.split import PARTS, Split
from langchain_finetune.engines import ENGINES
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind
from langchain_finetune.sessions import Sessions, Skip

MakeRows = Callable[[Iterable[ChatSession], Outcome, Target], Iterator[Row]]
"""Creates the rows of sessions, and records rejected chats in the outcome."""


class Examples:
    """Training examples, created again each time they are iterated.

    Iterating yields dicts, exactly the lines of a training file, of all parts together; see `part`.

    Args:
        sessions: The chats.
        make_rows: Creates their rows.
        split: How they are split.
        settings: Settings of the conversion, as JSON data.

    Attributes:
        split: How they are split.
        settings: Settings of the conversion, as JSON data.

    Example:
        >>> examples = Examples([], lambda sessions, outcome, target: iter([]))
        >>> list(examples), examples.rejected
        ([], [])
    """

    def __init__(
        self,
        sessions: Iterable[ChatSession],
        make_rows: MakeRows,
        *,
        split: Split = Split(),  # noqa: B008 - it is frozen
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._sessions = sessions
        self._make_rows = make_rows
        self.split = split
        self.settings = settings or {}
        self._outcome: Outcome | None = None

    def __iter__(self) -> Iterator[Example]:
        return (row.example for row in self.rows())

    @property
    def method(self) -> LineKind:
        """Format of the lines; see `Convert`."""
        method: LineKind = self.settings.get("method", "supervised")
        return method

    def rows(self, target: Target = Target()) -> Generator[Row, None, None]:  # noqa: B008 - it is frozen
        """Yield the examples with their metadata.

        Args:
            target: What will be trained; it applies to what `Convert` does not specify.
        """
        self._outcome = Outcome()
        yield from self._make_rows(self._sessions, self._outcome, target)

    def part(self, name: Part) -> "Examples":
        """Return the examples of one part, created again each time they are iterated, too.

        Args:
            name: `train`, `validation` or `test`.

        Raises:
            ConvertError: There is no such part, or `Convert` holds out nothing for it.

        Example:
            ```python
            examples = (loader | Convert(split=Split(test=0.1))).invoke({})
            for example in examples.part("test"):
                answer = model.invoke(example["messages"][:-1])
            ```
        """
        if name not in PARTS:
            raise ConvertError(f"The part must be one of {', '.join(PARTS)}, not {name!r}.")
        if not self.split.asks_for(name):
            raise ConvertError(
                f"Nothing is held out for {name}: set Convert(split=Split({name}=0.1))."
            )
        return Examples(
            self._sessions,
            lambda *given: (row for row in self._make_rows(*given) if row.part == name),
            settings={**self.settings, "part": name},
        )

    def report(
        self,
        *,
        engine: str | None = None,
        model: str | None = None,
        n_epochs: int | None = None,
        prices: Prices | None = None,
        text: bool = False,
    ) -> ConversionReport:
        """Read all chats once, in flat memory, and return a report.

        Args:
            engine: The engine to train with, such as `openai` or `local`.
            model: The base model, whose estimate comes first; by default that of `Convert`.
            n_epochs: Number of epochs; None leaves it to the engine.
            prices: USD per million trained tokens, by base, instead of the known prices.
            text: Quote the beginnings of the most unusual examples. By default the report
                contains numbers and ids only.

        Raises:
            ConvertError: `n_epochs` is below 1, or a price below 0.

        Example:
            ```python
            report = examples.report(engine="local", model="nano")
            print(report.kept, report.tokens.median, report.skipped)
            report.to_html("report.html")
            ```
        """
        if n_epochs is not None and n_epochs < 1:
            raise ConvertError(f"n_epochs must be at least 1, not {n_epochs}.")
        for base, usd in (prices or {}).items():
            if not isinstance(usd, int | float) or not 0 <= usd < float("inf"):
                raise ConvertError(
                    f"The price of {base} must be USD per million tokens, at least 0, not {usd!r}."
                )
        if engine is not None and engine not in ENGINES:
            raise ConvertError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}.")
        target = Target(engine, model or self.settings.get("model"), n_epochs=n_epochs)
        tally = Tally(text=text)
        for row in self.rows(target):
            tally.add(row)
        return self.summary(tally, target, prices)

    def summary(
        self, tally: Tally, target: Target, prices: Prices | None = None
    ) -> ConversionReport:
        """Return the report of the last iteration.

        Args:
            tally: Its statistics.
            target: What will be trained.
            prices: USD per million trained tokens, by base.
        """
        return make_report(
            tally,
            target,
            sessions=self.chats_read,
            rejected=self.rejected,
            notes=self.notes,
            findings=self.findings,
            prices=prices,
        )

    @property
    def origin(self) -> Mapping[str, Any] | None:
        """The loader and its query, if known; see `Sessions`."""
        return self._sessions.origin if isinstance(self._sessions, Sessions) else None

    @property
    def outcome(self) -> Outcome:
        """Outcome of the last iteration so far.

        Raises:
            ConvertError: There was no iteration yet: no counts are known, not even that they are 0.
        """
        if self._outcome is None:
            raise ConvertError(
                "Nothing was read yet: iterate the examples, write them or call report() first."
            )
        return self._outcome

    @property
    def rejected(self) -> list[Skip]:
        """Chats that the last iteration left out; the loader's skips come first.

        Raises:
            ConvertError: There was no iteration yet.
        """
        made = self.outcome.rejected
        return [*self._sessions.skipped, *made] if isinstance(self._sessions, Sessions) else [*made]

    @property
    def chats_read(self) -> int:
        """Number of chats that the last iteration has read, including those that were left out.

        Raises:
            ConvertError: There was no iteration yet.
        """
        return len(self.rejected) - len(self.outcome.rejected) + self.outcome.sessions

    @property
    def notes(self) -> dict[str, int]:
        """Other counts of the last iteration, of the loader and the conversion.

        `trimmed_messages` counts messages after a chat's last answer, which are not trained on;
        `response_format_left_out` counts chats with a response format that is not in their line
        (`trained_contract` has it): the engine takes none, or the trace lacks the schema;
        `left_out.<key>` counts examples that lost a key which the engine does not take.

        Raises:
            ConvertError: There was no iteration yet.
        """
        counts = self.outcome.counts
        noted = Counter(self._sessions.notes) if isinstance(self._sessions, Sessions) else Counter()
        return dict(noted + counts)

    @property
    def findings(self) -> Findings:
        """Findings of the last iteration: errors, warnings and fixed errors.

        All are counted; the first hundred of each code are kept.

        Raises:
            ConvertError: There was no iteration yet.
        """
        return self.outcome.findings

    def rejected_by_reason(self) -> dict[str, int]:
        """Return the number of rejected chats by reason code, most frequent first.

        Raises:
            ConvertError: There was no iteration yet.
        """
        return dict(Counter(skip.code for skip in self.rejected).most_common())

    def write_jsonl(self, path: str | os.PathLike[str]) -> WrittenFile:
        """Write the training file in one pass; it appears when it is complete.

        Args:
            path: The file to write; an existing one is replaced.

        Returns:
            Number of lines, size and SHA-256 of the file.

        Raises:
            ConvertError: The examples are split: one file would train on the test part.
        """
        if any(self.split.asks_for(part) for part in PARTS if part != "train"):
            raise ConvertError(
                "These examples are split: choose the part for the file, such as "
                "examples.part('train').write_jsonl(path)."
            )
        with JsonlWriter(Path(path)) as writer:
            for row in self.rows():
                writer.write(row.line)
        return writer.written()

    def __repr__(self) -> str:
        return "Examples(<created when iterated>)"

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, __: Any) -> dict[str, Any]:
        return {"title": cls.__name__, "type": "array", "items": {"type": "object"}}
