"""Chats of dataset examples, in both of LangSmith's formats.

Data type chat: `inputs.input = [message, ...]`, `outputs.output = message`, each
`{"type": "human", "data": {...}}`. Key-value with the chat-model schema:
`inputs = {"messages": [...], "tools": [...]}`, `outputs = {"message": ...}`.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.dialects.messages import ReasoningPolicy, read_messages, settle_reasoning
from langchain_finetune.dialects.request_settings import add_settings
from langchain_finetune.messages import UnreadableChatError, WireMessages
from langchain_finetune.sessions import FineTuningSession


def read_example(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], reasoning: ReasoningPolicy = "drop"
) -> list[FineTuningSession]:
    """Return the one chat of a dataset example: its input messages, then the reference answer.

    `source["dropped_reasoning"]` counts dropped parts of reasoning.

    Raises:
        UnreadableChatError: The example has another format, or no answer.

    Example:
        >>> [session] = read_example(
        ...     {"messages": [{"role": "user", "content": "Hi"}]},
        ...     {"message": {"role": "assistant", "content": "Hello"}},
        ... )
        >>> session["messages"][1].content
        'Hello'
    """
    sent = inputs.get("messages") or inputs.get("input")
    if not isinstance(sent, list):
        raise UnreadableChatError("no_chat", "The example's inputs contain no list of messages.")
    answer = outputs.get("message") or outputs.get("output")
    if answer is None:
        raise UnreadableChatError("no_answer", "The example has no reference answer.")
    answers = answer if isinstance(answer, list) else [answer]
    wire = read_messages([*sent, *answers])
    dropped = settle_reasoning(wire, keep=reasoning == "keep")
    session: FineTuningSession = {"messages": WireMessages(wire)}
    if dropped:
        session["source"] = {"dropped_reasoning": str(dropped)}
    add_settings(session, inputs)
    return [session]
