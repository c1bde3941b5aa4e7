"""Training examples that are made when they are iterated."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.checks import Findings
from langchain_finetune.convert.jsonl import JsonlWriter, WrittenFile
from langchain_finetune.convert.rows import Example, Outcome, Row, Target
from langchain_finetune.sessions import Sessions, Skip

MakeRows = Callable[[Iterable[ChatSession], Outcome, Target], Iterator[Row]]
"""Makes the rows of sessions, and notes in the outcome what it left out."""


class Examples:
    """Training examples, made anew each time they are iterated.

    Iterating gives plain dicts: exactly the lines of the training file.

    Args:
        sessions: The chats.
        make_rows: Makes their rows.

    Attributes:
        outcome: What the last iteration left out and noticed so far.

    Example:
        >>> examples = Examples([], lambda sessions, outcome, target: iter([]))
        >>> list(examples), examples.rejected
        ([], [])
    """

    def __init__(
        self,
        sessions: Iterable[ChatSession],
        make_rows: MakeRows,
    ) -> None:
        self._sessions = sessions
        self._make_rows = make_rows
        self.outcome = Outcome()

    def __iter__(self) -> Iterator[Example]:
        return (row.example for row in self.rows())

    def rows(self, target: Target = Target()) -> Iterator[Row]:  # noqa: B008 - it is frozen
        """Yield the examples with what is known of them.

        Args:
            target: What they are for; it counts where `Convert` left that open.
        """
        self.outcome = Outcome()
        yield from self._make_rows(self._sessions, self.outcome, target)

    @property
    def rejected(self) -> list[Skip]:
        """Chats of the last iteration that make no example; the loader's skips come first."""
        skipped = self._sessions.skipped if isinstance(self._sessions, Sessions) else []
        return [*skipped, *self.outcome.rejected]

    @property
    def notes(self) -> dict[str, int]:
        """What was noticed in the last iteration, counted, by the loader and in conversion.

        `trimmed_messages` counts messages after a chat's last answer: they teach nothing.
        """
        noticed = Counter(self._sessions.notes) if isinstance(self._sessions, Sessions) else {}
        return dict(Counter(noticed) + self.outcome.counts)

    @property
    def findings(self) -> Findings:
        """What the checks found in the last iteration: errors, warnings and mended errors.

        All are counted; the first hundred of each code are kept.
        """
        return self.outcome.findings

    def rejected_by_reason(self) -> dict[str, int]:
        """Return how many chats were rejected for each reason code, most frequent first."""
        return dict(Counter(skip.code for skip in self.rejected).most_common())

    def write_jsonl(self, path: str | os.PathLike[str]) -> WrittenFile:
        """Write the training file in one pass, and put it in place when it is whole.

        Args:
            path: The file to write; an older one is replaced.

        Returns:
            Count, size and SHA-256 of what was written.
        """
        with JsonlWriter(Path(path)) as writer:
            for row in self.rows():
                writer.write(row.line)
        return writer.written()

    def __repr__(self) -> str:
        return "Examples(<made when iterated>)"
