"""Chats from files: exports of LangSmith, recordings of `RunRecorder`, training files."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ConfigDict

from langchain_finetune.dialects.fast_path import traced_line
from langchain_finetune.dialects.file_row import (
    is_training_line,
    mean_score,
    read_training_line,
    run_of_row,
    tools_are_unknown,
)
from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import (
    Overrides,
    SessionLoader,
    as_changes,
    count_reasoning,
    is_wanted,
)
from langchain_finetune.loaders.file_formats import Encode, FileRow, find_files, nothing, read_rows
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import EncodedChat, FineTuningSession, Sessions, Skip

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class RunFileChatLoader(SessionLoader):
    """Load chats from files, with no service at all: one session a run.

    What a file is shows in its content, not in its name:

    - JSON lines, one run a line, as `RunRecorder`, the `langsmith` CLI or your own script writes
      them; and JSON: one run, a list, or `{"runs": [...]}`;
    - Parquet, as LangSmith's bulk export writes it (needs the extra `files`);
    - JSON lines of OpenAI's training formats: supervised, preference, prompt and completion.

    JSON may be packed with gzip or zstd (the latter needs the extra `files`). JSON lines and
    Parquet are streamed, so memory stays flat; JSON documents are read whole.

    A row that can't be read is skipped; its id is `path:line`. Runs of other types than `llm` are
    no chats: they are only counted, in `Sessions.notes["not_an_llm_run"]`. A file without the
    field `extra`, such as the CLI's, does not say which tools a run had:
    `Sessions.notes["tools_unknown"]` counts such chats.

    Args:
        path: A file, a pattern such as `runs/**/*.jsonl`, a folder (also one with `year=`,
            `month=`, `day=` below), or several of these.
        where: Says of a run (its JSON) whether to load it; all by default.
        score: Key of the feedback whose mean becomes the session's `score`. It is that of the run
            itself (its `feedback_stats`); what users said of the root is not in the run's row.
        reasoning: How to handle the models' reasoning: `drop` it, counted in
            `Sessions.notes["dropped_reasoning"]`, or `keep` it as `reasoning_content`.

    Raises:
        LoadError: When read: a file is missing, empty, cut off or of another format.

    Example:
        ```python
        loader = RunFileChatLoader("export/", where=lambda run: "beta" not in run["tags"])
        examples = (loader | Convert()).invoke({})
        ```
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    path: Paths
    where: Callable[[Mapping[str, Any]], bool] | None = None
    score: str | None = None
    reasoning: ReasoningPolicy = "drop"

    def __init__(self, path: Paths, **fields: Any) -> None:
        fields["path"] = path
        super().__init__(**fields)

    def _sessions(self, overrides: Overrides, **settings: Any) -> Sessions:
        changes = {**settings, **as_changes(overrides)}
        sessions: Sessions = Sessions(
            lambda skip: self.read_sessions(changes, skip, sessions.notes),
            strict=self.strict,
            origin=self.origin(changes),
            read_encoded=lambda skip: self._read(changes, skip, sessions.notes, traced_line),
        )
        return sessions

    def read_sessions(
        self,
        overrides: dict[str, Any],
        skip: Callable[[Skip], None],
        notes: Counter[str] | None = None,
    ) -> Iterator[FineTuningSession]:
        """Yield the sessions file after file; rows that hold no chat are skipped.

        Raises:
            LoadError: A file is missing, empty, cut off, damaged or of another format.
        """
        notes = Counter() if notes is None else notes
        for chat in self._read(overrides, skip, notes, nothing):
            assert not isinstance(chat, EncodedChat)
            yield chat

    def _read(
        self,
        overrides: dict[str, Any],
        skip: Callable[[Skip], None],
        notes: Counter[str],
        encoded: Encode,
    ) -> Iterator[FineTuningSession | EncodedChat]:
        unknown = set(overrides) - {"path", "where", "score", "reasoning"}
        if unknown:
            raise LoadError(f"RunFileChatLoader has no setting {min(unknown)!r}.")
        path: Paths = overrides.get("path", self.path)
        wanted = _Wanted(
            overrides.get("where", self.where),
            overrides.get("score", self.score),
            overrides.get("reasoning", self.reasoning),
        )
        if wanted != _Wanted():
            encoded = nothing  # Somebody looks at every run.
        for file in find_files([path] if isinstance(path, str | os.PathLike) else path):
            for row in read_rows(file, encoded):
                if isinstance(row, EncodedChat):
                    yield row
                else:
                    sessions = _sessions_of(row, wanted, skip, notes)
                    yield from count_reasoning(sessions, notes)


@dataclass(frozen=True)
class _Wanted:
    """What the loader's arguments of these names ask for."""

    where: Callable[[Mapping[str, Any]], bool] | None = None
    score: str | None = None
    reasoning: ReasoningPolicy = "drop"


def _sessions_of(
    row: FileRow,
    wanted: _Wanted,
    skip: Callable[[Skip], None],
    notes: Counter[str],
) -> Iterator[FineTuningSession]:
    data = row.data
    if not isinstance(data, Mapping):
        skip(Skip(row.place, "broken_line", "The line is no JSON object."))
        return
    if is_training_line(data):
        read = partial(read_training_line, data, row.place, wanted.reasoning)
        yield from readable(row.place, read, skip)
        return
    if str(data.get("run_type") or "llm").lower() != "llm":
        # A trace has many of them: a skip for each would fill the memory.
        notes["not_an_llm_run"] += 1
        return
    try:
        run = run_of_row(data, row.place)
    except UnreadableChatError as error:
        skip(Skip(_id(data, row), error.code, str(error)))
        return
    # Outside of `readable`: what the caller's own function raises is no broken run.
    if not is_wanted(run, wanted.where, _id(run, row)):
        return
    for session in readable(_id(run, row), partial(read_run, run, wanted.reasoning), skip):
        if tools_are_unknown(run):
            notes["tools_unknown"] += 1
        mean = mean_score(run, wanted.score) if wanted.score else None
        if mean is not None:
            session["score"] = mean
        yield session


def _id(data: Mapping[str, Any], row: FileRow) -> str:
    return str(data.get("id") or data.get("run_id") or row.place)
