"""`convert_messages_for_finetuning`, compatible with langchain-community."""

from collections.abc import Iterable

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import wire_messages


def convert_messages_for_finetuning(sessions: Iterable[ChatSession]) -> list[list[WireMessage]]:
    """Return the messages of each session that has an answer, in OpenAI's format.

    Replaces `langchain_community.adapters.openai.convert_messages_for_finetuning`, and keeps tool
    calls. The result cannot contain tools: prefer `Convert`, which also checks, counts and streams.

    Raises:
        UnreadableChatError: A message cannot be represented in OpenAI's format.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> convert_messages_for_finetuning([{"messages": [HumanMessage("Hi"), AIMessage("Yo")]}])
        [[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Yo'}]]
    """
    chats = map(wire_messages, sessions)
    return [chat for chat in chats if any(message["role"] == "assistant" for message in chat)]
