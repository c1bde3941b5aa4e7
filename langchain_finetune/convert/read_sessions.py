"""Reading sessions one by one, so that one that can't be read is a skip and no end."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Outcome
from langchain_finetune.errors import ConvertError
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import EncodedChat

Made = TypeVar("Made")


@dataclass(slots=True)
class SessionOrigin:
    """Where a session came from.

    Attributes:
        id: Names it in skips and findings.
        source: The session's `source`.
        number: Its place among the sessions, counted from 1.
    """

    id: str
    source: Mapping[str, str]
    number: int


@overload
def read_each(
    sessions: Iterable[ChatSession], make: Callable[[ChatSession], Made], outcome: Outcome
) -> Iterator[tuple[SessionOrigin, Made]]: ...
@overload
def read_each(
    sessions: Iterable[ChatSession | EncodedChat],
    make: Callable[[ChatSession], Made],
    outcome: Outcome,
) -> Iterator[tuple[SessionOrigin | EncodedChat, Made | EncodedChat]]: ...
def read_each(
    sessions: Iterable[ChatSession | EncodedChat],
    make: Callable[[ChatSession], Made],
    outcome: Outcome,
) -> Iterator[tuple[SessionOrigin | EncodedChat, Made | EncodedChat]]:
    """Yield what `make` makes of each session; where it can't, the outcome notes why.

    Chats that are training lines already stay as they are.

    Raises:
        ConvertError: An item is no session.
    """
    for position, session in enumerate(sessions):
        outcome.sessions += 1
        if isinstance(session, EncodedChat):
            yield session, session
            continue
        try:
            said: Any = session.get("source") or {}
            source = _plain(said)
            place = SessionOrigin(_id(source, position), source, position + 1)
            made = make(session)
        except UnreadableChatError as error:
            outcome.reject(place.id, error.code, str(error))
            continue
        except (AttributeError, KeyError, TypeError) as error:
            # A list can hold anything.
            raise ConvertError(
                f"Item {position} is no chat session: a dict is needed, whose `messages` are a "
                "list of LangChain messages (langchain_core.messages.convert_to_messages makes "
                "them of others) and whose `source`, if any, is a dict."
            ) from error
        yield place, made


def _plain(source: Mapping[str, Any]) -> Mapping[str, str]:
    """Return a session's source as JSON can say it; a loader's own is so already."""
    if all(type(key) is str and type(value) is str for key, value in source.items()):
        return source if type(source) is dict else dict(source)
    return {str(key): str(value) for key, value in source.items()}


def _id(source: Mapping[str, str], position: int) -> str:
    for name in ("run_id", "example_id", "line"):
        if name in source:
            return str(source[name])
    return f"session {position}"
