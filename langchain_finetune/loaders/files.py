"""Chats from files: LangSmith's exports, files of `RunRecorder`, training files."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self, TypeVar

from langchain_finetune.arguments import suggestion
from langchain_finetune.content import mapping
from langchain_finetune.dialects.agent_middleware import MARKS
from langchain_finetune.dialects.fast_path import RunColumns, traced_columns, traced_line
from langchain_finetune.dialects.file_row import (
    group_of,
    is_training_line,
    mean_score,
    read_training_line,
    run_of_row,
    tools_are_unknown,
)
from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.otel_spans import run_type
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import (
    Overrides,
    SessionLoader,
    WantedOnce,
    as_changes,
    count_notes,
    is_wanted,
)
from langchain_finetune.loaders.conversations import OrderlessFolder, told_folded
from langchain_finetune.loaders.file_formats import (
    Encode,
    FileRow,
    find_files,
    may_contain,
    read_rows,
)
from langchain_finetune.loaders.file_parts import FilePart, file_parts, read_part
from langchain_finetune.loaders.parquet import JSON_COLUMNS
from langchain_finetune.loaders.reviews import Reviews
from langchain_finetune.loaders.runs import skips_internal
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import (
    FOLDED,
    EncodedChat,
    FineTuningSession,
    SessionParts,
    Sessions,
    Skip,
)

Answer = TypeVar("Answer")

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class RunFileChatLoader(SessionLoader):
    """Load chats from files, without any service: one session per run.

    The format is detected from a file's content, not from its name:

    - JSON Lines, one run per line, as written by `RunRecorder`, the `langsmith` CLI or your own
      script; and JSON: one run, a list, or `{"runs": [...]}`;
    - OpenTelemetry's spans of model calls, one per line, or requests of OTLP in JSON, as written by
      the collector's file exporter;
    - Parquet, as written by LangSmith's bulk export (needs the extra `files`);
    - JSON Lines of OpenAI's training formats: supervised, preference, prompt and completion;
    - JSON Lines of stored chat completions, as `rescue` writes them.

    JSON may be compressed with gzip or zstd (the latter needs the extra `files`). JSON Lines and
    Parquet are streamed, so memory stays flat; JSON documents are read completely.

    A row that can't be read is skipped; its id is `path:line`. Runs of other types than `llm` are
    not chats; they are counted in `Sessions.notes["not_an_llm_run"]`, as are spans of tools and
    agents. A file without the field `extra`, such as the CLI's, lacks the tools of a run;
    `Sessions.notes["tools_unknown"]` counts such chats. `unread_settings` counts chats of
    requests with settings that are unknown here; `source["unread_settings"]` has their names.

    Args:
        path: A file, a pattern such as `runs/**/*.jsonl`, a folder (also with subfolders `year=`,
            `month=`, `day=`), or several of these.
        where: Function of a run's JSON that returns whether to load it; by default all.
        score: Key of the feedback whose mean becomes the session's `score`. It is that of the run
            itself (its `feedback_stats`); feedback on the root is not in the run's row.
        calls: `all` loads every call. `last` skips calls that another call of the same trace or
            thread contains in its history, as `folded`; the files are read twice for it.
        internal_calls: Also load calls that LangChain's agent middleware made for itself, such as
            for a summary; by default they are skipped as `internal_call`.
        group: Name of a field of a line or a run, or of its metadata, such as `customer`: chats
            with the same value are one group, which `Split` holds whole. Without it the lines of a
            training file are grouped by their `group`, `thread_id`, `conversation_id` or
            `session_id`, and runs by their thread or trace.
        reasoning: How to handle the models' reasoning: `drop` it, counted in
            `Sessions.notes["dropped_reasoning"]`, or `keep` it as `reasoning_content`.

    Calls of an agent that a person edited (`HumanInTheLoopMiddleware`) become the edited ones, with
    the model's own as `rejected`; an answer of which nothing was approved is skipped as
    `replaced_call`. The files are searched first for the agents' next calls, which show it. Those
    of langchain before 1.4.7 show edits only with `calls="last"`.

    Raises:
        LoadError: When reading: a file is missing, empty, truncated or has another format.

    Example:
        ```python
        loader = RunFileChatLoader("export/", where=lambda run: "beta" not in run["tags"])
        examples = (loader | Convert()).invoke({})
        ```
    """

    path: Paths
    where: Callable[[Mapping[str, Any]], bool] | None = None
    score: str | None = None
    calls: Literal["all", "last"] = "all"
    internal_calls: bool = False
    group: str | None = None
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
            read_encoded=lambda skip: self._read(changes, skip, sessions.notes, encoded=True),
            parts=lambda: self._parts(changes),
        )
        return sessions

    def read_sessions(
        self,
        overrides: dict[str, Any],
        skip: Callable[[Skip], None],
        notes: Counter[str] | None = None,
    ) -> Iterator[FineTuningSession]:
        """Yield the sessions of one file after another; rows without a chat are skipped.

        Raises:
            LoadError: A file is missing, empty, truncated, damaged or has another format.
        """
        notes = Counter() if notes is None else notes
        for chat in self._read(overrides, skip, notes, encoded=False):
            assert not isinstance(chat, EncodedChat)
            yield chat

    def _read(
        self,
        overrides: dict[str, Any],
        skip: Callable[[Skip], None],
        notes: Counter[str],
        *,
        encoded: bool,
    ) -> Iterator[FineTuningSession | EncodedChat]:
        loader = self._changed(overrides)
        encode = loader._encode() if encoded else None  # noqa: SLF001 - a copy of this one
        reviews = Reviews(most=None)
        folder = OrderlessFolder() if loader.calls == "last" else None
        reviewed = False
        # A later call of an agent shows what people decided, and contains earlier calls.
        wanted = WantedOnce(loader.where)
        first = loader.model_copy(update={"where": wanted.note if folder else None})
        with suppress(LoadError):  # The second reading raises it, after what could be read.
            for session in _chats(first, lambda _: None, Counter(), None, marked=folder is None):
                reviewed = True
                _readable_or_none(partial(reviews.learn, session))
                if folder and _is_call(session) and wanted.last:
                    _readable_or_none(partial(folder.learn, session))
        if folder:
            loader = loader.model_copy(update={"where": wanted.repeat})
        for chat in _chats(loader, skip, notes, None if reviewed else encode):
            if isinstance(chat, EncodedChat) or not reviewed:
                yield chat
            else:
                yield from _settled(chat, reviews, folder, skip)

    def _parts(self, overrides: dict[str, Any]) -> SessionParts | None:
        """Return how other processes can read the files.

        They can't read what depends on other rows: what a later call contains, or shows of what
        people decided.
        """
        loader = self._changed(overrides)
        if loader.calls == "last":
            return None
        first = loader.model_copy(update={"where": None})
        with suppress(LoadError):  # As in `_read`.
            for _ in _chats(first, lambda _: None, Counter(), None, marked=True):
                return None
        return SessionParts(loader._read_part, file_parts(_paths(loader)))  # noqa: SLF001 - a copy of this one

    def _read_part(
        self, part: Any, skip: Callable[[Skip], None], notes: Counter[str], *, encoded: bool
    ) -> Iterator[FineTuningSession | EncodedChat]:
        """Yield the chats of a part of the files; see `Sessions.in_parts`.

        Raises:
            LoadError: A file is truncated or damaged, or `where` failed.
        """
        rows = read_part(FilePart(*part), self._encode() if encoded else None)
        for row in rows:
            yield from _chats_of_row(row, self, skip, notes)

    def _encode(self) -> Encode | None:
        if (self.calls, self.reasoning) != ("all", "drop"):
            return None
        if self.where or self.group:
            # A score is for preferences, which are not made of lines.
            return partial(_encoded, where=self.where, group=self.group)
        return _encoded

    def _changed(self, overrides: dict[str, Any]) -> Self:
        settings = {"path", "where", "score", "calls", "internal_calls", "group", "reasoning"}
        unknown = set(overrides) - settings
        if unknown:
            name = min(unknown)
            near = suggestion(name, type(self).model_fields)
            raise LoadError(f"RunFileChatLoader has no setting {name!r}; {near}")
        return self.model_copy(update=overrides)


def _settled(
    session: FineTuningSession,
    reviews: Reviews,
    folder: OrderlessFolder | None,
    skip: Callable[[Skip], None],
) -> Iterator[FineTuningSession]:
    """Yield a chat as people approved it, unless another one contains it."""
    run_id = str(session.get("source", {}).get("run_id", ""))
    for chat in readable(run_id, lambda: [reviews.applied(session)], skip):
        ask = partial(folder.folded_by, chat) if folder and _is_call(chat) else None
        unit = _readable_or_none(ask) if ask else None
        if unit:
            skip(Skip(run_id, FOLDED, told_folded(unit)))
        else:
            yield chat


_MARKS = tuple(mark.encode() for mark in MARKS)
_NOTHING = EncodedChat("", b"", {}, ())
"""Stands for a line without a mark, or for one that is not wanted."""


def _encoded(
    data: bytes | RunColumns,
    parse: Callable[[], Any],
    where: Callable[[Mapping[str, Any]], bool] | None = None,
    group: str | None = None,
) -> EncodedChat | None:
    """Return the chat of a run that is wanted, with its group; `_NOTHING` if it is not wanted."""
    chat = traced_line(data) if isinstance(data, bytes) else traced_columns(data)
    if chat is None or not (where or group):
        return chat
    run = run_of_row(parse(), chat.id)
    if not is_wanted(run, where, chat.id):
        return _NOTHING
    if group and (name := group_of(run, group)):
        return replace(chat, source={**chat.source, "group": name})
    return chat


def _unmarked(data: bytes | RunColumns, _: Callable[[], Any]) -> EncodedChat | None:
    texts = [data] if isinstance(data, bytes) else [data[name] or b"" for name in JSON_COLUMNS]
    return None if any(mark in text for text in texts for mark in _MARKS) else _NOTHING


def _is_marked(row: FileRow | EncodedChat) -> bool:
    """Return whether a row may show what a person decided on a call."""
    if isinstance(row, EncodedChat) or not isinstance(row.data, Mapping):
        return False
    # A span has its messages in attributes or events.
    return any(mark in text for text in map(str, row.data.values()) for mark in MARKS)


def _chats(
    loader: RunFileChatLoader,
    skip: Callable[[Skip], None],
    notes: Counter[str],
    encoded: Encode | None,
    *,
    marked: bool = False,
) -> Iterator[Any]:
    """Yield the chats of one file after another, or only those that show a person's decision."""
    for file in find_files(_paths(loader)):
        if marked and not may_contain(file, _MARKS):
            continue
        for row in read_rows(file, _unmarked if marked else encoded):
            if marked and not _is_marked(row):
                continue
            yield from _chats_of_row(row, loader, skip, notes)


def _chats_of_row(
    row: FileRow | EncodedChat,
    loader: RunFileChatLoader,
    skip: Callable[[Skip], None],
    notes: Counter[str],
) -> Iterator[Any]:
    if row is _NOTHING:
        return
    if isinstance(row, EncodedChat):
        yield row
    else:
        yield from count_notes(_sessions_of(row, loader, skip, notes), notes)


def _paths(loader: RunFileChatLoader) -> Sequence[str | os.PathLike[str]]:
    path = loader.path
    return [path] if isinstance(path, str | os.PathLike) else path


def _is_call(session: FineTuningSession) -> bool:
    """Return whether a chat is a run; a line of a training file is none, also in a thread."""
    return "line" not in session.get("source", {})


def _readable_or_none(ask: Callable[[], Answer | None]) -> Answer | None:
    """Return an answer, or None for a chat that `Convert` will reject as unreadable."""
    try:
        return ask()
    except UnreadableChatError:
        return None


_FAULTS = {
    "": "The line is not a JSON object.",
    "not_utf8": "The line is not UTF-8 text.",
    "line_too_long": "The line is longer than 256 MiB.",
}
"""What is wrong with a line, by the fault of its row."""


def _sessions_of(
    row: FileRow, loader: RunFileChatLoader, skip: Callable[[Skip], None], notes: Counter[str]
) -> Iterator[FineTuningSession]:
    data = row.data
    if not isinstance(data, Mapping):
        skip(Skip(row.place, row.fault or "broken_line", _FAULTS[row.fault]))
        return
    if is_training_line(data):
        read = partial(read_training_line, data, row.place, loader.reasoning)
        for session in readable(row.place, read, skip):
            yield _grouped(session, data, loader.group)
        return
    is_llm = str(data.get("run_type") or "llm").lower() == "llm"
    is_span = "attributes" in data and "inputs" not in data
    if not is_llm or (is_span and run_type(data) != "llm"):
        # A trace has many of them: a skip for each would take too much memory.
        notes["not_an_llm_run"] += 1
        return
    try:
        run = run_of_row(data, row.place)
    except UnreadableChatError as error:
        skip(Skip(_id(data, row), error.code, str(error)))
        return
    if not loader.internal_calls and skips_internal(run, _id(run, row), skip):
        return
    # Outside of `readable`: an error of the user's function is not a malformed run.
    if not is_wanted(run, loader.where, _id(run, row)):
        return
    for session in readable(_id(run, row), partial(read_run, run, loader.reasoning), skip):
        if tools_are_unknown(run) and "tools_unknown" not in session.get("source", {}):
            notes["tools_unknown"] += 1
        mean = mean_score(run, loader.score) if loader.score else None
        if mean is not None:
            session["score"] = mean
        yield _grouped(session, run, loader.group)


def _grouped(
    session: FineTuningSession, data: Mapping[str, Any], key: str | None
) -> FineTuningSession:
    """Return the session with the group that a field of its row names."""
    if key and (group := group_of(data, key)):
        session["source"] = {**session.get("source", {}), "group": group}
    return session


def _id(data: Mapping[str, Any], row: FileRow) -> str:
    span_id = mapping(data.get("context")).get("span_id") or data.get("spanId")
    return str(data.get("id") or data.get("run_id") or span_id or row.place)
