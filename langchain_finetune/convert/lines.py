"""A session as a line of OpenAI's supervised file. Pure."""

from typing import Any

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.sessions import wire_messages

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
