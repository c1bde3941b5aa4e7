"""Chats between people as chats with an assistant: one speaker becomes the assistant.

The functions replace those of `langchain_community.chat_loaders.utils`; tests compare the two.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from typing import Annotated, Any, Literal

from langchain_core.chat_sessions import ChatSession
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import composable, sessions_of
from langchain_finetune.loaders.message_times import conversations, spans_of
from langchain_finetune.sessions import Sessions, changed, expanded

_NAMED = 10
"""Most speakers that an error names."""


def merge_chat_runs(chat_sessions: Iterable[ChatSession], delimiter: str = "\n\n") -> Sessions:
    """Return the sessions with consecutive messages of one speaker merged.

    The speaker is `additional_kwargs["sender"]`, as set by the chat loaders; messages without one
    are not merged. A list of text parts becomes one text. The given sessions are not modified.

    Args:
        chat_sessions: Sessions, or a loader's; they are read when the result is iterated.
        delimiter: Text between merged messages.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> ada = {"sender": "Ada"}
        >>> chat = [HumanMessage("Hi", additional_kwargs=ada),
        ...         HumanMessage("Bob?", additional_kwargs=ada)]
        >>> [session] = merge_chat_runs([{"messages": chat}], delimiter=" ")
        >>> [message.content for message in session["messages"]]
        ['Hi Bob?']
    """
    return changed(
        chat_sessions,
        lambda session: {**session, "messages": _merged(session["messages"], delimiter)},
    )


def map_ai_messages(chat_sessions: Iterable[ChatSession], sender: str) -> Sessions:
    """Return the sessions with one speaker's messages as the assistant's.

    Args:
        chat_sessions: Sessions, or a loader's; they are read when the result is iterated.
        sender: The speaker as in `additional_kwargs["sender"]`.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> chat = [HumanMessage("Hi", additional_kwargs={"sender": "Ada"})]
        >>> [session] = map_ai_messages([{"messages": chat}], sender="Ada")
        >>> session["messages"][0].type
        'ai'
    """
    return changed(
        chat_sessions,
        lambda session: {
            **session,
            "messages": [
                AIMessage(content=each.content, additional_kwargs=dict(each.additional_kwargs))
                if _sender(each) == sender
                else each
                for each in session["messages"]
            ],
        },
    )


class MapSpeaker(CheckedArguments, RunnableSerializable[Iterable[ChatSession], Sessions]):
    """Make one speaker of a chat the assistant, and merge consecutive messages of each speaker.

    Any `BaseChatLoader` can be piped into it. Nothing is read before the result is iterated. If
    nobody of that name speaks in any chat, the iteration ends with a `LoadError` that names who
    does.

    Args:
        sender: The speaker to train on, by the name that the chat loader sets.
        cut: Cut each chat into conversations: at each pause of at least so long, such as
            `timedelta(hours=8)`, or at each new `day`. A messenger's export is one chat, however
            many years it has; the times are those of the chat loader.

    Example:
        ```python
        chain = WhatsAppChatLoader("chat.txt") | MapSpeaker("Ada", cut="day") | Convert()
        examples = chain.invoke({})
        ```
    """

    model_config = ConfigDict(extra="forbid")

    sender: str
    cut: Annotated[timedelta, Field(gt=timedelta())] | Literal["day"] | None = None

    def __init__(self, sender: str, **fields: Any) -> None:
        fields["sender"] = sender
        super().__init__(**fields)

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
    ) -> Sessions:
        """Return the sessions, which are read when they are iterated.

        Args:
            input: Sessions, or a loader.
            config: LangChain's run configuration.
            kwargs: Unused; accepted for Runnable compatibility.
        """
        return self._call_with_config(self._mapped, sessions_of(input), config, **kwargs)

    def _mapped(self, source: Iterable[ChatSession]) -> Sessions:
        spoken = timed = False

        def pieces(session: ChatSession) -> list[ChatSession]:
            nonlocal spoken, timed
            messages = list(session["messages"])
            spoken = spoken or bool(messages)
            cut = conversations(messages, None if self.cut == "day" else self.cut)
            timed = timed or len(cut) > 1 or any(spans_of(messages))
            return [{**session, "messages": each} for each in cut]

        def require_times() -> None:
            if spoken and not timed:
                raise LoadError(
                    "The chats can't be cut: no message has a time in "
                    'additional_kwargs["events"][0]["message_time"].'
                )

        if self.cut is not None:
            source = expanded(source, pieces, require_times)
        merged = merge_chat_runs(source)
        speakers: dict[str, None] = {}

        def noted(session: ChatSession) -> ChatSession:
            names = (_sender(message) for message in session["messages"])
            speakers.update(dict.fromkeys(str(name) for name in names if name is not None))
            return session

        def require_speaker() -> None:
            if speakers and self.sender not in speakers:
                named = ", ".join(map(repr, islice(speakers, _NAMED)))
                more = f" and {len(speakers) - _NAMED} more" if len(speakers) > _NAMED else ""
                raise LoadError(f"Nobody called {self.sender!r} speaks; there are {named}{more}.")

        return map_ai_messages(changed(merged, noted, require_speaker), self.sender)


def _merged(messages: Iterable[BaseMessage], delimiter: str) -> list[BaseMessage]:
    merged: list[BaseMessage] = []
    for given in messages:
        message = _with_own_text(given)
        last = merged[-1] if merged else None
        if last is not None and _same_speaker(last, message):
            last.content = f"{last.content}{delimiter}{message.content}".strip()
            events = message.additional_kwargs.get("events") or []
            if "events" in last.additional_kwargs:
                last.additional_kwargs["events"] += events
        else:
            merged.append(message)
    return merged


def _with_own_text(message: BaseMessage) -> BaseMessage:
    """Return a copy that may be modified; a list of texts becomes one text."""
    extra = dict(message.additional_kwargs)
    if isinstance(extra.get("events"), list):
        extra["events"] = list(extra["events"])
    content = message.content
    if isinstance(content, list) and all(_text(part) is not None for part in content):
        content = "".join(map(str, map(_text, content)))
    return message.model_copy(update={"content": content, "additional_kwargs": extra})


def _text(part: Any) -> str | None:
    """Return the text of a part, such as Telegram's `{"type": "bold", "text": "now"}`."""
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else None


def _same_speaker(last: BaseMessage, message: BaseMessage) -> bool:
    return (
        isinstance(message, type(last))
        and _sender(last) is not None
        and _sender(last) == _sender(message)
        and isinstance(last.content, str)
        and isinstance(message.content, str)
    )


def _sender(message: BaseMessage) -> Any:
    return message.additional_kwargs.get("sender")
