"""Sessions as supervised training examples."""

from collections.abc import Iterable, Iterator

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Example, Outcome, Row
from langchain_finetune.convert.sources import read_each
from langchain_finetune.sessions import EncodedChat, Sessions, wire_messages

_LINE_SETTINGS = ("tools", "functions", "parallel_tool_calls")
"""What a line of OpenAI's supervised file may hold beside its messages."""


def supervised_rows(sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
    """Yield the supervised example of each session.

    Messages after a chat's last answer are left out, and counted as `trimmed_messages`.

    Raises:
        ConvertError: An item is no session.
    """
    chats = sessions.encoded() if isinstance(sessions, Sessions) else sessions
    for place, made in read_each(chats, supervised_example, outcome):
        if isinstance(made, EncodedChat):
            yield Row(place.id, place.source, line=made.line, fit_for=made.fit_for)
            continue
        example, trimmed = made
        if trimmed:
            outcome.counts["trimmed_messages"] += trimmed
        yield Row(place.id, place.source, example=example)


def supervised_example(session: ChatSession) -> tuple[Example, int]:
    """Return the training example of a session, and how many messages were left out of it.

    The example equals the request that the app sent (messages, tools, parallel_tool_calls) plus
    the message that came back. Messages after the last answer teach nothing and are left out.

    Raises:
        UnreadableChatError: A message holds what the wire form can't say.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> supervised_example({"messages": [HumanMessage("Hi"), AIMessage("Hello")]})[0]
        ... # doctest: +NORMALIZE_WHITESPACE
        {'messages': [{'role': 'user', 'content': 'Hi'},
                      {'role': 'assistant', 'content': 'Hello'}]}
    """
    messages = wire_messages(session)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    end = answers[-1] + 1 if answers else len(messages)
    example: Example = {"messages": messages[:end]}
    for setting in _LINE_SETTINGS:
        if session.get(setting):
            example[setting] = session[setting]  # type: ignore[literal-required]
        elif setting == "parallel_tool_calls" and session.get(setting) is False:
            example[setting] = False
    if "tools" not in example:
        # OpenAI refuses it where there are no tools.
        example.pop("parallel_tool_calls", None)
    return example, len(messages) - end
