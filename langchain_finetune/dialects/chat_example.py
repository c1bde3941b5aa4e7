"""Chats of dataset examples, in both of LangSmith's formats or made of runs.

Data type chat: `inputs.input = [message, ...]`, `outputs.output = message`, each
`{"type": "human", "data": {...}}`. Key-value with the chat-model schema:
`inputs = {"messages": [...], "tools": [...]}`, `outputs = {"message": ...}`. "Add to dataset"
copies the inputs and outputs of a run as they are: they are read as those of a run.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import mapping
from langchain_finetune.dialects.messages import ReasoningPolicy, read_messages, settled
from langchain_finetune.dialects.request_settings import RequestSettings, add_settings
from langchain_finetune.dialects.run import read_io
from langchain_finetune.messages import UnreadableChatError, WireMessages
from langchain_finetune.sessions import FineTuningSession


def read_example(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], reasoning: ReasoningPolicy = "drop"
) -> list[FineTuningSession]:
    """Return the chats of a dataset example: its input messages, then a reference answer.

    There are several if it was made of a run with several answers. `source["dropped_reasoning"]`
    counts dropped parts of reasoning.

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
    if not any(inputs.get(key) for key in ("messages", "input", "prompt", "prompts", "contents")):
        raise UnreadableChatError("no_chat", "The example's inputs contain no messages.")
    if not outputs:
        raise UnreadableChatError("no_answer", "The example has no reference answer.")
    return read_io({"inputs": inputs, "outputs": outputs, "extra": {}}, reasoning)


def read_line(
    request: Mapping[str, Any], answer: Any, reasoning: ReasoningPolicy = "drop"
) -> FineTuningSession:
    """Return the chat of a training file's line; its messages stay as they are.

    Raises:
        UnreadableChatError: It contains no chat.
    """
    sent = request.get("messages")
    if not isinstance(sent, list):
        raise UnreadableChatError("no_chat", "The line contains no list of messages.")
    # Bedrock's format has the instructions beside the messages.
    settings = RequestSettings({"system": request.get("system")}, {})
    wire = settings.with_system(read_messages([*sent, answer]))
    source = settled(wire, keep=reasoning == "keep")
    session: FineTuningSession = {"messages": WireMessages(wire)}
    if source:
        session["source"] = source
    add_settings(session, mapping(request))
    return session
