"""Runs of plain language models as lines of prompt and completion."""

from collections.abc import Iterable, Iterator

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Example, Outcome, Row, read_each
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import is_completion, wire_messages


def completion_rows(sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
    """Yield the prompt and completion of each session that has them; chats are skipped (`chat`).

    Raises:
        ConvertError: An item is not a session.
    """
    for place, example in read_each(sessions, completion_example, outcome):
        yield Row(place.id, place.source, example=example, number=place.number)


def completion_example(session: ChatSession) -> Example:
    """Return the line of a plain language model's run.

    Raises:
        UnreadableChatError: The session is a chat, or more than one prompt.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> messages = [HumanMessage("Once upon"), AIMessage(" a time")]
        >>> completion_example({"messages": messages, "source": {"kind": "completion"}})
        {'prompt': 'Once upon', 'completion': ' a time'}
    """
    if not is_completion(session):
        raise UnreadableChatError(
            "chat", "A chat is not a prompt and completion: convert it with method='supervised'."
        )
    messages = wire_messages(session)
    if len(messages) != 2:  # noqa: PLR2004 - prompt and completion
        raise UnreadableChatError(
            "joined_completions", "Several prompts and completions, joined to a conversation."
        )
    prompt, completion = messages
    return {"prompt": prompt["content"], "completion": completion["content"]}
