"""A session: one chat of the app, with its tools and its source."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.errors import LoadError
from langchain_finetune.messages import WireMessage, WireMessages, message_to_wire

SETTINGS = ("tools", "functions", "parallel_tool_calls", "response_format")
"""Fields of a request, other than its messages, that change how the model should answer."""

UNKNOWN_FORMAT = {"type": "unknown"}
"""The response format of a request whose schema is not in the trace."""

_FIRST = 5
"""How many of the skipped chats an error names."""

FOLDED = "folded"
"""Code of skips that lose nothing: another session contains the whole chat."""

INTERNAL = "internal_call"
"""Code of skips of calls that an agent's middleware made for itself."""

REPLACED = "replaced_call"
"""Code of skips of answers of which a person approved nothing."""

NOT_LOST = frozenset({FOLDED, INTERNAL, REPLACED})
"""Codes of skips that are meant, also if `strict`."""


class FineTuningSession(ChatSession, total=False):
    """A `ChatSession` with everything that the model saw, and its source.

    `messages` comes first and ends with the answer; `functions` are legacy functions.
    """

    tools: Sequence[dict[str, Any]]
    """Tools that the request offered, in OpenAI's form."""
    parallel_tool_calls: bool
    """As the request set it; missing if it did not."""
    response_format: dict[str, Any]
    """The response format that the request set; `{"type": "unknown"}` if the trace lacks it."""
    sampling: Mapping[str, Any]
    """Other settings of the request, such as `temperature`, by the names of OpenAI's chat API.
    Training files have no fields for them; `record` sends them again."""
    rejected: Mapping[str, Any]
    """A worse answer to the same input, in wire form: the one that a correction or a reference
    replaced."""
    score: float
    """Score of the last message, from the feedback that the loader reads."""
    source: Mapping[str, str]
    """Where the chat came from, such as `{"run_id": ..., "trace_id": ..., "thread_id": ...}`.

    `answer` is the position of the answer if the run has several, `dropped_reasoning` the number
    of dropped parts of reasoning, and `kind` is `completion` if the run is not a chat but a prompt
    and its completion. `feedback_group_id` names the comparisons that a `score` comes from, and
    `group` the chats that `Split` keeps together. `finish_reason` says why an answer is incomplete,
    `unread_settings` names settings of the request that are unknown here, and `tools_unknown` says
    that the run's tracer writes no tools. `replaced_calls` has the calls in the run's history that
    a person replaced, as JSON, each as position of the message and id, such as `[[2, "call_a"]]`.
    `summarized` says that the chat begins with a summary of what was before.
    """


@dataclass(frozen=True)
class Skip:
    """A chat that was skipped, and why.

    Attributes:
        id: The run, dataset example or position that it came from.
        code: Stable name of the reason, such as `errored_run`.
        reason: One sentence; it never quotes training text.
    """

    id: str
    code: str
    reason: str


def summary(skips: Iterable[Skip]) -> str:
    """Return how many chats were skipped for each reason, most frequent first, in words.

    Example:
        >>> summary([Skip("r-1", "errored_run", "The run failed.")] * 2)
        '2 errored_run (The run failed.)'
    """
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for skip in skips:
        counts[skip.code] += 1
        reasons.setdefault(skip.code, skip.reason)
    return ", ".join(f"{n} {code} ({reasons[code]})" for code, n in counts.most_common())


@dataclass(slots=True)
class EncodedChat:
    """A chat that is known to be valid for training, as its line of a supervised file.

    Attributes:
        id: The run that it came from.
        line: The line, newline included.
        source: As in `FineTuningSession`.
        fit_for: Profiles whose rules it meets.
    """

    id: str
    line: bytes
    source: Mapping[str, str]
    fit_for: tuple[str, ...]


Found = TypeVar("Found")

Read = Callable[[Callable[[Skip], None]], Iterator[Any]]
"""Yields sessions, and passes skips to the function that it is given."""


class ReadPart(Protocol):
    """Reads one part of the sessions, in another process: so it is pickled."""

    def __call__(
        self, part: Any, skip: Callable[[Skip], None], notes: Counter[str], *, encoded: bool
    ) -> Iterator[FineTuningSession | EncodedChat]:
        """Yield the part's sessions; with `encoded`, some may be training lines."""


class SessionPart(Protocol):
    """A part of the sessions."""

    def plain(self) -> tuple[Any, ...]:
        """Return the part as plain data, which `ReadPart` is given."""

    def __str__(self) -> str:
        """Name the part for people, such as `rows 1 to 80 of runs.jsonl`."""


class SessionParts(NamedTuple):
    """How other processes can read sessions, and the parts, in order."""

    read: ReadPart
    parts: Iterator[SessionPart]


class Sessions:
    """Sessions that are read each time they are iterated.

    Args:
        read: Yields the sessions, and passes skips to the function that it is given.
        strict: Raise after the last session if a chat was skipped whose code is not in `NOT_LOST`.
        origin: The loader and its query as JSON data, without keys.
        read_encoded: Like `read`, but may yield chats that are already training lines.
        parts: Returns how other processes can read the sessions in parts, or None if they can't.

    Example:
        >>> sessions = Sessions(lambda skip: iter([]))
        >>> list(sessions), sessions.skipped
        ([], [])
    """

    def __init__(
        self,
        read: Read,
        *,
        strict: bool = False,
        origin: Mapping[str, Any] | None = None,
        read_encoded: Read | None = None,
        parts: Callable[[], "SessionParts | None"] | None = None,
    ) -> None:
        self._read = read
        self._read_encoded = read_encoded or read
        self._parts = parts
        self._strict = strict
        self.origin = origin
        self._skipped: list[Skip] | None = None
        self._notes: Counter[str] | None = None

    def __iter__(self) -> Iterator[FineTuningSession]:
        """Read the sessions.

        Raises:
            LoadError: They can't be read; or they are strict, and a chat was skipped.
        """
        return self._start(self._read)

    def encoded(self) -> Iterator[FineTuningSession | EncodedChat]:
        """Read the sessions for training; those that are known to be valid may come as lines.

        Raises:
            LoadError: As when iterating.
        """
        return self._start(self._read_encoded)

    def in_parts(self) -> "SessionParts | None":
        """Return how other processes can read the sessions in parts; None if they can't.

        What they skip and note is to be added to `skipped` and `notes`.
        """
        return self._parts() if self._parts else None

    def read_by(self, read: Read) -> Iterator[Any]:
        """Start an iteration of something that is read in place of the sessions.

        Raises:
            LoadError: As when iterating.
        """
        return self._start(read)

    def _start(self, read: Read) -> Iterator[Any]:
        self._skipped = []
        self._notes = Counter()
        chats = read(self._skipped.append)
        return self._all_or_error(chats) if self._strict else chats

    def _all_or_error(self, chats: Iterator[Any]) -> Iterator[Any]:
        yield from chats
        lost = [skip for skip in self.skipped if skip.code not in NOT_LOST]
        if lost:
            ids = ", ".join(skip.id for skip in lost[:_FIRST])
            more = ", ..." if len(lost) > _FIRST else ""
            were = "chat was" if len(lost) == 1 else "chats were"
            text = f"{len(lost)} {were} skipped: {summary(lost)}. Their ids: {ids}{more}."
            raise LoadError(text, skipped=lost)

    @property
    def skipped(self) -> list[Skip]:
        """Chats that the last iteration skipped so far, in order.

        Raises:
            LoadError: There was no iteration yet.
        """
        return _of_iteration(self._skipped)

    @property
    def notes(self) -> Counter[str]:
        """Other counts of the last iteration, such as `tools_unknown`; see the loaders.

        Raises:
            LoadError: There was no iteration yet.
        """
        return _of_iteration(self._notes)

    def skipped_by_reason(self) -> dict[str, int]:
        """Return the number of skips by reason code, most frequent first.

        Raises:
            LoadError: There was no iteration yet.
        """
        return dict(Counter(skip.code for skip in self.skipped).most_common())

    def share_counts(self, source: "Sessions") -> None:
        """Have the skips and notes of the sessions that these are made from."""
        self._skipped, self._notes = source.skipped, source.notes

    def __repr__(self) -> str:
        return "Sessions(<read when iterated>)"

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, __: Any) -> dict[str, Any]:
        return {"title": cls.__name__, "type": "array", "items": {"type": "object"}}


def _of_iteration(found: Found | None) -> Found:
    if found is None:
        raise LoadError("Nothing was read yet: iterate the sessions first.")
    return found


def changed(
    source: Iterable[ChatSession],
    change: Callable[[ChatSession], ChatSession],
    finish: Callable[[], None] | None = None,
) -> Sessions:
    """Return sessions that are changed one by one when they are iterated, with skips and notes.

    `change` must not modify the session that it is given; `finish` is called after the last one.

    Example:
        >>> twice = changed([{"messages": []}], lambda session: session | {"functions": []})
        >>> list(twice) == list(twice) == [{"messages": [], "functions": []}]
        True
    """
    return expanded(source, lambda session: [change(session)], finish)


def expanded(
    source: Iterable[ChatSession],
    expand: Callable[[ChatSession], Iterable[ChatSession]],
    finish: Callable[[], None] | None = None,
) -> Sessions:
    """Return the sessions that `expand` makes of each one, as `changed` does."""

    def read(_: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
        sessions = iter(source)
        if isinstance(source, Sessions):
            # The same objects, so that they grow together.
            result.share_counts(source)
        return each(sessions)

    def each(sessions: Iterator[Any]) -> Iterator[Any]:
        for session in sessions:
            yield from expand(session)
        if finish is not None:
            finish()

    origin = source.origin if isinstance(source, Sessions) else None
    result = Sessions(read, origin=origin)
    return result


def wire_messages(session: ChatSession) -> list[WireMessage]:
    """Return a session's messages in OpenAI's wire form.

    Raises:
        UnreadableChatError: A message cannot be represented in the wire form.
    """
    messages = session["messages"]
    if isinstance(messages, WireMessages):
        return messages.wire
    return [message_to_wire(message) for message in messages]


def supervised_example(session: ChatSession) -> tuple[dict[str, Any], int]:
    """Return the training example of a session, and how many of its messages were left out.

    The example equals the request that the app sent (messages, tools, parallel_tool_calls) plus
    the model's answer. Messages after the last answer are not trained on and are left out.

    Raises:
        UnreadableChatError: A message cannot be represented in the wire form, or the session is
            a prompt and its completion instead of a chat.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> supervised_example({"messages": [HumanMessage("Hi"), AIMessage("Hello")]})[0]
        ... # doctest: +NORMALIZE_WHITESPACE
        {'messages': [{'role': 'user', 'content': 'Hi'},
                      {'role': 'assistant', 'content': 'Hello'}]}
    """
    require_chat(session)
    messages = wire_messages(session)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    end = answers[-1] + 1 if answers else len(messages)
    example = {"messages": messages[:end], **line_settings(session)}
    return example, len(messages) - end


def line_settings(session: ChatSession) -> dict[str, Any]:
    """Return the settings of a request that a training line can contain."""
    given: Mapping[str, Any] = session
    settings = {name: given[name] for name in ("tools", "functions") if given.get(name)}
    parallel = given.get("parallel_tool_calls")
    # OpenAI rejects it without tools.
    if "tools" in settings and (parallel or parallel is False):
        settings["parallel_tool_calls"] = parallel
    return settings


def is_completion(session: ChatSession) -> bool:
    """Return whether a session is a prompt and its completion instead of a chat."""
    source: Any = session.get("source") or {}
    return bool(source.get("kind") == "completion")


def require_chat(session: ChatSession) -> None:
    """Reject a session that is not a chat.

    A plain language model saw text without roles; a chat example would differ from what was sent.

    Raises:
        UnreadableChatError: It is a prompt and its completion.
    """
    if is_completion(session):
        raise UnreadableChatError(
            "completion_run",
            "A run of a plain language model is not a chat: convert it with method='completion'.",
        )
