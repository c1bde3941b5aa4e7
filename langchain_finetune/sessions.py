"""A session: one chat of the app, with its tools and where it came from."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.errors import LoadError
from langchain_finetune.messages import WireMessage, WireMessages, message_to_wire

SETTINGS = ("tools", "functions", "parallel_tool_calls", "response_format")
"""What a request says beside its messages and what changes how the model should answer."""


_FIRST = 5
"""How many chats that were left out an error names."""

FOLDED = "folded"
"""Code of the skips that lose nothing: another session holds all of the chat."""


class FineTuningSession(ChatSession, total=False):
    """A `ChatSession` with all that the model saw, and its source.

    `messages` comes first and ends with the answer; `functions` are legacy functions.
    """

    tools: Sequence[dict[str, Any]]
    """Tools that the request offered, in OpenAI's form."""
    parallel_tool_calls: bool
    """As the request said it; missing where it did not."""
    response_format: dict[str, Any]
    """The answer's format that the request asked for."""
    rejected: Mapping[str, Any]
    """An answer to the same input that the last message is better than, in wire form: what a
    correction or a reference replaced."""
    score: float
    """What the last message is worth, by the feedback that the loader was asked for."""
    source: Mapping[str, str]
    """Where the chat came from, such as `{"run_id": ..., "trace_id": ..., "thread_id": ...}`.

    A run's `answer` counts its answers from 0 where it has several, `dropped_reasoning` says how
    many parts of reasoning were left out, and `kind` is `completion` where the run is no chat but
    a prompt and its completion. `feedback_group_id` names the comparisons in which a `score` was
    given, where it comes from one.
    """


@dataclass(frozen=True)
class Skip:
    """A chat that was left out, and why.

    Attributes:
        id: The run, dataset example or position that it came from.
        code: Stable name of the reason, such as `errored_run`.
        reason: One sentence; it never quotes training text.
    """

    id: str
    code: str
    reason: str


@dataclass(slots=True)
class EncodedChat:
    """A chat that is known to be fit for training, as its line of a supervised file.

    Attributes:
        id: The run that it came from.
        line: The line, newline included.
        source: As in `FineTuningSession`.
        fit_for: Profiles of whose rules it breaks none.
    """

    id: str
    line: bytes
    source: Mapping[str, str]
    fit_for: tuple[str, ...]


ReadEncoded = Callable[
    [Callable[[Skip], None]],
    Iterator[FineTuningSession] | Iterator[FineTuningSession | EncodedChat],
]
Chat = TypeVar("Chat", bound=FineTuningSession | EncodedChat)


class Sessions:
    """Sessions that are read when they are iterated, anew each time.

    Args:
        read: Yields the sessions, and hands what is left out to the function that it is given.
        strict: Raise after the last session if something was left out that is not folded.
        origin: What was asked for, in JSON's terms: the loader and its query, without keys.
        read_encoded: Reads as `read` does; what is at hand as a training line may come as it is.

    Attributes:
        skipped: What the last iteration left out so far, in order.
        notes: What else it noticed, counted, such as `tools_unknown`; the loaders name the codes.

    Example:
        >>> sessions = Sessions(lambda skip: iter([]))
        >>> list(sessions), sessions.skipped
        ([], [])
    """

    def __init__(
        self,
        read: Callable[[Callable[[Skip], None]], Iterator[FineTuningSession]],
        *,
        strict: bool = False,
        origin: Mapping[str, Any] | None = None,
        read_encoded: ReadEncoded | None = None,
    ) -> None:
        self._read = read
        self._read_encoded = read_encoded or read
        self._strict = strict
        self.origin = origin
        self.skipped: list[Skip] = []
        self.notes: Counter[str] = Counter()

    def __iter__(self) -> Iterator[FineTuningSession]:
        """Read the sessions.

        Raises:
            LoadError: They can't be read; or they are strict, and a chat was left out.
        """
        return self._begun(self._read)

    def encoded(self) -> Iterator[FineTuningSession | EncodedChat]:
        """Read the sessions for training; those that are known to be fit may come as lines.

        Raises:
            LoadError: As in iteration.
        """
        return self._begun(self._read_encoded)

    def _begun(self, read: Callable[[Callable[[Skip], None]], Iterator[Chat]]) -> Iterator[Chat]:
        self.skipped = []
        self.notes = Counter()
        chats = read(self.skipped.append)
        return self._all_or_error(chats) if self._strict else chats

    def _all_or_error(self, chats: Iterator[Chat]) -> Iterator[Chat]:
        yield from chats
        lost = [skip for skip in self.skipped if skip.code != FOLDED]
        if lost:
            raise LoadError(_lost(lost), skipped=lost)

    def skipped_by_reason(self) -> dict[str, int]:
        """Return how many were left out for each reason code, most frequent first."""
        return dict(Counter(skip.code for skip in self.skipped).most_common())

    def __repr__(self) -> str:
        return "Sessions(<read when iterated>)"

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, __: Any) -> dict[str, Any]:
        return {"title": cls.__name__, "type": "array", "items": {"type": "object"}}


def changed(
    source: Iterable[ChatSession], change: Callable[[ChatSession], ChatSession]
) -> Sessions:
    """Return sessions that are changed one by one when they are iterated.

    Args:
        source: The sessions; what they left out and noticed is told by the result too.
        change: Makes the new session of an old one, which it leaves as it is.

    Example:
        >>> twice = changed([{"messages": []}], lambda session: session | {"functions": []})
        >>> list(twice) == list(twice) == [{"messages": [], "functions": []}]
        True
    """

    def read(skip: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
        told = 0
        sessions = iter(source)
        try:
            for session in sessions:
                yield change(session)  # type: ignore[misc]
                told = _pass_on(source, told, skip)
        finally:
            _pass_on(source, told, skip)
            if isinstance(source, Sessions):
                result.notes.update(source.notes)

    origin = source.origin if isinstance(source, Sessions) else None
    result = Sessions(read, origin=origin)
    return result


def _pass_on(source: Iterable[ChatSession], told: int, skip: Callable[[Skip], None]) -> int:
    if not isinstance(source, Sessions):
        return 0
    for left_out in source.skipped[told:]:
        skip(left_out)
    return len(source.skipped)


def _lost(skips: Sequence[Skip]) -> str:
    counts = Counter(skip.code for skip in skips).most_common()
    reasons = ", ".join(f"{count} {code}" for code, count in counts)
    ids = ", ".join(skip.id for skip in skips[:_FIRST])
    more = ", ..." if len(skips) > _FIRST else ""
    return f"{len(skips)} chats were left out ({reasons}): {ids}{more}."


def wire_messages(session: ChatSession) -> list[WireMessage]:
    """Return a session's messages in OpenAI's wire form.

    Raises:
        UnreadableChatError: A message holds what the wire form can't say.
    """
    messages = session["messages"]
    if isinstance(messages, WireMessages):
        return messages.wire
    return [message_to_wire(message) for message in messages]


_LINE_SETTINGS = ("tools", "functions", "parallel_tool_calls")
"""What a line may hold beside its messages."""


def supervised_example(session: ChatSession) -> tuple[dict[str, Any], int]:
    """Return the training example of a session, and how many messages were left out of it.

    The example equals the request that the app sent (messages, tools, parallel_tool_calls) plus
    the message that came back. Messages after the last answer teach nothing and are left out.

    Raises:
        UnreadableChatError: A message holds what the wire form can't say, or the session is no
            chat but a prompt and its completion.

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
    """Return what a request says beside its messages, as far as a training line can hold it."""
    said: dict[str, Any] = {}
    for setting in _LINE_SETTINGS:
        if session.get(setting):
            said[setting] = session[setting]  # type: ignore[literal-required]
        elif setting == "parallel_tool_calls" and session.get(setting) is False:
            said[setting] = False
    if "tools" not in said:
        # OpenAI refuses it where there are no tools.
        said.pop("parallel_tool_calls", None)
    return said


def is_completion(session: ChatSession) -> bool:
    """Tell whether a session is a prompt and its completion: its messages are the two."""
    source: Any = session.get("source") or {}
    return bool(source.get("kind") == "completion")


def require_chat(session: ChatSession) -> None:
    """Refuse a session that is no chat.

    A plain language model saw text without roles; as a chat, the example would not be what was
    sent.

    Raises:
        UnreadableChatError: It is a prompt and its completion.
    """
    if is_completion(session):
        raise UnreadableChatError(
            "completion_run",
            "The run of a plain language model is no chat: convert it with method='completion'.",
        )
